"""The run page's live part: the Config Service's timeline, passed on as fragments of the page.

Each event carries the finished HTML of the entry that it made or changed, escaped by the same template as the page
itself; the browser only puts it in its place. A reader that was cut off resumes with `Last-Event-ID`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console.backends import backends_of
from incidentfox.console.pages.run import read_events
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import Pages, pages_of
from incidentfox.console.timeline import Timeline, build
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.ids import require_id
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.web.sse import ServerSentEvent, event_stream, last_event_id

log = get_logger(__name__)
router = APIRouter()

_CHANGES_THE_PAGE = frozenset(
    {
        RunEventType.RUN_STARTED,
        RunEventType.ANSWER_READY,
        RunEventType.EFFECT_DONE,
        RunEventType.EFFECT_FAILED,
        RunEventType.RUN_FINISHED,
    }
)

Reader = Annotated[Session, requires_session(Permission.RUNS_READ)]


@router.get("/runs/{run_id}/events")
async def run_events(request: Request, session: Reader, run_id: str) -> Response:
    """The entries after `Last-Event-ID`, as they come; ends when the run does."""
    require_id(run_id, "run")
    client = backends_of(request).config_service
    await client.run(session.org_id, run_id)  # what is not there answers 404, not an empty stream
    after = last_event_id(request)
    timeline = build(await read_events(client, session.org_id, run_id, until=after), None)
    if timeline.finished:
        return Response(status_code=204)  # tells the browser not to come back (HTML, 9.2.3)
    return event_stream(_entries(client, session.org_id, run_id, timeline, pages_of(request)))


async def _entries(
    client: ConfigServiceClient, org_id: str, run_id: str, timeline: Timeline, pages: Pages
) -> AsyncIterator[ServerSentEvent]:
    try:
        async with client.stream_run_events(org_id, run_id, after=timeline.last_seq) as events:
            async for event in events:
                yield _fragment(timeline, event, pages)
    except Failure as failure:
        # The stream just ends: the browser comes back by itself, with the id of the last entry that it has, and is
        # then told in a proper response what is wrong.
        log.info("live stream interrupted", code_of_failure=failure.code)


def _fragment(timeline: Timeline, event: RunEvent, pages: Pages) -> ServerSentEvent:
    entry = timeline.add(event)
    data = {
        "id": entry.key,
        "html": pages.render("parts/entry.html", {"entry": entry, "timeline": timeline}),
        "refresh": event.type in _CHANGES_THE_PAGE,
        "finished": event.type is RunEventType.RUN_FINISHED,
    }
    return ServerSentEvent(str(event.seq), "entry", json.dumps(data))
