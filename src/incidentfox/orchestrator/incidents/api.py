"""The API of incidents. A team sees its own, an organisation's admin all, also those that no team owns."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.webhooks import Incident
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Cursor, Limit, decode_cursor, page
from incidentfox.kernel.web.strict_json import StrictRoute
from incidentfox.orchestrator.incidents import store

router = APIRouter(prefix="/api/v1/orgs/{org_id}/incidents", tags=["incidents"], route_class=StrictRoute)

Reader = Annotated[Principal, requires(Permission.INCIDENTS_READ)]


@router.get("")
async def list_incidents(
    org_id: str, request: Request, principal: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Incident]:
    """Incidents, newest first."""
    database: Database = request.app.state.database
    tenant = Tenant(org_id, principal.in_org(org_id).team_node_id)
    async with database.transaction(tenant) as connection:
        items = await store.list_incidents(connection, org_id, decode_cursor(cursor), limit)
    return page(items, limit, lambda incident: incident.incident_id)


@router.get("/{incident_id}")
async def read_incident(org_id: str, incident_id: str, request: Request, principal: Reader) -> Incident:
    """One incident."""
    database: Database = request.app.state.database
    tenant = Tenant(org_id, principal.in_org(org_id).team_node_id)
    async with database.transaction(tenant) as connection:
        incident = await store.read_incident(connection, org_id, incident_id)
    if incident is None:
        raise NotFound(f"There is no incident {incident_id!r} here for you.", code="incident_not_found")
    return incident
