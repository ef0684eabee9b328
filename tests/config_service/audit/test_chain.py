"""The chain over audit events: nobody waits for it, everything gets into it, and tampering is located."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from io import StringIO

import anyio
import anyio.to_thread
import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, query, tenant_settings

from incidentfox.cli.audit_chain import Verdict, verify_lines
from incidentfox.config_service.audit import store
from incidentfox.config_service.audit.sealer import Sealer
from incidentfox.config_service.session import Session
from incidentfox.contracts.audit import AppendAuditEvent, AuditChain, AuditFilters, ExportFormat
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.errors import Forbidden
from incidentfox.kernel.hash_chain import Point
from incidentfox.kernel.ids import new_id

pytestmark = pytest.mark.anyio


async def sealed(service: Service, tenants: Tenants, events: int = 6) -> AuditChain:
    """The chain once it holds everything, after some events more."""
    orchestrator = service.as_service("orchestrator")
    for number in range(events):
        event = AppendAuditEvent(event_key=new_id("key"), action="delivery.received", target=f"dlv_{number}")
        await orchestrator.append_audit_event(tenants.org, event)
    return await settled(service, tenants)


async def settled(service: Service, tenants: Tenants) -> AuditChain:
    """Seals until nothing waits, beside the sealer of the service itself."""
    database = Database(service.database.url("incidentfox_config"), 2)
    sealer = Sealer(database)
    try:
        while (chain := await service.with_token(tenants.admin).audit_chain(tenants.org)).unsealed:
            await sealer.seal_all()
    finally:
        await database.close()
    return chain


async def exported(service: Service, tenants: Tenants, form: ExportFormat = ExportFormat.NDJSON) -> list[str]:
    """The export as the lines of a file."""
    async with service.with_token(tenants.admin).export_audit_chain(tenants.org, form) as content:
        text = b"".join([piece async for piece in content]).decode()
    return list(StringIO(text, newline=""))


async def verdict(service: Service, tenants: Tenants, *known: Point) -> Verdict:
    return verify_lines(await exported(service, tenants), known)


async def test_everything_gets_into_the_chain_and_the_chain_holds(service: Service, tenants: Tenants) -> None:
    chain = await sealed(service, tenants)
    events = (await service.with_token(tenants.admin).audit_events(tenants.org, limit=200)).items
    assert chain.start.seq == 0
    assert chain.end.seq == len(events)
    found = await verdict(service, tenants)
    assert (found.broken, found.links, found.end.hash) == (None, len(events), chain.end.hash)


async def test_a_writer_never_waits_for_the_sealer_and_late_commits_are_sealed_late(
    service: Service, tenants: Tenants
) -> None:
    await sealed(service, tenants)
    late = psycopg.connect(service.database.superuser_url)
    late.execute(
        "INSERT INTO config_audit_events (org_id, event_id, event_key, at, actor, action, target)"
        f" VALUES ('{tenants.org}', 'aud_late', 'late', now(), 'a', 'late', 't')".encode()
    )
    with psycopg.connect(service.database.superuser_url) as holder:
        # From here on the sealer cannot move. In a thread: the service's own sealer may be at work in this one.
        lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7226300553))"
        await anyio.to_thread.run_sync(holder.execute, lock, (tenants.org,))
        await service.with_token(tenants.admin).put_secret(tenants.org, "checkout", "a", "x")
    before = await settled(service, tenants)
    late.commit()
    late.close()
    after = await settled(service, tenants)
    assert after.end.seq == before.end.seq + 1
    assert (await verdict(service, tenants)).broken is None
    assert '"late"' in (await exported(service, tenants))[after.end.seq]


async def test_several_sealers_make_one_chain(service: Service, tenants: Tenants) -> None:
    databases = [Database(service.database.url("incidentfox_config"), 2) for _ in range(3)]
    orchestrator = service.as_service("orchestrator")

    async def write(number: int) -> None:
        event = AppendAuditEvent(event_key=f"c{number}", action="delivery.received", target="t")
        await orchestrator.append_audit_event(tenants.org, event)

    async def seal(database: Database) -> None:
        for _ in range(10):
            await Sealer(database).seal_all()

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(write, number)
        for database in databases:
            group.start_soon(seal, database)
    chain = await settled(service, tenants)
    for database in databases:
        await database.close()
    events = query(service.database, "SELECT count(*) FROM config_audit_events", tenant_settings(tenants.org))
    assert events == [(chain.end.seq,)]
    assert (await verdict(service, tenants)).broken is None


async def test_nothing_unsealed_means_that_the_end_holds_everything(
    service: Service, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when all is sealed between the two questions."""
    await sealed(service, tenants)
    ask = store.chain_end

    async def end_and_then_seal(session: Session) -> Point:
        end = await ask(session)
        sealer = Sealer(service.app.state.parts.database)
        await sealer.seal_all()
        return end

    monkeypatch.setattr(store, "chain_end", end_and_then_seal)
    event = AppendAuditEvent(event_key="x", action="a", target="t")
    await service.as_service("orchestrator").append_audit_event(tenants.org, event)
    chain = await service.with_token(tenants.admin).audit_chain(tenants.org)
    events = query(service.database, "SELECT count(*) FROM config_audit_events", tenant_settings(tenants.org))
    assert chain.unsealed or events == [(chain.end.seq,)]


