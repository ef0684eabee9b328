"""Streams the audit chain: a page a transaction, so that a long export holds no connection while the caller reads."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request

from incidentfox.clients.audit_export import csv_header, csv_row
from incidentfox.config_service.audit import service
from incidentfox.config_service.dependencies import begin
from incidentfox.contracts.audit import AuditChain, ExportFormat
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal

MEDIA_TYPES = {ExportFormat.NDJSON: "application/x-ndjson", ExportFormat.CSV: "text/csv; charset=utf-8"}

_BATCH = 500


async def lines(
    request: Request, principal: Principal, tenant: Tenant, chain: AuditChain, form: ExportFormat
) -> AsyncIterator[str]:
    """The export, in pieces. Links never change, so the pages of several transactions fit together."""
    yield f"{chain.model_dump_json()}\n" if form is ExportFormat.NDJSON else csv_header()
    after = chain.start.seq
    while after < chain.end.seq:
        async with begin(request, principal, tenant) as session:
            links = await service.links(session, after, chain.end.seq, _BATCH)
        if not links:
            return  # links are missing: whoever checks the export finds where
        after = links[-1].seq
        yield "".join(f"{link.model_dump_json()}\n" if form is ExportFormat.NDJSON else csv_row(link) for link in links)
