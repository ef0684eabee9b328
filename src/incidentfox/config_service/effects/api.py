"""Routes of a run's effects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from incidentfox.config_service.dependencies import RunPath, org_session, service_session
from incidentfox.config_service.effects import service
from incidentfox.config_service.session import Session
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.runs import IntendEffect, RunEffect, SettleEffect
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=StrictRoute)

EffectPath = Annotated[str, Path(max_length=512, description="The effect's key; it may hold slashes.")]


@router.get("/orgs/{org_id}/runs/{run_id}/effects")
async def list_run_effects(
    session: Annotated[Session, org_session(Permission.RUNS_READ)], run_id: RunPath
) -> Page[RunEffect]:
    """What the run posted where."""
    return await service.list_effects(session, run_id)


@router.post("/internal/runs/{run_id}/effects", status_code=201)
async def intend_effect(
    session: Annotated[Session, service_session(Permission.RUNS_WRITE)], run_id: RunPath, intent: IntendEffect
) -> RunEffect:
    """Records the intent before the effect is attempted; returns the entry as it stands."""
    return await service.intend(session, run_id, intent)


@router.post("/internal/runs/{run_id}/effects/{effect_key:path}/settle")
async def settle_effect(
    session: Annotated[Session, service_session(Permission.RUNS_WRITE)],
    run_id: RunPath,
    effect_key: EffectPath,
    settled: SettleEffect,
) -> RunEffect:
    """Records how the effect ended."""
    return await service.settle(session, run_id, effect_key, settled)
