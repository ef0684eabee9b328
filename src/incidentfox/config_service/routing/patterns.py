"""Service patterns such as `checkout-*`: `*` stands for any text, also none, and nothing else is special. Pure.

Which pattern decides is a total order, so that the answer never depends on what was saved first: the longest literal
text before the first `*`, then the most literal text in all, then the alphabet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from incidentfox.config_service.routing.normal_forms import NormalIdentifier, folded
from incidentfox.contracts.routing import RouteRule

MAX_PATTERN = 128
"""Characters of one pattern."""

_STARS = re.compile(r"\*+")


def normalise_pattern(pattern: str) -> NormalIdentifier | None:
    """The normal form; None for what has no `*`, nothing but `*`, or more than MAX_PATTERN characters."""
    text = _STARS.sub("*", folded(pattern))
    if len(pattern) > MAX_PATTERN or len(text) > MAX_PATTERN or "*" not in text or not text.strip("* "):
        return None
    return NormalIdentifier(RouteRule.SERVICE_PATTERN, text.partition("*")[0], text)


def prefixes(service: str) -> list[str]:
    """Every literal beginning that a pattern for this service (in its normal form) can have: at most MAX_PATTERN."""
    return [service[:length] for length in range(min(len(service), MAX_PATTERN - 1) + 1)]


def best(service: str, patterns: Iterable[NormalIdentifier]) -> NormalIdentifier | None:
    """The pattern that decides about a service (in its normal form); None when none matches."""
    matching = [pattern for pattern in patterns if matches(pattern.value, service)]
    return min(
        matching, key=lambda pattern: (-len(pattern.name), -_literals(pattern.value), pattern.value), default=None
    )


def matches(pattern: str, service: str) -> bool:
    """Whether a pattern in its normal form matches. In linear time, unlike most regular expressions."""
    first, *middle, last = pattern.split("*")
    if not service.startswith(first) or not service.endswith(last) or len(service) < len(first) + len(last):
        return False
    place, end = len(first), len(service) - len(last)
    for part in middle:
        found = service.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _literals(pattern: str) -> int:
    return len(pattern) - pattern.count("*")
