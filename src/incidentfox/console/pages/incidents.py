"""Incidents as their sources tell them, and the deliveries that told."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from incidentfox.console.backends import backends_of
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.console.timeline import web_address
from incidentfox.contracts.permissions import Permission

router = APIRouter()

_SHOWN = 25

Reader = Annotated[Session, requires_session(Permission.INCIDENTS_READ)]


@router.get("/incidents")
async def incidents_page(request: Request, session: Reader) -> Response:
    """The latest incidents and deliveries."""
    client = backends_of(request).orchestrator
    incidents, deliveries = await asyncio.gather(
        client.incidents(session.org_id, limit=_SHOWN), client.deliveries(session.org_id, limit=_SHOWN)
    )
    context = {
        "incidents": [(incident, web_address(incident.url)) for incident in incidents.items],
        "deliveries": deliveries.items,
    }
    return pages_of(request).page(request, "incidents.html", context)
