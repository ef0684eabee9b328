"""Posts a finished answer to every destination of the team, each exactly once, with the ledger as witness.

intent on record → post → end on record. A crash between the last two is the one case in which nobody knows whether
the post was made: then, and after every attempt that broke off, the destination looks before it posts again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from incidentfox.agent.destination import Delivery, Destination, known_destinations
from incidentfox.agent.journal import Journal
from incidentfox.agent.patience import patience
from incidentfox.agent.sources import resolve_secret
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.answer import Answer
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.events import AppendRunEvent, RunEventType
from incidentfox.contracts.runs import EffectStatus, IntendEffect, RunEffect, RunInput, SettleEffect
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.durable import FOR_EVER, Retry
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.tenant import Tenant

DELIVERY_RETRY = Retry(attempts=40, base_s=1.0, cap_s=60.0)
"""About half an hour of attempts; then the effect is settled as failed."""


@dataclass(frozen=True)
class Outbox:
    """Everything that posting one answer takes. `add` puts events on the run's timeline."""

    client: ConfigServiceClient
    journal: Journal
    tenant: Tenant
    run_id: str
    asked: RunInput
    configuration: TeamConfiguration
    answer: Answer
    tools: dict[str, str]
    run_url: str
    add: Callable[[AppendRunEvent], None]


async def post_everywhere(outbox: Outbox) -> None:
    """Posts to each destination that wants the answer. What a destination refuses is on record and ends nothing."""
    for name, destination in sorted(known_destinations().items()):
        target = destination.target(outbox.configuration, outbox.asked)
        if target is not None:
            await _post(outbox, name, destination, target)


async def _post(outbox: Outbox, name: str, destination: Destination, target: str) -> None:
    key = f"answer-{name}"
    executed = False

    async def intend() -> Any:
        nonlocal executed
        executed = True
        request = IntendEffect(effect_key=key, destination=name, target=target)
        with patience():
            effect = await outbox.client.intend_effect(outbox.tenant, outbox.run_id, request)
        return effect.model_dump(mode="json")

    effect = RunEffect.model_validate(await outbox.journal.step(f"intend {name}", intend, retry=FOR_EVER))
    about = {"effect_key": key, "destination": name, "target": target}
    _note(outbox, RunEventType.EFFECT_INTENDED, f"{key}-intended", about)
    # The intent was put on record by this very execution: nothing can have been posted before it.
    attempts = 0 if executed else 1

    async def deliver() -> Any:
        nonlocal attempts
        attempts += 1
        delivered = await destination.deliver(_delivery(outbox, effect, fresh=attempts == 1))
        return asdict(delivered)

    if effect.status is EffectStatus.INTENDED:
        try:
            made = await outbox.journal.step(f"deliver {name}", deliver, retry=DELIVERY_RETRY)
            settled = SettleEffect(status=EffectStatus.DONE, external_id=made["external_id"], url=made["url"])
        except Failure as failure:
            settled = SettleEffect(status=EffectStatus.FAILED, error=f"{failure.code}: {failure.detail}")

        async def settle() -> Any:
            with patience():
                ended = await outbox.client.settle_effect(outbox.tenant, outbox.run_id, key, settled)
            return ended.model_dump(mode="json")

        effect = RunEffect.model_validate(await outbox.journal.step(f"settle {name}", settle, retry=FOR_EVER))
    if effect.status is EffectStatus.DONE:
        done = {**about, "external_id": effect.external_id, "url": effect.url}
        _note(outbox, RunEventType.EFFECT_DONE, f"{key}-done", done)
    else:
        _note(outbox, RunEventType.EFFECT_FAILED, f"{key}-failed", {**about, "error": effect.error})


def _delivery(outbox: Outbox, effect: RunEffect, *, fresh: bool) -> Delivery:
    async def secret(name: str) -> str:
        return await resolve_secret(outbox.client, outbox.tenant, outbox.run_id, name)

    return Delivery(
        run_id=outbox.run_id,
        effect_key=effect.effect_key,
        target=effect.target,
        answer=outbox.answer,
        asked=outbox.asked,
        configuration=outbox.configuration,
        run_url=outbox.run_url,
        tools=outbox.tools,
        intended_at=effect.intended_at,
        fresh=fresh,
        secret=secret,
    )


def _note(outbox: Outbox, kind: RunEventType, key: str, data: dict[str, Any]) -> None:
    outbox.add(AppendRunEvent(event_key=key, type=kind, at=utc_now(), data=data))
