"""Every SQL statement on secrets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.secrets.rules import SealedSecret
from incidentfox.config_service.secrets.tables import secrets
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.tables import node_ancestry
from incidentfox.contracts.configuration import SecretSummary

_WIRE = [secrets.c[name] for name in SecretSummary.model_fields]


async def put(session: Session, node_id: str, name: str, ciphertext: bytes, key_id: str) -> SecretSummary:
    """Writes a secret over what was there."""
    changed = {"ciphertext": ciphertext, "key_id": key_id, "updated_by": session.principal.subject}
    statement = (
        insert(secrets)
        .values(org_id=session.org_id, node_id=node_id, name=name, **changed)
        .on_conflict_do_update(index_elements=["org_id", "node_id", "name"], set_={**changed, "updated_at": func.now()})
        .returning(*_WIRE)
    )
    return _summary((await session.connection.execute(statement)).one())


async def summaries(session: Session, node_id: str, after: str | None, limit: int) -> list[SecretSummary]:
    """The node's own secrets by name, without their values."""
    statement = select(*_WIRE).where(secrets.c.org_id == session.org_id, secrets.c.node_id == node_id)
    if after is not None:
        statement = statement.where(secrets.c.name > after)
    rows = await session.connection.execute(statement.order_by(secrets.c.name).limit(limit))
    return [_summary(row) for row in rows]


async def ciphertext(session: Session, node_id: str, name: str) -> bytes | None:
    """What a secret of a node holds now; None when it is not set there. Locked until the end of the transaction."""
    statement = (
        select(secrets.c.ciphertext)
        .where(secrets.c.org_id == session.org_id, secrets.c.node_id == node_id, secrets.c.name == name)
        .with_for_update()
    )
    found: bytes | None = (await session.connection.execute(statement)).scalar_one_or_none()
    return found


async def remove(session: Session, node_id: str, name: str) -> None:
    """Deletes a secret of a node."""
    await session.connection.execute(
        delete(secrets).where(secrets.c.org_id == session.org_id, secrets.c.node_id == node_id, secrets.c.name == name)
    )


async def set_below(session: Session, node_id: str, name: str) -> set[str]:
    """The nodes below this one that have a secret of this name of their own."""
    statement = (
        select(secrets.c.node_id)
        .join(
            node_ancestry,
            (node_ancestry.c.org_id == secrets.c.org_id) & (node_ancestry.c.node_id == secrets.c.node_id),
        )
        .where(
            secrets.c.org_id == session.org_id,
            secrets.c.name == name,
            node_ancestry.c.ancestor_id == node_id,
            node_ancestry.c.distance > 0,
        )
    )
    return set((await session.connection.execute(statement)).scalars())


async def lock_sealed_with(session: Session, key_ids: Collection[str], limit: int) -> list[SealedSecret]:
    """Secrets that are sealed with one of these keys, locked; those that another writer holds are left for later."""
    statement = (
        select(secrets.c.node_id, secrets.c.name, literal(0).label("distance"), secrets.c.ciphertext)
        .where(secrets.c.org_id == session.org_id, secrets.c.key_id.in_(key_ids))
        .order_by(secrets.c.node_id, secrets.c.name)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [SealedSecret(**row._mapping) for row in await session.connection.execute(statement)]


async def replace_ciphertext(session: Session, secret: SealedSecret, ciphertext: bytes, key_id: str) -> None:
    """Keeps the same value under another key: nobody has written the secret, so who did and when stays."""
    await session.connection.execute(
        update(secrets)
        .where(secrets.c.org_id == session.org_id, secrets.c.node_id == secret.node_id, secrets.c.name == secret.name)
        .values(ciphertext=ciphertext, key_id=key_id)
    )


async def count_not_sealed_with(session: Session, key_id: str) -> dict[str, int]:
    """How many secrets are sealed with each other key."""
    statement = (
        select(secrets.c.key_id, func.count())
        .where(secrets.c.org_id == session.org_id, secrets.c.key_id != key_id)
        .group_by(secrets.c.key_id)
    )
    return {row[0]: row[1] for row in await session.connection.execute(statement)}


async def sealed_on_path(session: Session, node_id: str, names: Collection[str]) -> list[SealedSecret]:
    """The secrets of these names on the node and above it."""
    statement = (
        select(secrets.c.node_id, secrets.c.name, node_ancestry.c.distance, secrets.c.ciphertext)
        .join(
            node_ancestry,
            (node_ancestry.c.org_id == secrets.c.org_id) & (node_ancestry.c.ancestor_id == secrets.c.node_id),
        )
        .where(secrets.c.org_id == session.org_id, node_ancestry.c.node_id == node_id, secrets.c.name.in_(names))
    )
    return [SealedSecret(**row._mapping) for row in await session.connection.execute(statement)]


def _summary(row: Row[Any]) -> SecretSummary:
    return SecretSummary(**row._mapping)
