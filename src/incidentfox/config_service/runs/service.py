"""Creates, starts and finishes runs. Each transition is an audit event; the timeline itself is `timeline/`."""

from __future__ import annotations

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.configuration.service import effective
from incidentfox.config_service.effects.store import effects_of
from incidentfox.config_service.runs import store
from incidentfox.config_service.runs.rules import ending, fingerprint, judge_ending, run_is_over, run_not_found
from incidentfox.config_service.session import Session
from incidentfox.config_service.timeline.service import append_ending, begin
from incidentfox.config_service.tree.scope import narrowed
from incidentfox.config_service.tree.store import node
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.runs import FINISHED, CancelRun, CreateRun, FinishRun, Run, RunInput, RunStatus, StartedRun
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, Unprocessable
from incidentfox.kernel.ids import require_id
from incidentfox.kernel.redaction import Redactor
from incidentfox.kernel.web.pagination import decode_cursor, page


async def create_run(session: Session, request: CreateRun) -> Run:
    """Creates a run; the same content again returns it as it stands. Conflict when the id stands for another run."""
    require_id(request.run_id, "run")
    session.require_writable(request.team_node_id)
    await _require_team(session, request.team_node_id)
    clean = request.model_copy(update={"input": await _without_secrets(session, request)})
    created = await store.insert_run(session, clean, fingerprint(request))
    if created is not None:
        await begin(session, created, request.timeline)
        detail = {"source": created.source, "delivery_id": created.delivery_id, "incident_id": created.incident_id}
        await record(session, Fact("run.created", created.run_id, created.team_node_id, None, _hash(created), detail))
        return created
    existing = await store.lock_run(session, request.run_id)
    if existing is None or existing.fingerprint != fingerprint(request):
        raise Conflict(f"There is another run {request.run_id} already.", code="run_exists")
    return existing.run


async def _without_secrets(session: Session, request: CreateRun) -> RunInput:
    """What is asked, as it is stored; without addresses, where the team's configuration says so."""
    document = request.input.model_dump(mode="json")
    addressed = "@" in request.input.model_dump_json()
    emails = addressed and (await effective(session, request.team_node_id)).document.privacy.redact_emails
    return RunInput.model_validate(Redactor(emails).redact(document))


async def read_run(session: Session, run_id: str) -> Run:
    """One run; NotFound when there is none for this caller."""
    run = await store.run(session, run_id)
    if run is None:
        raise run_not_found(run_id)
    return run


async def list_runs(
    session: Session, team_node_id: str | None, status: RunStatus | None, cursor: str | None, limit: int
) -> Page[Run]:
    """A page of runs, newest first."""
    before = decode_cursor(cursor)
    if before is not None:
        require_id(before, "run")
    runs = await store.newest_runs(session, team_node_id, status, before, limit + 1)
    return page(runs, limit, lambda run: run.run_id)


async def start_run(session: Session, run_id: str, started: StartedRun) -> Run:
    """queued → running; a run that is under way already stays as it is, a finished one is Conflict."""
    run = (await _locked(session, run_id)).run
    if run.status in FINISHED:
        raise run_is_over(run)
    if run.status is not RunStatus.QUEUED:
        return run
    before = _hash(run)
    run = await store.start(session, run_id, started.config_hash)
    detail = {"config_hash": started.config_hash}
    await record(session, Fact("run.started", run_id, run.team_node_id, before, _hash(run), detail))
    return run


async def finish_run(session: Session, run_id: str, finished: FinishRun) -> Run:
    """→ a final state, and `run.finished` on the timeline unless the agent has put it there.

    The same ending twice is one ending; another one is Conflict, and so is a step that the state machine lacks.
    """
    judge_ending(run_id, finished)
    held = await _locked(session, run_id)
    if held.run.status in FINISHED:
        if held.ending == ending(finished):
            return held.run
        raise Conflict(f"The run {run_id} ended otherwise: {held.run.status.value}.", code="run_finished")
    return await _end(session, held, finished, "run.finished")


async def cancel_run(session: Session, run_id: str, request: CancelRun) -> Run:
    """→ cancelled, on behalf of a person. The agent finds out within seconds; whatever it still tries is refused.

    A cancelled run has posted nothing and will post nothing: one whose answer is on its way out is Conflict. A run
    that is cancelled already stays as it is; one that ended otherwise is Conflict.
    """
    session = await narrowed(session, (await read_run(session, run_id)).team_node_id)
    held = await _locked(session, run_id)
    if held.run.status is RunStatus.CANCELLED:
        return held.run
    if held.run.status in FINISHED:
        raise run_is_over(held.run)
    if await effects_of(session, run_id):
        raise Conflict(f"The run {run_id} is posting its answer: too late to cancel it.", code="run_is_posting")
    reason = Redactor().redact(request.reason.strip())
    by = f"by {session.principal.subject}"
    error = f"run_cancelled: {reason} ({by})" if reason else f"run_cancelled: {by}"
    return await _end(session, held, FinishRun(status=RunStatus.CANCELLED, error=error), "run.cancelled")


def _hash(run: Run) -> str:
    """Of the whole run with its answer, so that the chain of the audit vouches for what was answered."""
    return content_hash(run.model_dump(mode="json"))


async def _end(session: Session, held: store.LockedRun, finished: FinishRun, action: str) -> Run:
    run = await store.finish(session, held.run.run_id, finished, ending(finished))
    await append_ending(session, run)
    detail = {"status": run.status.value, "error": run.error}
    await record(session, Fact(action, run.run_id, run.team_node_id, _hash(held.run), _hash(run), detail))
    return run


async def _locked(session: Session, run_id: str) -> store.LockedRun:
    held = await store.lock_run(session, run_id)
    if held is None:
        raise run_not_found(run_id)
    return held


async def _require_team(session: Session, team_node_id: str) -> None:
    found = await node(session, team_node_id)
    if found is None or found.kind is not NodeKind.TEAM:
        message = f"There is no team {team_node_id!r} in this organisation."
        raise Unprocessable(
            message, code="team_not_found", errors=[FieldError(pointer="/team_node_id", message=message)]
        )
