"""Routes of a run's timeline."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from incidentfox.config_service.dependencies import RunPath, org_session, service_session
from incidentfox.config_service.session import Session
from incidentfox.config_service.timeline import service
from incidentfox.config_service.timeline.stream import follow
from incidentfox.contracts.events import AppendRunEvents, RunEvent
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Invalid
from incidentfox.kernel.web.pagination import Cursor, Limit, decode_cursor
from incidentfox.kernel.web.sse import event_stream, last_event_id, wants_events
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=StrictRoute)

MAX_SEQ = 2**31 - 1

After = Annotated[int, Query(ge=0, le=MAX_SEQ, description="Only events after this `seq`.")]


@router.get("/orgs/{org_id}/runs/{run_id}/events", response_model=Page[RunEvent])
async def read_run_events(
    request: Request,
    session: Annotated[Session, org_session(Permission.RUNS_READ)],
    run_id: RunPath,
    after: After = 0,
    cursor: Cursor = None,
    limit: Limit = 200,
) -> Any:
    """The run's timeline: a page of JSON, or with `Accept: text/event-stream` live from `Last-Event-ID` on.

    The stream ends after `run.finished`. Where nothing can follow any more it answers 204, which tells an
    `EventSource` not to come back.
    """
    if not wants_events(request):
        return await service.read(session, run_id, max(after, _seq(cursor)), limit)
    start = last_event_id(request)
    if start > MAX_SEQ:
        raise Invalid("`Last-Event-ID` must be the id of an event of this stream.", code="invalid_last_event_id")
    await service.read(session, run_id, start, 1)
    if await service.is_over(session, run_id, start):
        return Response(status_code=204)
    return event_stream(follow(request, session.principal, session.tenant, run_id, start))


@router.post("/internal/runs/{run_id}/events", status_code=201)
async def append_run_events(
    session: Annotated[Session, service_session(Permission.RUNS_WRITE)], run_id: RunPath, events: AppendRunEvents
) -> Page[RunEvent]:
    """Appends in order; an event whose key is there already is returned, not repeated."""
    return await service.append(session, run_id, events)


def _seq(cursor: str | None) -> int:
    key = decode_cursor(cursor) or "0"
    if not key.isascii() or not key.isdigit() or int(key[:10]) > MAX_SEQ or len(key) > 10:
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor")
    return int(key)
