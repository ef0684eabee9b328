"""Reserves and settles what model calls cost. A limit holds at every moment, however many runs ask at once."""

from __future__ import annotations

from incidentfox.config_service.budgets import store
from incidentfox.config_service.budgets.rules import exceeded
from incidentfox.config_service.configuration.service import effective
from incidentfox.config_service.runs.rules import run_is_over
from incidentfox.config_service.runs.service import read_run
from incidentfox.config_service.runs.store import lock_run
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.service import require_team
from incidentfox.contracts.budgets import Reservation, ReserveBudget, SettleBudget, TeamBudget
from incidentfox.contracts.runs import FINISHED


async def reserve(session: Session, run_id: str, request: ReserveBudget) -> Reservation:
    """Reserves for one attempt of a call, if every limit of the team's configuration holds with it.

    The configuration is the one of now, not the run's: a limit that is lowered holds from the next call on.
    Reservations of one team take turns, so that what was checked is what comes to hold.
    """
    run = await read_run(session, run_id)
    await store.take_turns(session, run.team_node_id)
    # Against a cancellation, which may have come meanwhile: either it comes first, or this reservation does.
    held = await lock_run(session, run_id)
    if held is None or held.run.status in FINISHED:
        raise run_is_over(held.run if held is not None else run)
    if await store.is_reserved(session, run_id, request):
        return Reservation(granted=True)
    await store.charge_open(session, run_id, request.call)
    day = await store.today(session)
    broken = exceeded(
        (await effective(session, run.team_node_id)).document.budgets,
        await store.use_of_run(session, run_id),
        await store.use_of_day(session, run.team_node_id, day),
        request.tokens,
        request.usd,
    )
    if broken is not None:
        return Reservation(granted=False, exceeded=broken)
    await store.reserve(session, run, day, request)
    return Reservation(granted=True)


async def settle(session: Session, run_id: str, settled: SettleBudget) -> None:
    """Replaces what is reserved for the call by what it cost, also after the run's end."""
    await read_run(session, run_id)
    await store.settle(session, run_id, settled)


async def team_budget(session: Session, team_node_id: str) -> TeamBudget:
    """What the team may spend and has spent today."""
    await require_team(session, team_node_id)
    day = await store.today(session)
    use = await store.use_of_day(session, team_node_id, day)
    return TeamBudget(
        org_id=session.org_id,
        team_node_id=team_node_id,
        day=day,
        limits=(await effective(session, team_node_id)).document.budgets,
        spent_tokens=use.spent_tokens,
        reserved_tokens=use.reserved_tokens,
        spent_usd=float(use.spent_usd),
        reserved_usd=float(use.reserved_usd),
    )
