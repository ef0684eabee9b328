"""The API of deliveries: what came in and what became of it. A team sees its own, an organisation's admin all."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.webhooks import Delivery
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Cursor, Limit, decode_cursor, page
from incidentfox.kernel.web.strict_json import StrictRoute
from incidentfox.orchestrator.deliveries import store

router = APIRouter(prefix="/api/v1/orgs/{org_id}/deliveries", tags=["deliveries"], route_class=StrictRoute)

Reader = Annotated[Principal, requires(Permission.INCIDENTS_READ)]


@router.get("")
async def list_deliveries(
    org_id: str, request: Request, principal: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Delivery]:
    """Accepted deliveries, newest first."""
    database: Database = request.app.state.database
    tenant = Tenant(org_id, principal.in_org(org_id).team_node_id)
    async with database.transaction(tenant) as connection:
        items = await store.list_deliveries(connection, org_id, decode_cursor(cursor), limit)
    return page(items, limit, lambda delivery: delivery.delivery_id)


@router.get("/{delivery_id}")
async def read_delivery(org_id: str, delivery_id: str, request: Request, principal: Reader) -> Delivery:
    """One delivery."""
    database: Database = request.app.state.database
    tenant = Tenant(org_id, principal.in_org(org_id).team_node_id)
    async with database.transaction(tenant) as connection:
        delivery = await store.read_delivery(connection, org_id, delivery_id)
    if delivery is None:
        raise NotFound(f"There is no delivery {delivery_id!r} here for you.", code="delivery_not_found")
    return delivery
