"""Routes of the routing look-up and of the list of who owns what (decision 002)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from incidentfox.config_service.dependencies import OrgPath, org_session, org_tenant, parts_of, service_tenant
from incidentfox.config_service.prepared import Prepared, prepare
from incidentfox.config_service.routing import service
from incidentfox.config_service.routing.store import Wanted
from incidentfox.config_service.session import Session
from incidentfox.contracts.model import NodeId
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.routing import OwnedIdentifier, OwnedKind, Route, RoutingLookup
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["routing"], route_class=StrictRoute)

Kind = Annotated[OwnedKind | None, Query(description="Only identifiers of this kind.")]
Team = Annotated[NodeId | None, Query(description="Only identifiers of this team.")]
# Longer than other cursors: it holds an identifier.
After = Annotated[str | None, Query(max_length=10_000, description="`next_cursor` of the page before.")]
Asking = Annotated[Principal, requires(Permission.ROUTING_LOOKUP)]


@router.post("/internal/routing/lookup", response_model=Route)
async def lookup_route(request: Request, principal: Asking, event: RoutingLookup) -> Response:
    """Which team owns an event with these identifiers, and why. Called by the Orchestrator for each delivery.

    From a cache that is half a second behind the last commit at most.
    """
    tenant, parts = service_tenant(principal), parts_of(request)

    async def load() -> Prepared:
        return prepare(await service.lookup(parts.database, tenant, event))

    return (await parts.routes.get(tenant, event, load)).response()


@router.post("/orgs/{org_id}/routing/lookup")
async def who_would_get(request: Request, org_id: OrgPath, principal: Asking, event: RoutingLookup) -> Route:
    """The same as a dry run, for people: always asked of the database."""
    return await service.lookup(parts_of(request).database, org_tenant(principal, org_id), event)


@router.get("/orgs/{org_id}/routing/identifiers")
async def list_identifiers(
    session: Annotated[Session, org_session(Permission.ROUTING_LOOKUP)],
    kind: Kind = None,
    team_node_id: Team = None,
    cursor: After = None,
    limit: Limit = 100,
) -> Page[OwnedIdentifier]:
    """Who owns what, by kind and identifier; a credential of a node sees what is owned there and below."""
    return await service.list_identifiers(session, Wanted(kind, team_node_id), cursor, limit)