@pytest.mark.parametrize(
    ("tampering", "reason"),
    [
        ("UPDATE config_audit_events SET actor = 'somebody else' WHERE {event}", "changed"),
        ("UPDATE config_audit_events SET at = at - interval '1 day' WHERE {event}", "changed"),
        ("UPDATE config_audit_events SET detail = '{{}}' WHERE {event}", "changed"),
        ("DELETE FROM config_audit_events WHERE {event}", "gone"),
        ("DELETE FROM config_audit_seals WHERE {event}", "missing"),
        ("UPDATE config_audit_seals SET hash = 'sha256:00' WHERE {event}", "changed"),
        ("UPDATE config_audit_seals SET event_id = 'aud_other' WHERE {event}", "gone"),
    ],
)
async def test_one_tampered_row_in_the_database_is_found_and_located(
    service: Service, tenants: Tenants, tampering: str, reason: str
) -> None:
    await sealed(service, tenants)
    event = await service.as_service("orchestrator").append_audit_event(
        tenants.org, AppendAuditEvent(event_key="x", action="a", target="victim", detail={"sum": 1.5, "ok": True})
    )
    chain = await sealed(service, tenants)
    [(seq,)] = query(
        service.database,
        f"SELECT seq FROM config_audit_seals WHERE event_id = '{event.event_id}'",
        tenant_settings(tenants.org),
    )
    where = f"org_id = '{tenants.org}' AND event_id = '{event.event_id}'"
    as_superuser(service.database, tampering.format(event=where))
    found = await verdict(service, tenants)
    assert found.broken is not None
    assert (found.broken.seq, found.links) == (seq, seq - 1)
    assert reason in found.broken.reason
    assert chain.end.seq >= seq


async def test_an_event_that_is_kept_from_the_chain_is_counted(service: Service, tenants: Tenants) -> None:
    chain = await sealed(service, tenants)
    [(last,)] = query(
        service.database,
        f"SELECT event_id FROM config_audit_seals WHERE seq = {chain.end.seq}",
        tenant_settings(tenants.org),
    )
    as_superuser(service.database, f"DELETE FROM config_audit_seals WHERE event_id = '{last}'")
    assert (await service.with_token(tenants.admin).audit_chain(tenants.org)).unsealed == 1
    kept = Point(chain.end.seq, chain.end.hash)
    found = await verdict(service, tenants, kept)
    assert found.broken is not None
    assert found.broken.seq == chain.end.seq


async def test_the_service_itself_takes_no_event_off_the_waiting_list(service: Service, tenants: Tenants) -> None:
    for team in ("*", "checkout"):
        statement = (
            "INSERT INTO config_audit_events (org_id, event_id, event_key, team_node_id, at, actor, action, target)"
            f" VALUES ('{tenants.org}', 'aud_x', 'x', 'checkout', now(), 'a', 'a', 't');"
            " CREATE TEMPORARY TABLE config_audit_seals AS SELECT org_id, event_id FROM config_audit_events;"
            f" DELETE FROM config_audit_unsealed WHERE org_id = '{tenants.org}'"
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="waits until a link holds it"):
            query(service.database, statement, tenant_settings(tenants.org, team))


@pytest.mark.parametrize("form", ExportFormat)
async def test_one_tampered_row_of_an_export_is_found_and_located(
    service: Service, tenants: Tenants, form: ExportFormat
) -> None:
    chain = await sealed(service, tenants)
    known = (Point(chain.end.seq, chain.end.hash),)
    lines = await exported(service, tenants, form)
    assert verify_lines(lines, known).broken is None
    for seq in range(1, chain.end.seq + 1):
        changed = [*lines[:seq], lines[seq].replace(tenants.org, "elsewhere", 1), *lines[seq + 1 :]]
        found = verify_lines(changed, known).broken
        assert found is not None
        assert found.seq == seq
        cut = verify_lines([*lines[:seq], *lines[seq + 1 :]], known)
        if form is ExportFormat.CSV and seq == 1:  # a spreadsheet does not say where it should begin; the verdict does
            assert cut.notes[0].startswith("begins after link 1")
        else:
            assert cut.broken is not None
            assert cut.broken.seq == seq
        if seq < chain.end.seq:
            moved = [*lines[:seq], lines[seq + 1], lines[seq], *lines[seq + 2 :]]
            assert verify_lines(moved, known).broken is not None


