"""Routes of the routing look-up (decision 002)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from incidentfox.config_service.dependencies import org_session, service_session
from incidentfox.config_service.routing import service
from incidentfox.config_service.session import Session
from incidentfox.config_service.strict_json import StrictRoute
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.routing import Route, RoutingLookup

router = APIRouter(prefix="/api/v1", tags=["routing"], route_class=StrictRoute)


@router.post("/internal/routing/lookup")
async def lookup_route(
    session: Annotated[Session, service_session(Permission.ROUTING_LOOKUP)], event: RoutingLookup
) -> Route:
    """Which team owns an event with these identifiers, and why. Called by the Orchestrator for each delivery."""
    return await service.lookup(session, event)


@router.post("/orgs/{org_id}/routing/lookup")
async def who_would_get(
    session: Annotated[Session, org_session(Permission.ROUTING_LOOKUP)], event: RoutingLookup
) -> Route:
    """The same as a dry run, for people."""
    return await service.lookup(session, event)
