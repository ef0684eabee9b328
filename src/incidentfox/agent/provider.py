"""What a model provider is, and how a team's model configuration becomes a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from pydantic_ai.models import Model

from incidentfox.agent import providers
from incidentfox.contracts.configuration import ModelConfiguration, TeamConfiguration
from incidentfox.kernel.errors import Permanent, Temporary, Unprocessable
from incidentfox.kernel.registry import load_plugins

Secrets = Callable[[str], Awaitable[str]]
"""The plain value of a secret by its name, resolved for one run: never kept in a step, an event or a log."""

Price = Callable[[int, int, int], Decimal]
"""(input tokens, of these read from the provider's cache, output tokens) → US dollars."""


class ModelRefused(Permanent):
    """The provider turned the request down before any work was done: nothing is billed."""

    default_code = "model_refused"


class ModelBusy(Temporary):
    """The provider could not take the request now: nothing is billed."""

    default_code = "model_unavailable"


@dataclass(frozen=True)
class Provider:
    """One provider. `build` makes a model from its configuration and performs no I/O; `price` finds its prices.

    Its models raise `kernel.errors` failures: Temporary ones are tried again, Permanent ones end the run. ModelRefused
    and ModelBusy say that nothing is billed; after any other failure a budget counts the request as spent in full.
    """

    name: str
    description: str
    build: Callable[[ModelConfiguration, Secrets], Model]
    price: Callable[[ModelConfiguration], Price | None] | None = None
    """None for a model that costs nothing and that no budget counts; a None result: it costs, nobody knows how much."""


@cache
def known_providers() -> dict[str, Provider]:
    """Every provider of this release, by name."""
    return load_plugins(providers, "provider", Provider)


def chosen_model(configuration: TeamConfiguration, key: str) -> tuple[Provider, ModelConfiguration]:
    """What agents call `key`. `default` is the offline model where the team names none."""
    chosen = configuration.models.get(key)
    if chosen is None and key == "default":
        chosen = ModelConfiguration()
    if chosen is None:
        raise Unprocessable(f"The configuration has no model {key!r}.", code="unknown_model")
    provider = known_providers().get(chosen.provider)
    if provider is None:
        names = ", ".join(sorted(known_providers()))
        raise Unprocessable(
            f"This agent has no provider {chosen.provider!r}. It has: {names}.", code="unknown_provider"
        )
    return provider, chosen
