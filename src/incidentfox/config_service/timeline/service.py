"""Appends to a run's timeline and reads it."""

from __future__ import annotations

from collections.abc import Sequence

from incidentfox.config_service.runs.rules import run_is_over, run_not_found
from incidentfox.config_service.runs.store import advance_seq, lock_run, run
from incidentfox.config_service.session import Session
from incidentfox.config_service.timeline import store
from incidentfox.contracts.events import AppendRunEvent, AppendRunEvents, RunEvent, RunEventType
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.runs import Run, RunStatus
from incidentfox.kernel.errors import Unprocessable
from incidentfox.kernel.web.pagination import page

MAX_BATCH = 500
"""Events of one call."""


async def append(session: Session, run_id: str, request: AppendRunEvents) -> Page[RunEvent]:
    """Appends in order; the run's row is held meanwhile, so that numbers have no gaps and no doubles.

    An event whose key is there already is returned as it stands. A run ends once: a second `run.finished` is the first.
    Conflict for what a cancelled run goes on to do until its agent has stopped: nothing follows its end.
    """
    _judge_size(request.events, "/events")
    held = await lock_run(session, run_id)
    if held is None:
        raise run_not_found(run_id)
    known = await store.known_events(session, run_id, {event.event_key for event in request.events})
    ended = next((event for event in known.values() if event.type is RunEventType.RUN_FINISHED), None)
    fresh: dict[str, AppendRunEvent] = {}
    for event in request.events:
        if event.type is RunEventType.RUN_FINISHED and event.event_key not in known:
            if ended is not None:
                known[event.event_key] = ended
            elif any(other.type is RunEventType.RUN_FINISHED for other in fresh.values()):
                message = "A run ends once, and this batch ends it twice."
                raise Unprocessable(message, errors=[FieldError(pointer="/events", message=message)])
        if event.event_key not in known:
            fresh.setdefault(event.event_key, event)
    if held.run.status is RunStatus.CANCELLED and any(e.type is not RunEventType.RUN_FINISHED for e in fresh.values()):
        raise run_is_over(held.run)
    if fresh:
        known |= await _insert(session, held.run, held.last_seq, list(fresh.values()))
    return Page[RunEvent](items=tuple(known[event.event_key] for event in request.events))


async def begin(session: Session, run: Run, events: Sequence[AppendRunEvent]) -> None:
    """Puts the head of the timeline in place; called while the run is created. Of equal keys the first counts."""
    _judge_size(events, "/timeline")
    if any(event.type is RunEventType.RUN_FINISHED for event in events):
        message = "A run does not begin with its end."
        raise Unprocessable(message, errors=[FieldError(pointer="/timeline", message=message)])
    first: dict[str, AppendRunEvent] = {}
    for event in events:
        first.setdefault(event.event_key, event)
    if first:
        await _insert(session, run, 0, list(first.values()))


async def append_ending(session: Session, run: Run) -> None:
    """Puts `run.finished` on the timeline of a run that has just ended, unless the agent has put it there."""
    seconds = (run.finished_at - (run.started_at or run.created_at)).total_seconds() if run.finished_at else 0.0
    data = {
        "status": run.status.value,
        "error": run.error,
        "usage": run.usage.model_dump(mode="json"),
        "duration_s": run.answer.duration_s if run.answer else seconds,
    }
    at = run.finished_at or run.created_at
    event = AppendRunEvent(event_key=RunEventType.RUN_FINISHED, type=RunEventType.RUN_FINISHED, at=at, data=data)
    await append(session, run.run_id, AppendRunEvents(events=(event,)))


async def read(session: Session, run_id: str, after: int, limit: int) -> Page[RunEvent]:
    """A page of the timeline after `seq` = `after`; NotFound when there is no such run for this caller."""
    if await run(session, run_id) is None:
        raise run_not_found(run_id)
    events = await store.events_after(session, run_id, after, limit + 1)
    return page(events, limit, lambda event: str(event.seq))


async def is_over(session: Session, run_id: str, after: int) -> bool:
    """Whether nothing will follow `after`: the run ended there or before."""
    return await store.ended_by(session, run_id, after)


def _judge_size(events: Sequence[AppendRunEvent], pointer: str) -> None:
    if len(events) > MAX_BATCH:
        message = f"One call may append {MAX_BATCH} events at most."
        raise Unprocessable(message, errors=[FieldError(pointer=pointer, message=message)])


async def _insert(session: Session, run: Run, last_seq: int, events: list[AppendRunEvent]) -> dict[str, RunEvent]:
    await store.insert_events(session, run, last_seq + 1, events)
    await advance_seq(session, run.run_id, last_seq + len(events))
    return {
        event.event_key: RunEvent(
            run_id=run.run_id, seq=last_seq + 1 + offset, type=event.type, at=event.at, data=event.data
        )
        for offset, event in enumerate(events)
    }
