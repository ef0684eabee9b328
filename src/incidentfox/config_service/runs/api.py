"""Routes of runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from incidentfox.config_service.dependencies import RunPath, org_session, org_write, service_session
from incidentfox.config_service.idempotency import IdempotencyKey, once
from incidentfox.config_service.runs import service
from incidentfox.config_service.session import Session
from incidentfox.contracts.model import NodeId
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.runs import CancelRun, CreateRun, FinishRun, Run, RunStatus, StartedRun
from incidentfox.kernel.web.pagination import Cursor, Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=StrictRoute)

Team = Annotated[NodeId | None, Query(description="Only runs of this team.")]
Status = Annotated[RunStatus | None, Query(description="Only runs in this state.")]


@router.get("/orgs/{org_id}/runs")
async def list_runs(
    session: Annotated[Session, org_session(Permission.RUNS_READ)],
    team_node_id: Team = None,
    status: Status = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Run]:
    """Runs, newest first; a team's credential sees its team's."""
    return await service.list_runs(session, team_node_id, status, cursor, limit)


@router.get("/orgs/{org_id}/runs/{run_id}")
async def read_run(session: Annotated[Session, org_session(Permission.RUNS_READ)], run_id: RunPath) -> Run:
    """One run with its answer."""
    return await service.read_run(session, run_id)


@router.post("/orgs/{org_id}/runs/{run_id}/cancel")
async def cancel_run(
    session: Annotated[Session, org_write(Permission.RUNS_CANCEL)], run_id: RunPath, cancel: CancelRun
) -> Run:
    """Ends a run that is queued or running. It posts nothing; one that is posting already is 409 `run_is_posting`."""
    return await service.cancel_run(session, run_id, cancel)


@router.post("/internal/runs", status_code=201)
async def create_run(
    session: Annotated[Session, service_session(Permission.RUNS_WRITE)],
    run: CreateRun,
    idempotency_key: IdempotencyKey = None,
) -> Run:
    """Creates a run before anything executes; idempotent on its id."""
    return await once(session, idempotency_key, run, Run, lambda: service.create_run(session, run))


@router.get("/internal/runs/{run_id}")
async def read_team_run(session: Annotated[Session, service_session(Permission.RUNS_READ)], run_id: RunPath) -> Run:
    """The run, for the agent that executes it."""
    return await service.read_run(session, run_id)


@router.post("/internal/runs/{run_id}/start")
async def start_run(
    session: Annotated[Session, service_session(Permission.RUNS_WRITE)], run_id: RunPath, started: StartedRun
) -> Run:
    """queued → running, with the configuration it was built from."""
    return await service.start_run(session, run_id, started)


@router.post("/internal/runs/{run_id}/finish")
async def finish_run(
    session: Annotated[Session, service_session(Permission.RUNS_WRITE)], run_id: RunPath, finished: FinishRun
) -> Run:
    """→ a final state."""
    return await service.finish_run(session, run_id, finished)
