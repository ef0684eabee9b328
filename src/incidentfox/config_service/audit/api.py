"""Routes of audit events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from incidentfox.config_service.audit import service
from incidentfox.config_service.dependencies import org_session, service_session
from incidentfox.config_service.session import Session
from incidentfox.config_service.strict_json import StrictRoute
from incidentfox.contracts.audit import AppendAuditEvent, AuditEvent
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.pagination import Cursor, Limit

router = APIRouter(prefix="/api/v1", tags=["audit"], route_class=StrictRoute)

Action = Annotated[str | None, Query(max_length=100, description="Only events of this action.")]


@router.get("/orgs/{org_id}/audit-events")
async def list_audit_events(
    session: Annotated[Session, org_session(Permission.AUDIT_READ)],
    action: Action = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[AuditEvent]:
    """The organisation's audit events, newest first; a team's credential sees its team's."""
    return await service.newest(session, action, cursor, limit)


@router.post("/internal/audit-events", status_code=201)
async def append_audit_event(
    session: Annotated[Session, service_session(Permission.AUDIT_WRITE)], event: AppendAuditEvent
) -> AuditEvent:
    """Puts an event of another service on record; idempotent on its `event_key`."""
    return await service.append(session, event)
