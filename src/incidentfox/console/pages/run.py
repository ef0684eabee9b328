"""The page of one run: the verdict, the evidence it rests on, and everything that happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console.backends import backends_of
from incidentfox.console.plot import Plot, draw
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.console.timeline import Timeline, build, call_anchor, web_address
from incidentfox.contracts.answer import Answer
from incidentfox.contracts.events import RunEvent
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.runs import FINISHED, CancelRun, EffectStatus, Run, RunEffect
from incidentfox.kernel.errors import Conflict
from incidentfox.kernel.ids import require_id

router = APIRouter()

MOST_EVENTS = 2000
_BATCH = 200

Reader = Annotated[Session, requires_session(Permission.RUNS_READ)]
Canceller = Annotated[Session, requires_session(Permission.RUNS_CANCEL)]
_REFUSED = {
    "run_is_posting": "Too late to cancel it: its answer is being posted.",
    "run_finished": "It was over before it could be cancelled.",
}
Reason = Annotated[str, Form(max_length=500)]


@router.get("/runs/{run_id}")
async def run_page(
    request: Request, session: Reader, run_id: str, refused: Annotated[str, Query(max_length=40)] = ""
) -> Response:
    """The whole page, as it stands now; a run that goes on is followed by `live.py`."""
    return await _page(request, session, run_id, _REFUSED.get(refused, ""))


@router.post("/runs/{run_id}/cancel")
async def cancel(request: Request, session: Canceller, run_id: str, reason: Reason = "") -> Response:
    """Cancels the run, or says why it cannot be cancelled any more."""
    require_id(run_id, "run")
    client = backends_of(request).config_service
    try:
        await client.cancel_run(session.org_id, run_id, CancelRun(reason=reason))
    except Conflict as conflict:
        return RedirectResponse(f"/runs/{run_id}?refused={conflict.code}", status_code=303)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


async def _page(request: Request, session: Session, run_id: str, wrong: str) -> Response:
    require_id(run_id, "run")
    client = backends_of(request).config_service
    run, events, effects = await asyncio.gather(
        client.run(session.org_id, run_id),
        read_events(client, session.org_id, run_id),
        client.run_effects(session.org_id, run_id),
    )
    timeline = build(events, run.answer)
    context = {
        "run": run,
        "answer": timeline.answer,
        "timeline": timeline,
        "is_live": run.status not in FINISHED,
        "may_cancel": run.status not in FINISHED and not effects.items and session.may(Permission.RUNS_CANCEL),
        "wrong": wrong,
        "evidence": evidence_of(timeline),
        "steps": steps_of(timeline.answer),
        "plots": plots_of(timeline.answer),
        "posts": posts_of(effects.items),
        "reading": reading_of(run),
        "is_cut": len(events) >= MOST_EVENTS,
    }
    return pages_of(request).page(request, "run.html", context)


async def read_events(
    client: ConfigServiceClient, org_id: str, run_id: str, *, until: int = MOST_EVENTS
) -> tuple[RunEvent, ...]:
    """The timeline from its start up to `seq` = `until`."""
    found: list[RunEvent] = []
    while len(found) < until:
        page = await client.run_events(org_id, run_id, after=len(found), limit=min(_BATCH, until - len(found)))
        found.extend(page.items)
        if page.next_cursor is None or not page.items:
            break
    return tuple(found)


def evidence_of(timeline: Timeline) -> list[dict[str, Any]]:
    """Each claim with the tool call that it rests on."""
    calls = timeline.calls
    return [
        {
            "claim": item.claim,
            "excerpt": item.excerpt,
            "anchor": call_anchor(item.tool_call_id),
            "tool": calls[item.tool_call_id].tool if item.tool_call_id in calls else "tool call",
        }
        for item in (timeline.answer.evidence if timeline.answer else ())
    ]


def steps_of(answer: Answer | None) -> list[dict[str, Any]]:
    """What the team's runbooks say to do, with the tool call that found it and a usable link."""
    return [
        {
            "title": step.claim,
            "excerpt": step.excerpt,
            "anchor": call_anchor(step.tool_call_id),
            "url": web_address(step.url),
        }
        for step in (answer.next_steps if answer else ())
    ]


def plots_of(answer: Answer | None) -> list[Plot]:
    """The metrics that carried the verdict, drawn."""
    drawn = (draw(series, f"plot-{index}") for index, series in enumerate(answer.plots if answer else ()))
    return [plot for plot in drawn if plot is not None]


def posts_of(effects: Iterable[RunEffect]) -> list[dict[str, Any]]:
    """Where the answer was posted, or was to be."""
    return [
        {
            "destination": effect.destination,
            "target": effect.target,
            "url": web_address(effect.url),
            "is_done": effect.status is EffectStatus.DONE,
            "error": effect.error,
        }
        for effect in effects
    ]


def reading_of(run: Run) -> dict[str, Any] | None:
    """What fired, with a link to the source where the alert carries a usable one."""
    alert = run.input.alert
    return None if alert is None else {"alert": alert, "url": web_address(alert.url)}
