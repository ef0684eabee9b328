"""The door while its database is in trouble: nothing is acknowledged that is not committed, and it recovers alone."""

import asyncio
from types import SimpleNamespace

import pytest
from tests.orchestrator.conftest import incident_event
from tests.orchestrator.platform import until

from incidentfox.kernel.errors import Unavailable
from incidentfox.kernel.ids import new_id
from incidentfox.orchestrator.webhooks import endpoint_cache, recorder, service
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
    assert await door.count("orchestrator_dbos.workflow_status WHERE name = 'deliver'") == 3


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


async def test_a_server_that_only_reads_after_a_fail_over_costs_a_503(door, database) -> None:
    created = await door.endpoint()
    await door.owner.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    await _cut_connections(door)
    for _ in range(5):  # the pool may find out about each of its connections first
        refused = await door.pagerduty(created, incident_event())
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    await door.assert_nothing_could_run()


async def test_two_processes_write_their_refusals_in_one_order(door) -> None:
    """Else each would hold the row that the other waits for, and Postgres would end one of the two."""
    first, second = sorted([(await door.endpoint()).endpoint.path, (await door.endpoint()).endpoint.path])
    ledger = door.app.state.ingress._refusals
    for path in (second, first):
        await door.post(path, b"{}")
    await ledger.flush()
    lock = "SELECT 1 FROM orchestrator_refusals WHERE $1 LIKE '%' || endpoint_id FOR UPDATE NOWAIT"
    async with door.owner.transaction():
        await door.owner.execute(lock.replace("$1", f"'{first}'"))
        for path in (second, first):
            await door.post(path, b"{}")
        flushing = asyncio.create_task(ledger.flush())
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        await until(lambda: door.owner.fetchval(waits))
        assert await door.owner.fetchval(lock, second) == 1
    await flushing
    assert await door.owner.fetchval("SELECT min(count) FROM orchestrator_refusals") == 2


async def test_an_error_in_writing_refusals_does_not_end_the_writing(door, monkeypatch) -> None:
    ledger = door.app.state.ingress._refusals
    broken = [ValueError("an answer in no form of ours")]

    async def append_audit_event(org_id, event) -> None:
        if broken:
            raise broken.pop()

    monkeypatch.setattr(ledger, "_audit", SimpleNamespace(append_audit_event=append_audit_event))
    created = await door.endpoint()
    await door.post(created.endpoint.path, b"{}")
    await until(lambda: asyncio.sleep(0, not broken))
    await door.post(created.endpoint.path, b"{}")
    await until(lambda: door.owner.fetchval("SELECT sum(count) = 2 FROM orchestrator_refusals"))


async def test_a_body_that_does_not_arrive_is_408_and_ends_the_connection(door, monkeypatch) -> None:
    created = await door.endpoint()
    monkeypatch.setattr(service, "BODY_S", 0.05)

    async def drip():
        yield b"{"
        await asyncio.Event().wait()

    response = await door.http.post(created.endpoint.path, content=drip())
    assert (response.status_code, response.json()["code"]) == (408, "request_timeout")
    assert response.headers["connection"] == "close"
    await door.assert_nothing_could_run()


async def test_an_endpoint_has_so_many_waiting_and_no_more(door, monkeypatch) -> None:
    created = await door.endpoint()
    entered, released = asyncio.Event(), asyncio.Event()
    take = IngressStore.take

    async def hold(*arguments: object) -> tuple[int, float]:
        entered.set()
        await released.wait()
        return await take(*arguments)

    monkeypatch.setattr(IngressStore, "take", hold)
    monkeypatch.setattr(recorder, "_MOST_WAITING", 3)
    first = asyncio.create_task(door.pagerduty(created, incident_event()))
    await entered.wait()
    others = [asyncio.create_task(door.pagerduty(created, incident_event())) for _ in range(5)]
    refused, _ = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    for one in refused:
        assert (one.result().status_code, one.result().json()["code"]) == (503, "ingress_busy")
        assert one.result().headers["retry-after"]
    released.set()
    answers = [(await one).status_code for one in [first, *others]]
    assert sorted(answers) == [202, 202, 202, 202, 503, 503]
    assert await door.count("orchestrator_deliveries") == 4


async def test_made_up_endpoints_leave_connections_to_those_that_exist(door, monkeypatch) -> None:
    created = await door.endpoint()
    assert (await door.pagerduty(created, incident_event())).status_code == 202
    look_up, released = IngressStore.endpoint, asyncio.Event()
    inside = 0

    async def slow_for_strangers(store: IngressStore, endpoint_id: str):
        nonlocal inside
        if endpoint_id != created.endpoint.endpoint_id:
            inside += 1
            await released.wait()
        return await look_up(store, endpoint_id)

    monkeypatch.setattr(IngressStore, "endpoint", slow_for_strangers)
    monkeypatch.setattr(endpoint_cache, "_UNPROVEN_WAITING", 20)
    monkeypatch.setattr(endpoint_cache, "KEEP_S", 0.0)
    flood = [asyncio.create_task(door.post(f"/webhooks/pagerduty/{new_id('whe')}", b"{}")) for _ in range(30)]
    await until(lambda: asyncio.sleep(0, sum(one.done() for one in flood) == 10))
    assert inside == 1, "a quarter of four connections"
    assert (await door.pagerduty(created, incident_event())).status_code == 202
    released.set()
    answers = [(await one).status_code for one in flood]
    assert (answers.count(404), answers.count(503)) == (20, 10)
