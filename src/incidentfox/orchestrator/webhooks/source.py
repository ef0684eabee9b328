"""The protocol of a source: how one kind of sender signs, and what its events mean. Sans-IO: bytes in, values out.

A source lives in `sources/<name>.py`, which binds `SOURCE`. It is called by service.py for every delivery, first
`verify` and then `parse`; it sees neither network nor database nor clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache

from pydantic import BaseModel, ConfigDict

from incidentfox.contracts.routing import Identifier
from incidentfox.contracts.runs import AlertInput, ReplyTo
from incidentfox.kernel.errors import Unauthenticated
from incidentfox.kernel.registry import load_plugins


class Action(StrEnum):
    """What an event asks for."""

    TRIGGER = "trigger"
    """The incident began: the one action that can start a run."""
    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    """The incident goes on after it was resolved; a trigger that follows may start another run."""
    RECORD = "record"
    """Something about the incident that changes nothing about its state."""
    IGNORE = "ignore"
    """Nothing of ours: answered 200 with `reason`, counted, not kept."""


class IncidentRef(BaseModel):
    """The incident an event is about, as its source knows it."""

    model_config = ConfigDict(frozen=True)

    external_id: str
    title: str = ""
    url: str | None = None


class ParsedEvent(BaseModel):
    """One event in source-neutral words. Everything in it is untrusted data. Kept as JSON with the delivery."""

    model_config = ConfigDict(frozen=True)

    delivery_key: str
    """The sender's own id of this event; a second delivery with the same id is a repetition."""
    event_type: str
    action: Action
    reason: str | None = None
    """Why an event is ignored."""
    occurred_at: datetime
    """When it happened at the source, which decides the order of events, not when it arrived."""
    incident: IncidentRef | None = None
    identifiers: tuple[Identifier, ...] = ()
    alert: AlertInput | None = None
    reply_to: ReplyTo = ReplyTo()
    recording_id: str | None = None


@dataclass(frozen=True)
class SourceDescription:
    """What a person needs to know to connect the source."""

    title: str
    signature_header: str
    signs_time: bool
    """Whether a stale signature is refused. Where not, only the delivery's unique id holds replays off."""
    secret_help: str
    documentation_url: str


class Source(ABC):
    """One kind of sender."""

    name: str
    description: SourceDescription

    @abstractmethod
    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> None:
        """Returns if the raw bytes carry a signature made with one of the secrets.

        Raises `signature_refused(...)` otherwise, or Invalid where it is plain from the form what the sender needs to
        change. `now` is Unix seconds.
        """

    @abstractmethod
    def parse(self, headers: Mapping[str, str], body: bytes) -> ParsedEvent:
        """What the (verified) event says. Raises Invalid with the code `malformed_body`."""

    def assumed_headers(self, now: float) -> dict[str, str]:
        """What `parse` needs from the headers, for a dry run of a payload that was kept without them."""
        del now
        return {}

    def check_secret(self, secret: str) -> None:
        """Raises Invalid for a secret that this source could not sign with. Called when one is stored."""
        del secret  # any text will do, unless a source says otherwise


def signature_refused(kind: str, detail: str) -> Unauthenticated:
    """The refusal of a signature; `kind` is `missing`, `invalid` or `expired`."""
    return Unauthenticated(detail, code=f"signature_{kind}")


@cache
def sources() -> Mapping[str, Source]:
    """Every source by its name, found by folder."""
    from incidentfox.orchestrator.webhooks import sources as folder

    return load_plugins(folder, "SOURCE", Source)  # type: ignore[type-abstract]
