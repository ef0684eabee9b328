"""The door while its database is in trouble: nothing is acknowledged that is not committed, and it recovers alone."""

import asyncio

import pytest
from tests.orchestrator.conftest import incident_event

from incidentfox.kernel.errors import Unavailable
from incidentfox.orchestrator.webhooks.store import IngressStore

pytestmark = pytest.mark.anyio


async def _cut_connections(door) -> None:
    await door.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = 'incidentfox_orchestrator' AND datname = current_database()"
    )


async def test_cut_connections_cost_a_503_at_most(door) -> None:
    created = await door.endpoint()
    accepted = 0
    for _ in range(5):
        await _cut_connections(door)
        response = await door.pagerduty(created, incident_event())
        assert response.status_code in (202, 503)
        accepted += response.status_code == 202
    after = await door.pagerduty(created, incident_event())
    assert after.status_code == 202
    assert await door.count("orchestrator_deliveries") == accepted + 1


async def test_what_the_database_refuses_is_503_then_taken_when_it_is_back(door) -> None:
    created = await door.endpoint()
    await door.pagerduty(created, incident_event())
    role = "incidentfox_orchestrator"
    await door.owner.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    try:
        await _cut_connections(door)
        door.app.state.ingress._endpoints._kept.clear()
        for _ in range(6):
            refused = await door.pagerduty(created, incident_event())
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert await door.count("orchestrator_deliveries") == 1
    finally:
        await door.owner.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    assert (await door.pagerduty(created, incident_event())).status_code == 202


async def test_one_row_that_postgres_refuses_does_not_take_its_neighbours_along(door, monkeypatch) -> None:
    """The second of a group breaks the table's own check; the others are committed."""
    created = await door.endpoint()
    await door.owner.execute(
        "ALTER TABLE orchestrator_deliveries ADD CONSTRAINT picky CHECK (delivery_key <> 'BAD') NOT VALID"
    )
    events = [incident_event(event_id=name) for name in ("A", "BAD", "C", "D")]
    responses = await asyncio.gather(*(door.pagerduty(created, event) for event in events))
    assert [response.status_code for response in responses] == [202, 500, 202, 202]
    assert await door.count("orchestrator_deliveries") == 3
    assert await door.count("orchestrator_dbos.workflow_status") == 3


async def test_a_group_enqueues_each_of_its_deliveries_under_its_own_id(door) -> None:
    created = await door.endpoint()
    events = [incident_event(service=f"P{number}") for number in range(40)]
    await asyncio.gather(*(door.pagerduty(created, event) for event in events))
    rows = await door.owner.fetch(
        "SELECT d.delivery_id, s.queue_partition_key, i.inputs::json -> 'positionalArgs' ->> 0 AS first"
        " FROM orchestrator_deliveries d JOIN orchestrator_dbos.workflow_status s ON s.workflow_uuid = d.delivery_id"
        " JOIN orchestrator_dbos.workflow_input i USING (workflow_uuid)"
    )
    assert len(rows) == 40
    assert all(row["delivery_id"] == row["first"] for row in rows)
    assert len({row["queue_partition_key"] for row in rows}) == 40


async def test_whoever_waits_is_answered_when_a_commit_fails(door, monkeypatch) -> None:
    async def away(*_: object) -> tuple[int, float]:
        raise Unavailable("away", code="database_unavailable")

    created = await door.endpoint()
    monkeypatch.setattr(IngressStore, "take", away)
    responses = await asyncio.gather(*(door.pagerduty(created, incident_event()) for _ in range(100)))
    assert {response.status_code for response in responses} == {503}
    monkeypatch.undo()
    assert (await door.pagerduty(created, incident_event())).status_code == 202
