"""Every SQL statement on effects."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.effects.tables import run_effects
from incidentfox.config_service.session import Session
from incidentfox.contracts.runs import IntendEffect, Run, RunEffect, SettleEffect

_WIRE = [run_effects.c[name] for name in RunEffect.model_fields]


async def insert_intent(session: Session, run: Run, intent: IntendEffect) -> RunEffect | None:
    """Puts an intent on record; None when there is an entry already."""
    statement = (
        insert(run_effects)
        .values(org_id=run.org_id, run_id=run.run_id, team_node_id=run.team_node_id, **intent.model_dump())
        .on_conflict_do_nothing()
        .returning(*_WIRE)
    )
    row = (await session.connection.execute(statement)).first()
    return _effect(row) if row else None


async def lock_effect(session: Session, run_id: str, effect_key: str) -> RunEffect | None:
    """One entry with its row held until the end of the transaction."""
    table = run_effects.c
    statement = (
        select(*_WIRE)
        .where(table.org_id == session.org_id, table.run_id == run_id, table.effect_key == effect_key)
        .with_for_update()
    )
    row = (await session.connection.execute(statement)).first()
    return _effect(row) if row else None


async def settle(session: Session, run_id: str, effect_key: str, settled: SettleEffect) -> RunEffect:
    """Records how the effect ended. The caller holds the row."""
    table = run_effects
    statement = (
        update(table)
        .where(table.c.org_id == session.org_id, table.c.run_id == run_id, table.c.effect_key == effect_key)
        .values(settled_at=func.now(), **settled.model_dump())
        .returning(*_WIRE)
    )
    return _effect((await session.connection.execute(statement)).one())


async def effects_of(session: Session, run_id: str) -> list[RunEffect]:
    """The run's ledger, in the order of the intents."""
    table = run_effects.c
    statement = (
        select(*_WIRE)
        .where(table.org_id == session.org_id, table.run_id == run_id)
        .order_by(table.intended_at, table.effect_key)
    )
    return [_effect(row) for row in await session.connection.execute(statement)]


def _effect(row: Row[Any]) -> RunEffect:
    return RunEffect(**row._mapping)
