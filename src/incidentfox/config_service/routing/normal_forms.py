"""The one form in which an identifier is compared, in the configuration and in the event alike. Pure.

Spelling decides nothing: GitHub's names are case-insensitive, Slack's ids are upper-case and its channel names
lower-case, PagerDuty's ids are upper-case, names of people's making differ only by more than case and white space. A
normal form is its own normal form.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from incidentfox.contracts.routing import IdentifierKind, RouteRule

MAX_VALUE = 512
"""Characters of one identifier."""

MAX_BYTES = 2000
"""Bytes of a normal form: it is the key of an index, whose rows may have 2,704."""

_GITHUB_PREFIX = re.compile(r"^(?:(?:https?|ssh)://)?(?:git@)?(?:www\.)?github\.com[/:]", re.IGNORECASE)
_GITHUB_SUFFIX = re.compile(r"(?:\.git|/)+$")
_GITHUB_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}/[a-z0-9._-]{1,100}")
_SLACK_ID = re.compile(r"[CGD][0-9][A-Z0-9]{6,}")
_SLACK_ID_AS_WRITTEN = re.compile(r"[CGD][A-Z0-9]{7,}")
_PAGERDUTY_ID = re.compile(r"[A-Z0-9]+")


@dataclass(frozen=True)
class NormalIdentifier:
    """What a team owns, in its normal form.

    `name` is the custom kind; for a service pattern, the literal text before its first `*`; empty for the others.
    """

    kind: IdentifierKind | RouteRule
    name: str
    value: str


def normalise(kind: IdentifierKind, value: str, name: str | None = None) -> NormalIdentifier | None:
    """The normal form; None for a value that cannot be an identifier of this kind."""
    if len(value) > MAX_VALUE:
        return None
    custom = folded(name or "") if kind is IdentifierKind.CUSTOM else ""
    match kind:
        case IdentifierKind.GITHUB_REPOSITORY:
            text = _github(_spaced(value))
        case IdentifierKind.SLACK_CHANNEL:
            text = _slack(_spaced(value))
        case IdentifierKind.PAGERDUTY_SERVICE:
            text = _spaced(value).upper()
            text = text if _PAGERDUTY_ID.fullmatch(text) else ""
        case _:
            text = folded(value)
    if not text or len(text) > MAX_VALUE or (kind is IdentifierKind.CUSTOM and not custom):
        return None
    if len(text.encode(errors="replace")) + len(custom.encode(errors="replace")) > MAX_BYTES:
        return None
    return NormalIdentifier(kind, custom, text)


def folded(text: str) -> str:
    """A name without case, without compatibility forms and with single spaces."""
    return _spaced(_spaced(text).casefold())


def _spaced(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _github(text: str) -> str:
    name = _GITHUB_SUFFIX.sub("", _GITHUB_PREFIX.sub("", text)).lower()
    return name if _GITHUB_NAME.fullmatch(name) else ""


def _slack(text: str) -> str:
    text = text.lstrip("# ")
    if _SLACK_ID.fullmatch(text.upper()) or _SLACK_ID_AS_WRITTEN.fullmatch(text):
        return text.upper()
    return text.lower()
