"""The first difference of two JSON values, byte for byte as RFC 8785 writes them. Pure."""

from __future__ import annotations

from typing import Any

from incidentfox.contracts.replay import Difference
from incidentfox.kernel.crypto import canonical_json

_SHOWN = 200


def first_difference(recorded: Any, replayed: Any) -> Difference | None:
    """Where the two differ first, depth first, keys in order; None where their canonical JSON is the same bytes."""
    was, now = _numbers(recorded), _numbers(replayed)
    return None if canonical_json(was) == canonical_json(now) else _descend("", was, now)


def _descend(pointer: str, was: Any, now: Any) -> Difference:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in was or key not in now:
                return Difference(pointer=here, recorded=_shown(was, key), replayed=_shown(now, key))
            if canonical_json(was[key]) != canonical_json(now[key]):
                return _descend(here, was[key], now[key])
    if isinstance(was, list) and isinstance(now, list):
        for index, (left, right) in enumerate(zip(was, now, strict=False)):
            if canonical_json(left) != canonical_json(right):
                return _descend(f"{pointer}/{index}", left, right)
        pointer, was, now = f"{pointer}/{min(len(was), len(now))}", len(was), len(now)
        return Difference(pointer=pointer, recorded=f"{was} items", replayed=f"{now} items")
    return Difference(pointer=pointer, recorded=_text(was), replayed=_text(now))


def _numbers(value: Any) -> Any:
    """Whole numbers as integers, as RFC 8785 and Postgres write them: 1.0 and 1 are one number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(item) for item in value]
    return value


def _shown(holder: dict[str, Any], key: str) -> str:
    return _text(holder[key]) if key in holder else "absent"


def _text(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
