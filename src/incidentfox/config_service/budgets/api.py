"""Routes of budgets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from incidentfox.config_service.budgets import service
from incidentfox.config_service.dependencies import NodePath, RunPath, org_session, service_session
from incidentfox.config_service.session import Session
from incidentfox.contracts.budgets import Reservation, ReserveBudget, SettleBudget, TeamBudget
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["budgets"], route_class=StrictRoute)


@router.get("/orgs/{org_id}/teams/{node_id}/budget")
async def read_team_budget(
    session: Annotated[Session, org_session(Permission.CONFIG_READ)], node_id: NodePath
) -> TeamBudget:
    """The team's limits on model use, and what it has spent of them today (UTC)."""
    return await service.team_budget(session, node_id)


@router.post("/internal/runs/{run_id}/budget/reserve")
async def reserve_budget(
    session: Annotated[Session, service_session(Permission.BUDGETS_SPEND)], run_id: RunPath, request: ReserveBudget
) -> Reservation:
    """Reserves the most that one model call may cost, unless that would break a limit."""
    return await service.reserve(session, run_id, request)


@router.post("/internal/runs/{run_id}/budget/settle", status_code=204)
async def settle_budget(
    session: Annotated[Session, service_session(Permission.BUDGETS_SPEND)], run_id: RunPath, settled: SettleBudget
) -> None:
    """Replaces the reservation by what the call cost."""
    await service.settle(session, run_id, settled)
