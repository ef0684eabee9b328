"""Every SQL statement on tokens and sign-in codes.

The first three run before the tenant is known (`ByProof`): row-level security then shows only the row whose hash the
caller has shown to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Row,
    Select,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.config_service.session import Session
from incidentfox.config_service.tokens.tables import org_admin_tokens, sign_in_codes, team_tokens, token_limits
from incidentfox.contracts.permissions import ROLE_PERMISSIONS, Permission, Role
from incidentfox.contracts.tokens import Token, TokenKind

PURGE = "SELECT config_purge_sessions($1, $2)"
"""Takes sessions that expired or were revoked longer ago than $1, with their limits; about $2 of each kind at most."""
PURGED_AT_ONCE = 500

_TABLES = {TokenKind.TEAM: team_tokens, TokenKind.ORG_ADMIN: org_admin_tokens}
_LAST_USED_STEP = timedelta(minutes=1)
_CODES_KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True)
class Rate:
    """How many calls a token may make: so many a second in the long run, and `burst` at once."""

    per_s: float
    burst: int


@dataclass(frozen=True)
class FoundCode:
    """A sign-in code, used or not, found by its hash."""

    org_id: str
    team_node_id: str | None
    token_id: str


async def token_in_force(connection: AsyncConnection, kind: TokenKind, token_hash: str) -> Token | None:
    """The token with this hash, unless it is expired or revoked. Needs a transaction by proof."""
    table = _TABLES[kind]
    statement = _tokens(kind).where(table.c.token_hash == token_hash, _in_force(table))
    row = (await connection.execute(statement)).first()
    return _token(row) if row else None


async def code(connection: AsyncConnection, code_hash: str) -> FoundCode | None:
    """The sign-in code with this hash. Needs a transaction by proof."""
    table = sign_in_codes.c
    statement = select(table.org_id, table.team_node_id, table.token_id).where(table.code_hash == code_hash)
    row = (await connection.execute(statement)).first()
    return FoundCode(row.org_id, row.team_node_id, row.token_id) if row else None


async def insert_token(session: Session, token: Token, token_hash: str, issued_by_token_id: str | None = None) -> None:
    """Stores a token by its hash."""
    values = token.model_dump(exclude={"kind", "user", "revoked_at", "last_used_at", "rotated_to"})
    if token.kind is TokenKind.ORG_ADMIN:
        del values["team_node_id"]
    values |= {
        "scopes": list(token.scopes),
        "user_handle": token.user,
        "token_hash": token_hash,
        "issued_by_token_id": issued_by_token_id,
        "created_by": session.principal.subject,
    }
    await session.connection.execute(insert(_TABLES[token.kind]).values(values))


async def tokens_after(session: Session, after: str | None, limit: int) -> list[Token]:
    """Tokens of both kinds, oldest first; a team-bound caller sees its team's."""
    both = union_all(
        *(_tokens(kind).where(table.c.org_id == session.org_id) for kind, table in _TABLES.items())
    ).subquery()
    statement = select(both)
    if after is not None:
        statement = statement.where(both.c.token_id > after)
    rows = await session.connection.execute(statement.order_by(both.c.token_id).limit(limit))
    return [_token(row) for row in rows]


async def token(session: Session, token_id: str) -> Token | None:
    """One token of either kind."""
    for kind, table in _TABLES.items():
        statement = _tokens(kind).where(table.c.org_id == session.org_id, table.c.token_id == token_id)
        row = (await session.connection.execute(statement)).first()
        if row is not None:
            return _token(row)
    return None


async def in_force(session: Session, token_id: str) -> tuple[Token, str | None] | None:
    """One token, unless it is expired or revoked, with the id of the token that it is a session of."""
    for kind, table in _TABLES.items():
        statement = _tokens(kind, table.c.issued_by_token_id).where(
            table.c.org_id == session.org_id, table.c.token_id == token_id, _in_force(table)
        )
        row = (await session.connection.execute(statement)).first()
        if row is not None:
            return _token(row), row.issued_by_token_id
    return None


async def revoke(session: Session, token: Token) -> None:
    """Revokes a token and the sessions that were signed in with it."""
    table = _TABLES[token.kind]
    await session.connection.execute(
        update(table)
        .where(
            table.c.org_id == session.org_id,
            or_(table.c.token_id == token.token_id, table.c.issued_by_token_id == token.token_id),
            table.c.revoked_at.is_(None),
        )
        .values(revoked_at=func.now())
    )


