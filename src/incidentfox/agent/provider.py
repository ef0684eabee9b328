"""What a model provider is, and how a team's model configuration becomes a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from pydantic_ai.models import Model

from incidentfox.agent import providers
from incidentfox.contracts.configuration import ModelConfiguration, TeamConfiguration
from incidentfox.kernel.errors import Unprocessable
from incidentfox.kernel.registry import load_plugins


@dataclass(frozen=True)
class Provider:
    """One provider. `build` makes a model from its configuration and performs no I/O.

    Its models raise `kernel.errors` failures: Temporary ones are tried again, Permanent ones end the run.
    """

    name: str
    description: str
    build: Callable[[ModelConfiguration], Model]


@cache
def known_providers() -> dict[str, Provider]:
    """Every provider of this release, by name."""
    return load_plugins(providers, "provider", Provider)


def build_model(configuration: TeamConfiguration, key: str) -> Model:
    """The model that agents call `key`. `default` is the offline model where the team names none."""
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
    return provider.build(chosen)
