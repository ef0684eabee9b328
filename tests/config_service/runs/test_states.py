"""The state machine of a run, by direct SQL as the service's role: the database itself keeps the order."""

from __future__ import annotations

import itertools

import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, new_run, query, tenant_settings

from incidentfox.contracts.runs import FINISHED, RunStatus
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

S = RunStatus
ALLOWED = {
    S.QUEUED: {S.RUNNING, S.FAILED, S.CANCELLED},
    S.RUNNING: {S.WAITING_APPROVAL, S.SUCCEEDED, S.FAILED, S.TIMED_OUT, S.CANCELLED},
    S.WAITING_APPROVAL: {S.RUNNING, S.FAILED, S.TIMED_OUT, S.CANCELLED},
}
PATHS = {
    S.QUEUED: [],
    S.RUNNING: [S.RUNNING],
    S.WAITING_APPROVAL: [S.RUNNING, S.WAITING_APPROVAL],
    S.SUCCEEDED: [S.RUNNING, S.SUCCEEDED],
    S.FAILED: [S.FAILED],
    S.TIMED_OUT: [S.RUNNING, S.TIMED_OUT],
    S.CANCELLED: [S.CANCELLED],
}


def move(connection: psycopg.Connection, run_id: str, status: RunStatus) -> None:
    finished = "now()" if status in FINISHED else "NULL"
    answer = "'{}'" if status is S.SUCCEEDED else "answer"
    connection.execute(
        f"UPDATE agent_runs SET status = '{status}', finished_at = {finished}, answer = {answer}"
        f" WHERE run_id = '{run_id}'".encode()
    )


async def test_every_step_is_allowed_or_refused_as_the_machine_says(service: Service, tenants: Tenants) -> None:
    orchestrator = service.as_service("orchestrator")
    with psycopg.connect(service.database.url("incidentfox_config")) as connection:
        for before, after in itertools.permutations(RunStatus, 2):
            run = await orchestrator.create_run(tenants.org, new_run())
            with connection.transaction():
                for name, value in tenant_settings(tenants.org).items():
                    connection.execute("SELECT set_config(%s, %s, true)", (name, value))
                for step in PATHS[before]:
                    move(connection, run.run_id, step)
                try:
                    with connection.transaction():
                        move(connection, run.run_id, after)
                    allowed = True
                except psycopg.errors.CheckViolation:
                    allowed = False
            assert allowed == (after in ALLOWED.get(before, set())), (before, after)


async def test_a_run_begins_as_queued(service: Service, tenants: Tenants) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        query(
            service.database,
            "INSERT INTO agent_runs (org_id, run_id, team_node_id, status, input, source, correlation_id, fingerprint,"
            f" created_by) VALUES ('{tenants.org}', 'run_x', 'checkout', 'running', '{{}}', 's', 'c', 'f', 'me')",
            tenant_settings(tenants.org),
        )


async def test_what_a_run_was_asked_and_that_it_was_cannot_change(service: Service, tenants: Tenants) -> None:
    await service.as_service("orchestrator").create_run(tenants.org, new_run())
    for statement in (
        "UPDATE agent_runs SET input = '{}'",
        "UPDATE agent_runs SET team_node_id = 'payments'",
        "DELETE FROM agent_runs",
        "UPDATE config_run_events SET data = '{}'",
        "DELETE FROM config_run_events",
        "DELETE FROM config_run_effects",
        "UPDATE config_run_effects SET target = 'x'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(service.database, statement, tenant_settings(tenants.org))


async def test_a_finished_run_does_not_change(service: Service, tenants: Tenants) -> None:
    run = await service.as_service("orchestrator").create_run(tenants.org, new_run())
    settings = tenant_settings(tenants.org)
    query(
        service.database,
        f"UPDATE agent_runs SET status = 'cancelled', finished_at = now() WHERE run_id = '{run.run_id}'",
        settings,
    )
    for change in ("error = 'x'", "answer = '{}'", "config_hash = 'x'", "finished_at = now() + interval '1 s'"):
        with pytest.raises(psycopg.errors.CheckViolation):
            query(service.database, f"UPDATE agent_runs SET {change} WHERE run_id = '{run.run_id}'", settings)
    assert (await service.as_service("agent").team_run(Tenant(tenants.org, "checkout"), run.run_id)).error is None
