"""Retention: the oldest part of an audit goes, and what is left still proves itself."""

from __future__ import annotations

import psycopg
import pytest
from tests.environment import OWNER, Database, execute

from incidentfox.cli.audit_chain import verify_lines
from incidentfox.clients.audit_export import csv_header, csv_row
from incidentfox.config_service.audit import store
from incidentfox.config_service.audit.sealer import Sealer
from incidentfox.config_service.session import Session
from incidentfox.kernel.clock import utc, utc_now
from incidentfox.kernel.db.session import Database as Connections
from incidentfox.kernel.errors import Conflict
from incidentfox.kernel.hash_chain import Point
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal
from incidentfox.migrations import prune_audit

pytestmark = pytest.mark.anyio

ORG = "acme"


def add_events(database: Database, count: int, first: int = 0) -> None:
    """Events of 1 January 2026 and after, one a day."""
    execute(
        database.superuser_url,
        "INSERT INTO config_audit_events (org_id, event_id, event_key, at, actor, action, target)"
        f" SELECT '{ORG}', 'aud_' || i, 'k' || i, timestamptz '2026-01-01Z' + i * interval '1 day', 'a', 'b', 't' || i"
        f" FROM generate_series({first}, {first + count - 1}) i",
    )


async def seal_and_read(database: Database) -> tuple[list[str], Point]:
    """Seals everything; the chain as lines of CSV, and where it begins."""
    connections = Connections(database.url("incidentfox_config"), 2)
    try:
        await Sealer(connections).seal_all()
        async with connections.transaction(Tenant(ORG)) as connection:
            nobody = Principal("service:test", ORG, None, frozenset(), is_service=True)
            session = Session(connection, Tenant(ORG), nobody, None)
            start, end = await store.chain_start(session), await store.chain_end(session)
            links = await store.links_between(session, start.seq, end.seq, 1000)
    finally:
        await connections.close()
    return [csv_header(), *(csv_row(link) for link in links)], start


async def test_what_is_older_goes_and_the_rest_proves_itself(database: Database) -> None:
    add_events(database, 10)
    whole, _ = await seal_and_read(database)
    pruned = await prune_audit(database.url(OWNER), ORG, utc(1767571200))  # 2026-01-05
    assert pruned.events == 4
    assert pruned.start.hash == whole[4].split(",")[2]
    add_events(database, 2, first=10)
    rest, start = await seal_and_read(database)
    assert start == pruned.start
    verdict = verify_lines(rest, (pruned.start,))
    assert verdict.broken is None
    assert verdict.links == 6 + 1 + 2  # what was kept, the pruning itself, and what came after
    assert "audit.pruned" in "".join(rest)
    assert rest[1:7] == whole[5:]


async def test_pruning_everything_and_again_keeps_the_count(database: Database) -> None:
    add_events(database, 3)
    await seal_and_read(database)
    first = await prune_audit(database.url(OWNER), ORG, utc_now())
    assert (first.events, first.start.seq) == (3, 3)
    rest, _ = await seal_and_read(database)
    assert len(rest) == 2  # the header and the pruning
    second = await prune_audit(database.url(OWNER), ORG, utc_now())
    assert (second.events, second.start.seq) == (1, 4)
    verdict = verify_lines((await seal_and_read(database))[0], (second.start,))
    assert (verdict.broken, verdict.end.seq) == (None, 5)


async def test_what_is_not_sealed_stays(database: Database) -> None:
    add_events(database, 3)
    pruned = await prune_audit(database.url(OWNER), ORG, utc_now())
    assert pruned.events == 0
    lines, _ = await seal_and_read(database)
    assert len(lines) == 4


async def test_a_broken_part_is_evidence_and_stays(database: Database) -> None:
    add_events(database, 5)
    await seal_and_read(database)
    execute(database.superuser_url, "UPDATE config_audit_events SET actor = 'x' WHERE event_id = 'aud_2'")
    with pytest.raises(Conflict, match="broken at link 3") as refusal:
        await prune_audit(database.url(OWNER), ORG, utc_now())
    assert refusal.value.code == "audit_chain_broken"
    assert len((await seal_and_read(database))[0]) == 6


async def test_the_services_role_cannot_prune(database: Database) -> None:
    add_events(database, 3)
    await seal_and_read(database)
    with pytest.raises(Exception, match="permission denied"):
        await prune_audit(database.url("incidentfox_config"), ORG, utc_now())
    with psycopg.connect(database.superuser_url) as connection:
        assert connection.execute("SELECT count(*) FROM config_audit_events").fetchone() == (3,)
