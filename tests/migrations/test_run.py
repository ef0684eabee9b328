"""A migration that fails says in one line what to mend, and leaves the database as it was."""

from __future__ import annotations

import pytest
from tests.environment import OWNER, Database, execute

from incidentfox.migrations import migrate
from incidentfox.migrations.run import MigrationFailed


@pytest.mark.parametrize(
    ("revision", "said"),
    [("0012", 'relation "orchestrator_audit_outbox" already exists'), ("9999", "Can't locate revision")],
)
def test_what_stops_a_migration_is_said_in_one_line(database: Database, revision: str, said: str) -> None:
    execute(database.superuser_url, f"UPDATE config_schema_version SET version_num = '{revision}'")
    with pytest.raises(MigrationFailed, match=said) as raised:
        migrate(database.url(OWNER))
    assert len(raised.value.detail.splitlines()) == 1
    assert "CREATE TABLE" not in raised.value.detail
    assert "<class" not in raised.value.detail


def test_a_database_that_is_away_is_said_without_its_password(database: Database) -> None:
    with pytest.raises(MigrationFailed) as raised:
        migrate("postgresql://owner:hunter2@127.0.0.1:9/incidentfox")
    assert "hunter2" not in raised.value.detail
