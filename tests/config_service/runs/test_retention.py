"""Finished runs age out with all that hangs on them; what is not over stays, and so does the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, new_event, new_run
from tests.environment import execute

from incidentfox.config_service.runs.store import PURGE
from incidentfox.contracts.captures import KeepCapture
from incidentfox.contracts.events import AppendRunEvents
from incidentfox.contracts.runs import FinishRun, RunStatus
from incidentfox.kernel.db.retention import Retention
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

HANGING_ON_RUNS = (
    "config_run_events",
    "config_run_effects",
    "config_run_captures",
    "config_budget_reservations",
    "agent_runs",
)


@pytest.fixture
async def connections(service: Service) -> AsyncIterator[Database]:
    """A pool as the service's own role."""
    made = Database(service.database.url("incidentfox_config"), 2)
    yield made
    await made.close()


async def a_run(service: Service, org: str, *, finished: bool, days: int) -> str:
    """A run with one row in each table; everything about it so many days old."""
    request = new_run()
    await service.as_service("orchestrator").create_run(org, request)
    agent, tenant, run_id = service.as_service("agent"), Tenant(org, "checkout"), request.run_id
    await agent.append_run_events(tenant, run_id, AppendRunEvents(events=(new_event("one"),)))
    await agent.keep_capture(tenant, run_id, KeepCapture(files={"logs.ndjson": "{}\n"}))
    if finished:
        await agent.finish_run(tenant, run_id, FinishRun(status=RunStatus.FAILED, error="test"))
    execute(
        service.database.superuser_url,
        "SET session_replication_role = replica",  # triggers keep finished runs as they are
        "INSERT INTO config_run_effects (org_id, run_id, effect_key, team_node_id, destination, target)"
        f" VALUES ('{org}', '{run_id}', 'e', 'checkout', 'slack', 'c')",
        "INSERT INTO config_budget_reservations (org_id, run_id, call, attempt, team_node_id, day, tokens_reserved)"
        f" VALUES ('{org}', '{run_id}', 'c', 'a', 'checkout', now(), 1)",
        f"UPDATE agent_runs SET created_at = created_at - interval '{days} days',"
        f" finished_at = finished_at - interval '{days} days' WHERE run_id = '{run_id}'",
        f"UPDATE config_run_captures SET created_at = created_at - interval '{days} days' WHERE run_id = '{run_id}'",
    )
    return run_id


def left(service: Service, org: str) -> dict[str, set[str]]:
    """The runs that each table still knows of."""
    with psycopg.connect(service.database.superuser_url) as connection:
        return {
            table: {str(row[0]) for row in connection.execute(f"SELECT run_id FROM {table} WHERE org_id = %s", (org,))}
            for table in HANGING_ON_RUNS
        }


async def test_finished_runs_go_and_all_others_stay(service: Service, tenants: Tenants, connections) -> None:
    orgs = (tenants.org, tenants.other)
    kept = {}
    for org in orgs:
        await a_run(service, org, finished=True, days=91)
        kept[org] = {await a_run(service, org, finished=done, days=days) for done, days in ((True, 89), (False, 91))}
    audited = len((await service.as_service("platform").audit_events(tenants.org)).items)
    ninety = timedelta(days=90)
    await Retention(connections, PURGE, ninety, ninety, 1).purge()
    for org in orgs:
        assert left(service, org) == dict.fromkeys(HANGING_ON_RUNS, kept[org])
    assert len((await service.as_service("platform").audit_events(tenants.org)).items) == audited
    assert await Retention(connections, PURGE, ninety, ninety, 100).purge() == 0


async def test_what_a_run_read_may_go_before_the_run(service: Service, tenants: Tenants, connections) -> None:
    over = await a_run(service, tenants.org, finished=True, days=10)
    underway = await a_run(service, tenants.org, finished=False, days=10)
    await Retention(connections, PURGE, timedelta(days=90), timedelta(days=7), 100).purge()
    found = left(service, tenants.org)
    assert (found["config_run_captures"], found["agent_runs"]) == ({underway}, {over, underway})


async def test_codes_and_keys_of_an_idle_organisation_go(service: Service, tenants: Tenants, connections) -> None:
    url = service.database.superuser_url
    for name, hours in (("old", 25), ("young", 23)):
        execute(
            url,
            "INSERT INTO config_sign_in_codes (code_hash, org_id, token_id, expires_at)"
            f" VALUES ('{tenants.org}-{name}', '{tenants.org}', 't', now() - interval '{hours} hours')",
            "INSERT INTO config_idempotency_keys (org_id, idempotency_key, fingerprint, created_at)"
            f" VALUES ('{tenants.org}', '{name}', '', now() - interval '{hours} hours')",
        )
    await Retention(connections, PURGE, timedelta(days=90), timedelta(days=90), 100).purge()
    with psycopg.connect(url) as connection:
        codes = connection.execute(
            "SELECT code_hash FROM config_sign_in_codes WHERE org_id = %s", (tenants.org,)
        ).fetchall()
        keys = connection.execute(
            "SELECT idempotency_key FROM config_idempotency_keys WHERE org_id = %s", (tenants.org,)
        ).fetchall()
    assert (codes, keys) == ([(f"{tenants.org}-young",)], [("young",)])


async def test_the_service_can_delete_no_run_itself_and_nothing_of_today(
    service: Service, tenants: Tenants, connections
) -> None:
    run_id = await a_run(service, tenants.org, finished=True, days=0)
    await Retention(connections, PURGE, timedelta(days=-1), timedelta(days=-1), 100).purge()
    assert left(service, tenants.org) == {table: {run_id} for table in HANGING_ON_RUNS}
    with psycopg.connect(service.database.url("incidentfox_config"), autocommit=True) as connection:
        connection.execute("SET incidentfox.retention = 'on'")
        assert connection.execute("SELECT count(*) FROM agent_runs").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM agent_runs")
