"""What is over ages out; what is not over stays, however old it is; and nobody can take more than that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import psycopg
import pytest
from tests.environment import Database
from tests.orchestrator.conftest import ORCHESTRATOR, ORG

from incidentfox.kernel.db.retention import Retention
from incidentfox.kernel.db.session import Database as Connections
from incidentfox.orchestrator.deliveries.store import PURGE

pytestmark = pytest.mark.anyio

_ENDPOINT = """
INSERT INTO orchestrator_webhook_endpoints (endpoint_id, org_id, source, name, rate_per_minute, burst, created_by)
VALUES ($1, $1, 'custom', 'test', 1, 1, 'test')
"""
_INCIDENT = """
INSERT INTO orchestrator_incidents
    (incident_id, org_id, team_node_id, endpoint_id, source, external_id, title, status, opened_at, updated_at)
VALUES ($1, $2, 'checkout', $2, 'custom', $1, 'secret title', $3, now(), now() - make_interval(days => $4))
"""
_DELIVERY = """
INSERT INTO orchestrator_deliveries (delivery_id, org_id, team_node_id, endpoint_id, source, delivery_key, event_type,
    event, body_sha256, correlation_id, incident_id, status, received_at, processed_at)
VALUES ($1, $2, 'checkout', $2, 'custom', $1, 'alert', '{"what": "secret"}', '', 'cor_12345678', $3, $4, now(),
    CASE $4 WHEN 'received' THEN NULL ELSE now() - make_interval(days => $5) END)
"""
_EVENT = """
INSERT INTO orchestrator_incident_events (delivery_id, org_id, incident_id, event_type, action, occurred_at)
VALUES ($1, $2, $3, 'alert', 'trigger', now())
"""


@pytest.fixture
async def connections(database: Database) -> AsyncIterator[Connections]:
    """The service's own pool, as its own role."""
    made = Connections(database.url(ORCHESTRATOR), 2)
    yield made
    await made.close()


async def add(owner: asyncpg.Connection, org: str, name: str, incident: str, delivery: str, days: int) -> None:
    """An incident in this state with one delivery in that state, both so old."""
    await owner.execute(_INCIDENT, f"inc_{name}", org, incident, days)
    await owner.execute(_DELIVERY, f"dlv_{name}", org, f"inc_{name}", delivery, days)
    await owner.execute(_EVENT, f"dlv_{name}", org, f"inc_{name}")


async def test_what_is_over_and_old_goes_in_every_organisation(owner, connections) -> None:
    for org in (ORG, "globex"):
        await owner.execute(_ENDPOINT, org)
        await add(owner, org, f"{org}_old", "resolved", "processed", 91)
        await add(owner, org, f"{org}_young", "resolved", "processed", 89)
        await add(owner, org, f"{org}_open", "triggered", "failed", 91)
        await add(owner, org, f"{org}_underway", "resolved", "received", 91)
    # In batches of one: the number of rows in a batch decides nothing.
    assert await Retention(connections, PURGE, timedelta(days=90), 1).purge() == 6
    incidents = await owner.fetch("SELECT incident_id FROM orchestrator_incidents ORDER BY 1")
    assert [row[0] for row in incidents] == [
        f"inc_{org}_{name}" for org in (ORG, "globex") for name in ("open", "underway", "young")
    ]
    events = await owner.fetch("SELECT incident_id FROM orchestrator_incident_events ORDER BY 1")
    assert events == incidents
    kept = await owner.fetch(
        "SELECT delivery_id, incident_id FROM orchestrator_deliveries WHERE event <> '{}' ORDER BY delivery_id"
    )
    assert [tuple(row) for row in kept] == [
        (f"dlv_{org}_{name}", f"inc_{org}_{name}") for org in (ORG, "globex") for name in ("underway", "young")
    ]
    assert await Retention(connections, PURGE, timedelta(days=90), 100).purge() == 0


async def test_a_delivery_that_aged_out_still_starts_nothing_twice(owner, connections) -> None:
    await owner.execute(_ENDPOINT, ORG)
    await add(owner, ORG, "old", "resolved", "processed", 91)
    await Retention(connections, PURGE, timedelta(days=90), 100).purge()
    row = await owner.fetchrow("SELECT delivery_key, status, incident_id FROM orchestrator_deliveries")
    assert tuple(row) == ("dlv_old", "processed", None)


async def test_keys_of_an_idle_organisation_go_after_a_day(owner, connections) -> None:
    for key, hours in (("old", 25), ("young", 23)):
        await owner.execute(
            "INSERT INTO orchestrator_idempotency_keys (org_id, idempotency_key, fingerprint, created_at)"
            " VALUES ($1, $2, '', now() - make_interval(hours => $3))",
            ORG,
            key,
            hours,
        )
    await Retention(connections, PURGE, timedelta(days=90), 100).purge()
    assert await owner.fetchval("SELECT array_agg(idempotency_key) FROM orchestrator_idempotency_keys") == ["young"]


async def test_the_service_can_purge_nothing_of_today_and_delete_nothing_itself(owner, connections, database) -> None:
    await owner.execute(_ENDPOINT, ORG)
    await add(owner, ORG, "today", "resolved", "processed", 0)
    assert await Retention(connections, PURGE, timedelta(days=-1), 100).purge() == 0
    with psycopg.connect(database.url(ORCHESTRATOR), autocommit=True) as connection:
        connection.execute("SET incidentfox.retention = 'on'")
        counted = connection.execute("SELECT count(*) FROM orchestrator_deliveries").fetchone()
        assert counted == (0,), "the setting alone opens nothing"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM orchestrator_deliveries")
    with (
        psycopg.connect(database.url("incidentfox_agent"), autocommit=True) as stranger,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        stranger.execute("SELECT orchestrator_purge('90 days', 1)")
