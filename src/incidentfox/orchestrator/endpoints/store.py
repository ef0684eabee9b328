"""Every SQL statement about webhook endpoints outside the hot path. Scoped by the transaction's tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.contracts.webhooks import Endpoint, EndpointSecret
from incidentfox.orchestrator.endpoints.tables import webhook_endpoints, webhook_secrets


@dataclass(frozen=True)
class NewSecret:
    """A sealed secret to be kept with an endpoint."""

    secret_id: str
    org_id: str
    endpoint_id: str
    ciphertext: bytes
    created_by: str


@dataclass(frozen=True)
class SealedSecret:
    """A stored secret of an endpoint."""

    endpoint_id: str
    secret_id: str
    ciphertext: bytes = field(repr=False)


async def insert_endpoint(connection: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Adds an endpoint."""
    await connection.execute(insert(webhook_endpoints).values(values))


async def insert_secret(connection: AsyncConnection, secret: NewSecret) -> None:
    """Adds a secret without expiry."""
    await connection.execute(
        insert(webhook_secrets).values(
            secret_id=secret.secret_id,
            org_id=secret.org_id,
            endpoint_id=secret.endpoint_id,
            ciphertext=secret.ciphertext,
            created_by=secret.created_by,
        )
    )


async def lock_not_sealed_with(connection: AsyncConnection, org_id: str, key_id: str, limit: int) -> list[SealedSecret]:
    """Secrets that are sealed with another key, locked; those that another writer holds are left for later."""
    rows = await connection.execute(
        _sealed_otherwise(
            select(webhook_secrets.c.endpoint_id, webhook_secrets.c.secret_id, webhook_secrets.c.ciphertext),
            org_id,
            key_id,
        )
        .order_by(webhook_secrets.c.secret_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [SealedSecret(**row._mapping) for row in rows]


async def replace_ciphertext(connection: AsyncConnection, org_id: str, secret_id: str, ciphertext: bytes) -> None:
    """Keeps the same secret under another key."""
    await connection.execute(
        update(webhook_secrets)
        .where(webhook_secrets.c.org_id == org_id, webhook_secrets.c.secret_id == secret_id)
        .values(ciphertext=ciphertext)
    )


async def count_not_sealed_with(connection: AsyncConnection, org_id: str, key_id: str) -> int:
    """How many secrets are sealed with another key."""
    statement = _sealed_otherwise(select(func.count()).select_from(webhook_secrets), org_id, key_id)
    counted: int = (await connection.execute(statement)).scalar_one()
    return counted


async def lock_endpoint(connection: AsyncConnection, org_id: str, endpoint_id: str) -> bool:
    """Locks the endpoint against concurrent changes; False if there is none."""
    statement = (
        select(webhook_endpoints.c.endpoint_id)
        .where(webhook_endpoints.c.org_id == org_id, webhook_endpoints.c.endpoint_id == endpoint_id)
        .with_for_update()
    )
    return (await connection.execute(statement)).first() is not None


async def live_secret_ids(connection: AsyncConnection, endpoint_id: str) -> list[str]:
    """The secrets that count now, newest first."""
    rows = await connection.execute(_live(endpoint_id).order_by(webhook_secrets.c.secret_id.desc()))
    return [row.secret_id for row in rows]


async def expire_secrets(connection: AsyncConnection, secret_ids: Sequence[str], in_s: int) -> None:
    """Ends these secrets in so many seconds by the database's clock, or when they would have ended anyway."""
    if secret_ids:
        at = func.now() + timedelta(seconds=in_s)
        await connection.execute(
            update(webhook_secrets)
            .where(webhook_secrets.c.secret_id.in_(secret_ids))
            .values(expires_at=func.least(func.coalesce(webhook_secrets.c.expires_at, at), at))
        )


async def disable(connection: AsyncConnection, org_id: str, endpoint_id: str) -> None:
    """Shuts the endpoint; one that is shut stays as it is."""
    await connection.execute(
        update(webhook_endpoints)
        .where(
            webhook_endpoints.c.org_id == org_id,
            webhook_endpoints.c.endpoint_id == endpoint_id,
            webhook_endpoints.c.disabled_at.is_(None),
        )
        .values(disabled_at=func.now())
    )


async def read_endpoint(connection: AsyncConnection, org_id: str, endpoint_id: str) -> Endpoint | None:
    """One endpoint with its live secrets."""
    found = await _read(
        connection,
        select(webhook_endpoints).where(
            webhook_endpoints.c.org_id == org_id, webhook_endpoints.c.endpoint_id == endpoint_id
        ),
    )
    return found[0] if found else None


async def list_endpoints(connection: AsyncConnection, org_id: str, before: str | None, limit: int) -> list[Endpoint]:
    """Endpoints newest first, from before the id `before`; one more than `limit`, if there are."""
    statement = select(webhook_endpoints).where(webhook_endpoints.c.org_id == org_id)
    if before is not None:
        statement = statement.where(webhook_endpoints.c.endpoint_id < before)
    return await _read(connection, statement.order_by(webhook_endpoints.c.endpoint_id.desc()).limit(limit + 1))


async def _read(connection: AsyncConnection, statement: Any) -> list[Endpoint]:
    rows = (await connection.execute(statement)).all()
    secrets: dict[str, list[EndpointSecret]] = {row.endpoint_id: [] for row in rows}
    live = select(webhook_secrets).where(
        webhook_secrets.c.endpoint_id.in_(secrets),
        or_(webhook_secrets.c.expires_at.is_(None), webhook_secrets.c.expires_at > func.now()),
    )
    for secret in await connection.execute(live.order_by(webhook_secrets.c.secret_id.desc())):
        secrets[secret.endpoint_id].append(
            EndpointSecret(secret_id=secret.secret_id, created_at=secret.created_at, expires_at=secret.expires_at)
        )
    return [
        Endpoint(
            endpoint_id=row.endpoint_id,
            org_id=row.org_id,
            source=row.source,
            name=row.name,
            path=f"/webhooks/{row.source}/{row.endpoint_id}",
            rate_per_minute=row.rate_per_minute,
            burst=row.burst,
            secrets=tuple(secrets[row.endpoint_id]),
            created_at=row.created_at,
            disabled_at=row.disabled_at,
        )
        for row in rows
    ]


def _live(endpoint_id: str) -> Any:
    return select(webhook_secrets.c.secret_id).where(
        webhook_secrets.c.endpoint_id == endpoint_id,
        or_(webhook_secrets.c.expires_at.is_(None), webhook_secrets.c.expires_at > func.now()),
    )


def _sealed_otherwise(statement: Select[Any], org_id: str, key_id: str) -> Select[Any]:
    """The key's id stands in front of each ciphertext, and a dot after it (`kernel/crypto.py`)."""
    mark = f"{key_id}.".encode()
    return statement.where(
        webhook_secrets.c.org_id == org_id, func.substr(webhook_secrets.c.ciphertext, 1, len(mark)) != mark
    )
