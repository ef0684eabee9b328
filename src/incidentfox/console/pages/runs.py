"""The list of runs."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console.backends import backends_of
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.runs import FINISHED, RunStatus
from incidentfox.contracts.tree import Node, NodeKind

router = APIRouter()

PER_PAGE = 25
_MOST_TEAMS = 200
_FILTERS = (RunStatus.RUNNING, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED)

Reader = Annotated[Session, requires_session(Permission.RUNS_READ)]
Filter = Annotated[str, Query(max_length=100)]
OptionalCursor = Annotated[str | None, Query(max_length=512)]


@router.get("/runs")
async def runs_page(
    request: Request, session: Reader, status: Filter = "", team: Filter = "", cursor: OptionalCursor = None
) -> Response:
    """Runs, newest first, of one state or team if asked."""
    client = backends_of(request).config_service
    wanted = RunStatus(status) if status in set(RunStatus) else None
    page, teams = await asyncio.gather(
        client.runs(session.org_id, team=team or None, status=wanted, cursor=cursor, limit=PER_PAGE),
        _teams(client, session),
    )
    context = {
        "runs": page.items,
        "teams": teams,
        "status": wanted,
        "team": team,
        "is_first": cursor is None,
        "older": _address(wanted, team, page.next_cursor) if page.next_cursor else None,
        "filters": [(option, _address(option, team)) for option in (None, *_FILTERS)],
        "is_live": cursor is None and any(run.status not in FINISHED for run in page.items),
    }
    return pages_of(request).page(request, "runs.html", context)


async def _teams(client: ConfigServiceClient, session: Session) -> tuple[Node, ...]:
    """The teams to choose from; none for somebody who sees only one, or may not see the tree."""
    if session.team_node_id is not None or not session.may(Permission.NODES_READ):
        return ()
    nodes = await client.nodes(session.org_id, limit=_MOST_TEAMS)
    return tuple(node for node in nodes.items if node.kind is NodeKind.TEAM)


def _address(status: RunStatus | None, team: str, cursor: str | None = None) -> str:
    query = {"status": status or "", "team": team, "cursor": cursor or ""}
    filled = {name: value for name, value in query.items() if value}
    return f"/runs?{urlencode(filled)}" if filled else "/runs"
