"""Sessions age out once they are over; every other token stays, and so does the record of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser

from incidentfox.config_service.tokens.store import PURGE
from incidentfox.contracts.tokens import CreatedToken
from incidentfox.kernel.db.retention import Retention
from incidentfox.kernel.db.session import Database

pytestmark = pytest.mark.anyio

MONTH = timedelta(days=30)


@pytest.fixture
async def connections(service: Service) -> AsyncIterator[Database]:
    """A pool as the service's own role."""
    made = Database(service.database.url("incidentfox_config"), 2)
    yield made
    await made.close()


async def signed_in(service: Service, token: str) -> CreatedToken:
    """A session of this token, which has called once."""
    code = await service.with_token(token).create_sign_in_code()
    session = await service.client(None).exchange_sign_in_code(code.code)
    await service.with_token(session.secret).me()
    await service.app.state.parts.tokens.settle()
    return session


def end(service: Service, token_id: str, column: str, days: int) -> None:
    """Makes a token one that expired or was revoked so many days ago."""
    for table in ("team_tokens", "org_admin_tokens"):
        as_superuser(
            service.database,
            f"UPDATE {table} SET {column} = now() - interval '{days} days' WHERE token_id = '{token_id}'",
        )


def left(service: Service, org: str) -> dict[str, bool]:
    """The ids of the tokens that are there, and whether each has a limit."""
    both = "SELECT org_id, token_id, token_hash FROM team_tokens UNION SELECT org_id, token_id, token_hash"
    with psycopg.connect(service.database.superuser_url) as connection:
        rows = connection.execute(
            "SELECT t.token_id, l.token_hash IS NOT NULL"
            f" FROM ({both} FROM org_admin_tokens) t LEFT JOIN config_token_limits l USING (token_hash)"
            " WHERE t.org_id = %s",
            (org,),
        )
        return dict(rows.fetchall())


def limits(service: Service) -> int:
    """How many limits there are."""
    with psycopg.connect(service.database.superuser_url) as connection:
        return len(connection.execute("SELECT 1 FROM config_token_limits").fetchall())


async def test_sessions_that_are_over_go_and_all_else_stays(
    service: Service, tenants: Tenants, connections: Database
) -> None:
    before = set(left(service, tenants.org))
    gone, kept = [], []
    for secret in (tenants.admin, tenants.teams["checkout"]):
        for column in ("expires_at", "revoked_at"):
            for days, ids in ((31, gone), (29, kept)):
                ids.append((await signed_in(service, secret)).token.token_id)
                end(service, ids[-1], column, days)
        kept.append((await signed_in(service, secret)).token.token_id)
    held = await service.with_token(tenants.admin).me()
    token_id = held.subject.removeprefix("token:")
    for column in ("expires_at", "revoked_at"):
        end(service, token_id, column, 400)  # a token that somebody was given, long over
    events = len((await service.as_service("platform").audit_events(tenants.org, limit=200)).items)
    limited = limits(service)

    assert await Retention(connections, PURGE, MONTH, 1).purge() == len(gone)
    assert set(left(service, tenants.org)) == before | set(kept)
    assert limits(service) == limited - len(gone)
    assert len((await service.as_service("platform").audit_events(tenants.org, limit=200)).items) == events
    assert await Retention(connections, PURGE, MONTH, 100).purge() == 0


async def test_the_service_deletes_no_token_itself_and_nothing_of_today(
    service: Service, tenants: Tenants, connections: Database
) -> None:
    session = await signed_in(service, tenants.teams["checkout"])
    await service.with_token(session.secret).sign_out()
    await Retention(connections, PURGE, timedelta(days=-1), 100).purge()
    assert session.token.token_id in left(service, tenants.org)
    with psycopg.connect(service.database.url("incidentfox_config"), autocommit=True) as connection:
        connection.execute("SET incidentfox.retention = 'on'")
        assert connection.execute("SELECT count(*) FROM team_tokens").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM team_tokens")


async def test_the_record_still_tells_whose_session_it_was(
    service: Service, tenants: Tenants, connections: Database
) -> None:
    admin = service.with_token(tenants.admin)
    session = await signed_in(service, tenants.admin)
    end(service, session.token.token_id, "revoked_at", 31)
    await Retention(connections, PURGE, MONTH, 100).purge()
    assert session.token.token_id not in left(service, tenants.org)
    [event] = [
        event
        for event in (await admin.audit_events(tenants.org, action="sign_in_code.exchanged")).items
        if event.target == session.token.token_id
    ]
    assert event.actor == (await admin.me()).subject