async def test_a_csv_export_is_safe_to_open_and_loses_nothing(service: Service, tenants: Tenants) -> None:
    orchestrator = service.as_service("orchestrator")
    strange = ['=HYPERLINK("http://evil")', "+1", "-1", "@x", "\tx", "'=x", 'a,b\n"c"\r\nd', "\u2028", "'", "x"]
    for number, target in enumerate(strange):
        event = AppendAuditEvent(event_key=f"s{number}", action="a", target=target, correlation_id=target)
        await orchestrator.append_audit_event(tenants.org, event)
    await sealed(service, tenants)
    async with service.with_token(tenants.admin).export_audit_chain(tenants.org, ExportFormat.CSV) as content:
        text = b"".join([piece async for piece in content]).decode()
    cells = [cell for row in csv.reader(StringIO(text, newline="")) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert verify_lines(StringIO(text, newline="")).broken is None


async def test_a_span_of_time_is_an_unbroken_part_of_the_chain(service: Service, tenants: Tenants) -> None:
    await sealed(service, tenants)
    client, now = service.with_token(tenants.admin), utc_now()
    async with client.export_audit_chain(tenants.org, since=now + timedelta(hours=1)) as content:
        nothing = b"".join([piece async for piece in content]).decode().splitlines()
    assert len(nothing) == 1
    await client.put_secret(tenants.org, "checkout", "later", "x")
    await settled(service, tenants)
    async with client.export_audit_chain(tenants.org, since=now, until=now + timedelta(hours=1)) as content:
        lines = b"".join([piece async for piece in content]).decode().splitlines(keepends=True)
    actions = [json.loads(line)["event"]["action"] for line in lines[1:]]
    assert actions == ["audit.exported", "secret.written"]
    found = verify_lines(lines)
    assert found.broken is None
    assert found.notes[0].startswith("begins after link")


async def test_a_team_gets_no_chain_and_an_export_is_on_record(service: Service, tenants: Tenants) -> None:
    await sealed(service, tenants)
    team = service.with_token(tenants.teams["checkout"])
    with pytest.raises(Forbidden):
        await team.audit_chain(tenants.org)
    with pytest.raises(Forbidden):
        async with team.export_audit_chain(tenants.org):
            pass
    await exported(service, tenants)
    admin = service.with_token(tenants.admin)
    [event] = (await admin.audit_events(tenants.org, action="audit.exported")).items
    assert event.actor == (await admin.me()).subject


async def test_the_service_itself_cannot_change_or_remove_a_seal(service: Service, tenants: Tenants) -> None:
    for table in ("config_audit_seals", "config_audit_checkpoints"):
        for statement in (f"UPDATE {table} SET hash = 'x'", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                query(service.database, statement, tenant_settings(tenants.org))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(
            service.database,
            f"INSERT INTO config_audit_checkpoints VALUES ('{tenants.org}', 9, 'x', 9)",
            tenant_settings(tenants.org),
        )


async def test_search_by_each_filter(service: Service, tenants: Tenants) -> None:
    orchestrator, admin = service.as_service("orchestrator"), service.with_token(tenants.admin)
    wanted = AppendAuditEvent(
        event_key="w", action="a.b", target="x", team_node_id="checkout", correlation_id="cor_wanted"
    )
    event = await orchestrator.append_audit_event(tenants.org, wanted)
    await orchestrator.append_audit_event(tenants.org, AppendAuditEvent(event_key="o", action="c.d", target="y"))
    for filters in (
        AuditFilters(action="a.b"),
        AuditFilters(target="x"),
        AuditFilters(correlation_id="cor_wanted"),
        AuditFilters(actor="service:orchestrator", team_node_id="checkout"),
        AuditFilters(target="x", since=event.at, until=event.at + timedelta(microseconds=1)),
    ):
        found = (await admin.audit_events(tenants.org, wanted=filters)).items
        assert [item.event_id for item in found] == [event.event_id], filters
    nobody = AuditFilters(target="x", until=event.at)
    assert (await admin.audit_events(tenants.org, wanted=nobody)).items == ()
    path = f"/api/v1/orgs/{tenants.org}/audit-events"
    for bad in ({"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"actor": "a" * 600}, {"team_node_id": "A"}):
        answer = await service.call("GET", path, tenants.admin, params=bad)
        assert answer.status_code in (400, 422), bad
