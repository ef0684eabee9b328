"""What a destination is: a place where a finished answer is posted, exactly once.

`effects.py` calls it: first the intent is on record, then `deliver` posts, then the end is on record. After a crash in
between, `deliver` is called with `fresh` False and must look for what it may have posted before it posts again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import ClassVar

from incidentfox.agent import destinations
from incidentfox.contracts.answer import Answer
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.runs import RunInput
from incidentfox.kernel.registry import load_plugins


@dataclass(frozen=True)
class FormField:
    """One field of the form by which a destination is configured. `path` is where it stands in the document."""

    path: str
    label: str
    help: str
    secret: bool = False


@dataclass(frozen=True)
class Delivery:
    """One answer on its way to one target.

    `tools` names the tool of each tool call that the answer cites. `secret(name)` resolves a secret of the team for
    this run; what it returns is used and forgotten. `fresh` is False where an earlier attempt may have posted already.
    """

    run_id: str
    effect_key: str
    target: str
    answer: Answer
    asked: RunInput
    configuration: TeamConfiguration
    run_url: str
    tools: Mapping[str, str]
    intended_at: datetime
    fresh: bool
    secret: Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Delivered:
    """What was made: the other system's id of it, and its address where it has one."""

    external_id: str
    url: str | None = None


class Destination(ABC):
    """One kind of place."""

    name: ClassVar[str]
    description: ClassVar[str]
    fields: ClassVar[tuple[FormField, ...]]

    @abstractmethod
    def target(self, configuration: TeamConfiguration, asked: RunInput) -> str | None:
        """Where this team wants the answer to this question, as text for the ledger; None: nowhere. Pure."""

    @abstractmethod
    async def deliver(self, delivery: Delivery) -> Delivered:
        """Posts the answer, or finds it posted. Raises Permanent (it cannot be) or Temporary (it may be, later)."""


@cache
def known_destinations() -> dict[str, Destination]:
    """Every destination of this release, by name."""
    return load_plugins(destinations, "destination", Destination)  # type: ignore[type-abstract]