async def rotate(session: Session, token: Token, rotated_to: str, overlap: timedelta) -> None:
    """Ends a token and the sessions signed in with it after the overlap, unless they end before."""
    table = _TABLES[token.kind]
    end = func.least(func.coalesce(table.c.expires_at, text("'infinity'::timestamptz")), func.now() + overlap)
    of_token = or_(table.c.token_id == token.token_id, table.c.issued_by_token_id == token.token_id)
    await session.connection.execute(
        update(table)
        .where(table.c.org_id == session.org_id, of_token, table.c.revoked_at.is_(None))
        .values(expires_at=end, rotated_to=case((table.c.token_id == token.token_id, rotated_to)))
    )


async def take(connection: AsyncConnection, token_hash: str, count: int, rate: Rate) -> float:
    """Takes `count` calls from a token's allowance; 0.0, or the seconds until there are as many. Needs a transaction by
    proof.

    The generic cell rate algorithm (ITU-T I.371): one number a token, the time at which its allowance is whole again.
    The row is locked by the first statement, so that of two at once each sees what the other took.
    """
    table = token_limits
    now = func.extract("epoch", func.clock_timestamp()).cast(Double)
    cost = count / rate.per_s
    full_at = func.greatest(table.c.full_at, now) + cost
    statement = (
        pg_insert(table)
        .values(token_hash=token_hash, full_at=now + cost)
        .on_conflict_do_update(
            index_elements=["token_hash"], set_={"full_at": full_at}, where=full_at - now <= rate.burst / rate.per_s
        )
        .returning(table.c.full_at)
    )
    if (await connection.execute(statement)).first() is not None:
        return 0.0
    wait = select(table.c.full_at - now + cost - rate.burst / rate.per_s).where(table.c.token_hash == token_hash)
    left: float = (await connection.execute(wait)).scalar_one()
    return max(left, 0.001)


async def touch(connection: AsyncConnection, token: Token) -> None:
    """Notes that a token was used, at most once a minute."""
    table = _TABLES[token.kind]
    await connection.execute(
        update(table)
        .where(
            table.c.token_id == token.token_id,
            or_(table.c.last_used_at.is_(None), table.c.last_used_at < func.now() - _LAST_USED_STEP),
        )
        .values(last_used_at=func.now())
    )


async def insert_code(session: Session, code_hash: str, token_id: str, expires_at: datetime) -> None:
    """Stores a sign-in code by its hash, and forgets those of the tenant that are long worth nothing."""
    table = sign_in_codes
    await session.connection.execute(
        delete(table).where(table.c.org_id == session.org_id, table.c.expires_at < func.now() - _CODES_KEPT_FOR)
    )
    await session.connection.execute(
        insert(sign_in_codes).values(
            code_hash=code_hash,
            org_id=session.org_id,
            team_node_id=session.tenant.team_node_id,
            token_id=token_id,
            expires_at=expires_at,
        )
    )


async def use_code(session: Session, code_hash: str) -> bool:
    """Spends a code; False when it was spent before or is too old. Of two at once, one gets it."""
    table = sign_in_codes
    statement = (
        update(table)
        .where(
            table.c.org_id == session.org_id,
            table.c.code_hash == code_hash,
            table.c.used_at.is_(None),
            table.c.expires_at > func.now(),
        )
        .values(used_at=func.now())
        .returning(table.c.code_hash)
    )
    return (await session.connection.execute(statement)).first() is not None


def _tokens(kind: TokenKind, *more: ColumnElement[Any]) -> Select[Any]:
    table = _TABLES[kind]
    team = table.c.team_node_id if kind is TokenKind.TEAM else null().cast(Text).label("team_node_id")
    columns = (
        table.c.token_id,
        table.c.org_id,
        literal(kind.value).label("kind"),
        team,
        table.c.name,
        table.c.role,
        table.c.scopes,
        table.c.user_handle.label("user"),
        table.c.hint,
        table.c.created_at,
        table.c.expires_at,
        table.c.revoked_at,
        table.c.last_used_at,
        table.c.rotated_to,
    )
    return select(*columns, *more)


def _in_force(table: Table) -> ColumnElement[bool]:
    return table.c.revoked_at.is_(None) & or_(table.c.expires_at.is_(None), table.c.expires_at > func.now())


def _token(row: Row[Any]) -> Token:
    values = {name: row._mapping[name] for name in Token.model_fields}
    # A scope or role of an older release that no longer exists grants nothing.
    if row.role is None:
        granted = {Permission(scope) for scope in row.scopes if scope in set(Permission)}
    else:
        granted = set(ROLE_PERMISSIONS[Role(row.role)]) if row.role in set(Role) else set()
    values["scopes"] = tuple(sorted(granted))
    return Token(**values)
