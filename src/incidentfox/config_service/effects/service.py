"""Keeps the ledger of what a run posted where: the intent before, the outcome after."""

from __future__ import annotations

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.effects import store
from incidentfox.config_service.runs.rules import run_is_over, run_not_found
from incidentfox.config_service.runs.service import read_run
from incidentfox.config_service.runs.store import lock_run
from incidentfox.config_service.session import Session
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.runs import FINISHED, EffectStatus, IntendEffect, RunEffect, SettleEffect
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, NotFound, Unprocessable


async def intend(session: Session, run_id: str, intent: IntendEffect) -> RunEffect:
    """Records the intent; an entry that is there is returned as it stands, which may be settled already.

    Conflict when the key stands for an effect on something else, or the run is over: then nothing may be done.
    """
    held = await lock_run(session, run_id)  # against a cancellation: either it comes first, or this intent does
    if held is None:
        raise run_not_found(run_id)
    run = held.run
    created = await store.insert_intent(session, run, intent)
    if created is not None:
        if run.status in FINISHED:
            raise run_is_over(run)
        await _record(session, "effect.intended", None, created, run.team_node_id)
        return created
    existing = await store.lock_effect(session, run_id, intent.effect_key)
    if existing is None or (existing.destination, existing.target) != (intent.destination, intent.target):
        raise Conflict("This effect_key stands for another effect of the run.", code="effect_key_reused")
    return existing


async def settle(session: Session, run_id: str, effect_key: str, settled: SettleEffect) -> RunEffect:
    """Records how the effect ended. The same again changes nothing; what failed may be done later; done is done."""
    if settled.status is EffectStatus.INTENDED:
        message = "An effect is settled as done or failed."
        raise Unprocessable(message, errors=[FieldError(pointer="/status", message=message)])
    run = await read_run(session, run_id)
    existing = await store.lock_effect(session, run_id, effect_key)
    if existing is None:
        raise NotFound(f"The run {run_id} has no effect {effect_key!r}.", code="effect_not_found")
    if SettleEffect(**existing.model_dump(include=set(SettleEffect.model_fields))) == settled:
        return existing
    if existing.status is EffectStatus.DONE:
        raise Conflict("This effect is done already, with another outcome.", code="effect_settled")
    effect = await store.settle(session, run_id, effect_key, settled)
    await _record(session, "effect.settled", existing, effect, run.team_node_id)
    return effect


async def list_effects(session: Session, run_id: str) -> Page[RunEffect]:
    """The run's whole ledger."""
    await read_run(session, run_id)
    return Page[RunEffect](items=tuple(await store.effects_of(session, run_id)))


async def _record(
    session: Session, action: str, before: RunEffect | None, effect: RunEffect, team_node_id: str
) -> None:
    detail = effect.model_dump(mode="json", include={"effect_key", "destination", "target", "status", "external_id"})
    before_hash = _hash(before) if before is not None else None
    await record(session, Fact(action, effect.run_id, team_node_id, before_hash, _hash(effect), detail))


def _hash(effect: RunEffect) -> str:
    return content_hash(effect.model_dump(mode="json"))
