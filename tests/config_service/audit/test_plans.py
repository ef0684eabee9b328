"""Each filter of the audit reads through an index of its own, under row-level security and in the order of the list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.environment import Database, execute

from incidentfox.config_service.audit import store
from incidentfox.config_service.session import Session
from incidentfox.contracts.audit import AuditFilters
from incidentfox.kernel.db.session import Database as Connections
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal

pytestmark = pytest.mark.anyio

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = "aud_01500"

CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("config_audit_events_actor", {"actor": "user:7"}, "actor = "),
    ("config_audit_events_target", {"target": "run_7"}, "target = "),
    ("config_audit_events_correlation", {"correlation_id": "cor_7"}, "correlation_id = "),
    ("config_audit_events_action", {"action": "a.7"}, "action = "),
    ("config_audit_events_team", {"team_node_id": "team-7"}, "team_node_id = "),
    ("config_audit_events_at", {"since": BEGAN, "until": BEGAN + timedelta(minutes=500)}, "at < "),
    ("config_audit_events_pkey", {}, "org_id = "),
)


@pytest.fixture
async def audited(database: Database) -> AsyncIterator[Connections]:
    """Three organisations with 1,000 events each."""
    execute(
        database.superuser_url,
        "INSERT INTO config_audit_events"
        " (org_id, event_id, event_key, team_node_id, at, actor, action, target, correlation_id)"
        " SELECT 'org-' || i % 3, 'aud_' || lpad(i::text, 5, '0'), 'k' || i, 'team-' || i % 20,"
        f" timestamptz '{BEGAN.isoformat()}' + i * interval '1 minute', 'user:' || i % 40, 'a.' || i % 30,"
        " 'run_' || i / 4, 'cor_' || i / 6 FROM generate_series(1, 3000) i",
        "ANALYZE config_audit_events",
    )
    connections = Connections(database.url("incidentfox_config"), 2)
    yield connections
    await connections.close()


@pytest.mark.parametrize("team", [None, "team-7"])
async def test_each_filter_reads_through_its_index(audited: Connections, team: str | None) -> None:
    tenant = Tenant("org-1", team)
    for index, filters, condition in CASES:
        for before in (None, BEFORE):
            async with audited.transaction(tenant) as connection:
                caller = Principal("service:test", "org-1", team, frozenset(), is_service=True)
                session = Session(connection, tenant, caller, None)
                statement = store.search(session, AuditFilters(**filters), before).limit(101)
                # A thousand rows are sorted as fast as they are read in order; a million are not.
                await connection.execute(text("SET LOCAL enable_sort = off"))
                compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
                plan = [row[0] for row in await connection.exec_driver_sql(f"EXPLAIN {compiled}")]
            said = "\n".join(plan)
            scan = next((n for n, line in enumerate(plan) if f"Index Scan Backward using {index} " in line), None)
            assert scan is not None, said
            assert "Sort" not in said, said
            conditions = plan[scan + 1]
            assert condition in conditions, said
            assert before is None or "event_id" in conditions, said
