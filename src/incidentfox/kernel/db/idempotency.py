"""`Idempotency-Key` for writes (draft-ietf-httpapi-idempotency-key-header): the same key answers the same, once.

Each service with tables owns one table of this form, named `<service>_idempotency_keys`. The record is written in the
transaction of the work itself, so that neither exists without the other; a second request that is in flight at the
same time waits on the primary key.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CursorResult, Table, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict

__all__ = ["claim_key", "keep_response", "purge_keys"]


async def claim_key(
    connection: AsyncConnection, table: Table, org_id: str, key: str, request: Any
) -> dict[str, Any] | None:
    """Claims the key for this transaction. Returns the kept response when the key was used before.

    `request` is what the key stands for (route and body); Conflict when the key was used for something else.
    """
    fingerprint = content_hash(request)
    claimed: CursorResult[Any] = await connection.execute(
        pg_insert(table)
        .values(org_id=org_id, idempotency_key=key, fingerprint=fingerprint)
        .on_conflict_do_nothing()
        .returning(literal_column("1"))
    )
    if claimed.first() is not None:
        return None
    row = (
        await connection.execute(
            select(table.c.fingerprint, table.c.response).where(
                table.c.org_id == org_id, table.c.idempotency_key == key
            )
        )
    ).one()
    if row.fingerprint != fingerprint:
        raise Conflict(
            "This Idempotency-Key was used for another request. Use a new key.", code="idempotency_key_reused"
        )
    response: dict[str, Any] = row.response
    return response


async def keep_response(
    connection: AsyncConnection, table: Table, org_id: str, key: str, response: dict[str, Any]
) -> None:
    """Keeps what the key answered. Secrets that are shown once are left out by the caller."""
    await connection.execute(
        table.update()
        .where(table.c.org_id == org_id, table.c.idempotency_key == key)
        .values(response=response, completed_at=func.now())
    )


async def purge_keys(connection: AsyncConnection, table: Table, org_id: str, older_than: Any) -> None:
    """Forgets keys older than a day or so; nobody retries longer."""
    await connection.execute(delete(table).where(table.c.org_id == org_id, table.c.created_at < older_than))
