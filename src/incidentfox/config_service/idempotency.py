"""`Idempotency-Key` on the POSTs that create something: the same key and request answer the same, once.

Keys belong to the caller that used them: two subjects never meet over a key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Header
from pydantic import BaseModel
from sqlalchemy import Column, DateTime, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from incidentfox.config_service.session import Session
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.db.idempotency import claim_key, keep_response, purge_keys

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Makes the call safe to repeat for a day: the same key and body answer the same, once.",
    ),
]

Model = TypeVar("Model", bound=BaseModel)

_KEPT_FOR = timedelta(days=1)

metadata = MetaData()

idempotency_keys = Table(
    "config_idempotency_keys",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("response", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("completed_at", DateTime(timezone=True)),
)


async def once(
    session: Session, key: str | None, request: BaseModel, answer: type[Model], work: Callable[[], Awaitable[Model]]
) -> Model:
    """Does `work` unless this caller's `key` was used before; then what it answered.

    Raises Conflict when the key was used for another request.
    """
    kept = await replayed(session, key, request)
    if kept is not None:
        return answer.model_validate(kept)
    result = await work()
    await keep(session, key, result.model_dump(mode="json", by_alias=True))
    return result


async def replayed(session: Session, key: str | None, request: BaseModel) -> dict[str, Any] | None:
    """What `keep` kept under this caller's `key`; None when the work is still to be done, here and now."""
    if key is None:
        return None
    fingerprint = [type(request).__name__, request.model_dump(mode="json", by_alias=True)]
    table, scoped = idempotency_keys, _scoped(session, key)
    kept = await claim_key(session.connection, table, session.org_id, scoped, fingerprint)
    if kept is None:
        await purge_keys(session.connection, table, session.org_id, utc_now() - _KEPT_FOR)
    return kept


async def keep(session: Session, key: str | None, response: dict[str, Any]) -> None:
    """Keeps the answer under the key that `replayed` claimed. A secret that is shown once must not be in it."""
    if key is not None:
        await keep_response(session.connection, idempotency_keys, session.org_id, _scoped(session, key), response)


def _scoped(session: Session, key: str) -> str:
    return f"{session.principal.subject} {key}"
