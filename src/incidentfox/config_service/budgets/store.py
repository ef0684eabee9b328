"""Every SQL statement on budgets."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, insert, literal, select, text, update

from incidentfox.config_service.budgets.rules import Use
from incidentfox.config_service.budgets.tables import budget_reservations
from incidentfox.config_service.session import Session
from incidentfox.contracts.budgets import ReserveBudget, SettleBudget
from incidentfox.contracts.runs import Run


async def take_turns(session: Session, team_node_id: str) -> None:
    """Lets one reservation of the team at a time go on, until the end of its transaction."""
    key = f"budget {session.org_id} {team_node_id}"
    await session.connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


async def today(session: Session) -> date:
    """The day of this transaction, UTC, by the database's clock: every replica has the same."""
    found: date = (await session.connection.execute(select(func.date(func.timezone("UTC", func.now()))))).scalar_one()
    return found


async def is_reserved(session: Session, run_id: str, request: ReserveBudget) -> bool:
    """Whether this very attempt is on record, open or settled."""
    table = budget_reservations.c
    statement = select(literal(1)).where(*_call(session, run_id, request.call), table.attempt == request.attempt)
    return (await session.connection.execute(statement)).first() is not None


async def charge_open(session: Session, run_id: str, call: str) -> None:
    """Counts what is open of the call as spent in full."""
    table = budget_reservations.c
    statement = (
        update(budget_reservations)
        .where(*_call(session, run_id, call), table.settled_at.is_(None))
        .values(tokens_spent=table.tokens_reserved, usd_spent=table.usd_reserved, settled_at=func.now())
    )
    await session.connection.execute(statement)


async def reserve(session: Session, run: Run, day: date, request: ReserveBudget) -> None:
    """Puts one attempt on record."""
    values = {
        "org_id": session.org_id,
        "run_id": run.run_id,
        "call": request.call,
        "attempt": request.attempt,
        "team_node_id": run.team_node_id,
        "day": day,
        "tokens_reserved": request.tokens,
        "usd_reserved": request.usd,
    }
    await session.connection.execute(insert(budget_reservations).values(values))


async def settle(session: Session, run_id: str, settled: SettleBudget) -> None:
    """Replaces what is open of the call by what it cost."""
    table = budget_reservations.c
    statement = (
        update(budget_reservations)
        .where(*_call(session, run_id, settled.call), table.settled_at.is_(None))
        .values(tokens_spent=settled.tokens, usd_spent=settled.usd, settled_at=func.now())
    )
    await session.connection.execute(statement)


async def use_of_run(session: Session, run_id: str) -> Use:
    """What the run has spent and holds, over all days."""
    return await _use(session, _use_where(session, budget_reservations.c.run_id == run_id))


async def use_of_day(session: Session, team_node_id: str, day: date) -> Use:
    """What the team has spent and holds on a day."""
    table = budget_reservations.c
    return await _use(session, _use_where(session, and_(table.team_node_id == team_node_id, table.day == day)))


def _call(session: Session, run_id: str, call: str) -> tuple[ColumnElement[bool], ...]:
    table = budget_reservations.c
    return table.org_id == session.org_id, table.run_id == run_id, table.call == call


def _use_where(session: Session, condition: ColumnElement[bool]) -> Select[Any]:
    """What is open counts in full, also of a run that is over: its last request may have been billed all the same."""
    table = budget_reservations.c
    settled, open_still = table.settled_at.is_not(None), table.settled_at.is_(None)
    sums = (
        func.coalesce(func.sum(table.tokens_spent).filter(settled), 0),
        func.coalesce(func.sum(table.tokens_reserved).filter(open_still), 0),
        func.coalesce(func.sum(table.usd_spent).filter(settled), 0),
        func.coalesce(func.sum(table.usd_reserved).filter(open_still), 0),
    )
    return select(*sums).where(table.org_id == session.org_id, condition)


async def _use(session: Session, statement: Select[Any]) -> Use:
    spent_tokens, reserved_tokens, spent_usd, reserved_usd = (await session.connection.execute(statement)).one()
    return Use(int(spent_tokens), int(reserved_tokens), Decimal(spent_usd), Decimal(reserved_usd))
