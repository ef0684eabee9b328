"""Routes of audit events and their chain."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from incidentfox.config_service.audit import service
from incidentfox.config_service.audit.export import MEDIA_TYPES, lines
from incidentfox.config_service.dependencies import OrgPath, begin, org_session, org_tenant, service_session
from incidentfox.config_service.session import Session
from incidentfox.contracts.audit import AppendAuditEvent, AuditChain, AuditEvent, AuditFilters, ExportFormat
from incidentfox.contracts.model import NodeId
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Cursor, Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["audit"], route_class=StrictRoute)

_EXPORT = {
    "description": "The end of the chain, then its links: one a line.",
    "content": {form.partition(";")[0]: {"schema": {"type": "string"}} for form in MEDIA_TYPES.values()},
}

Exactly = Annotated[str | None, Query(max_length=512, description="Only events with exactly this value.")]
Since = Annotated[AwareDatetime | None, Query(description="Only events at or after this time (ISO 8601 with zone).")]
Until = Annotated[AwareDatetime | None, Query(description="Only events before this time (ISO 8601 with zone).")]
Team = Annotated[NodeId | None, Query(description="Only events of this team.")]


def wanted(
    action: Exactly = None,
    actor: Exactly = None,
    target: Exactly = None,
    correlation_id: Exactly = None,
    team_node_id: Team = None,
    since: Since = None,
    until: Until = None,
) -> AuditFilters:
    """The filters of a search, from the query."""
    return AuditFilters(
        action=action,
        actor=actor,
        target=target,
        team_node_id=team_node_id,
        correlation_id=correlation_id,
        since=since,
        until=until,
    )


@router.get("/orgs/{org_id}/audit-events")
async def list_audit_events(
    session: Annotated[Session, org_session(Permission.AUDIT_READ)],
    filters: Annotated[AuditFilters, Depends(wanted)],
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[AuditEvent]:
    """The organisation's audit events, newest first; a team's credential sees its team's."""
    return await service.newest(session, filters, cursor, limit)


@router.get("/orgs/{org_id}/audit-chain")
async def read_audit_chain(session: Annotated[Session, org_session(Permission.AUDIT_READ)]) -> AuditChain:
    """Where the organisation's chain begins and ends. Keep the end: it later proves that nothing was rewritten."""
    return await service.chain(session)


@router.get("/orgs/{org_id}/audit-chain/export", response_class=StreamingResponse, responses={200: _EXPORT})
async def export_audit_chain(
    request: Request,
    org_id: OrgPath,
    principal: Annotated[Principal, requires(Permission.AUDIT_READ)],
    form: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.NDJSON,
    since: Since = None,
    until: Until = None,
) -> StreamingResponse:
    """The chain with its events, for `incidentfox audit verify`; on record itself."""
    tenant = org_tenant(principal, org_id)
    async with begin(request, principal, tenant) as session:
        chain = await service.begin_export(session, since, until)
    name = f"audit-{org_id}-{chain.end.seq}.{form.value}"
    return StreamingResponse(
        lines(request, principal, tenant, chain, form),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


@router.post("/internal/audit-events", status_code=201)
async def append_audit_event(
    session: Annotated[Session, service_session(Permission.AUDIT_WRITE)], event: AppendAuditEvent
) -> AuditEvent:
    """Puts an event of another service on record; idempotent on its `event_key`."""
    return await service.append(session, event)
