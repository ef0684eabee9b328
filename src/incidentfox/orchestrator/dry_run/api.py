"""The route of dry runs: through clients/orchestrator.py, for `incidentfox route explain`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from incidentfox.contracts.model import OrgId
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.webhooks import DryRunDelivery, DryRunResult
from incidentfox.kernel.clock import system_clock
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.strict_json import StrictRoute
from incidentfox.orchestrator.dry_run import service

router = APIRouter(prefix="/api/v1/orgs/{org_id}/webhook-sources", tags=["webhook endpoints"], route_class=StrictRoute)


@router.post("/{source}/dry-run")
async def dry_run_delivery(
    org_id: Annotated[OrgId, Path(description="The organisation's id.")],
    source: Annotated[str, Path(description="The source that would send it, e.g. pagerduty.")],
    delivery: DryRunDelivery,
    request: Request,
    principal: Annotated[Principal, requires(Permission.WEBHOOKS_WRITE)],
) -> DryRunResult:
    """Who would get this payload, and why. It needs no signature, since nothing is recorded and nothing runs.

    An event that names nothing but its incident goes to that incident's team, which a dry run does not know.
    """
    principal.in_whole_org(org_id)
    return await service.dry_run(request.app.state.config_service, org_id, source, delivery, system_clock)
