"""What differs between two documents. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from incidentfox.config_service.configuration.pointers import ABSENT, Tokens, join
from incidentfox.contracts.explanation import ValueChange
from incidentfox.kernel.crypto import canonical_json


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are one. Python alone would hold `true`, `1` and `1.0` for the same."""
    return left is right or (left == right and canonical_json(left) == canonical_json(right))


def same_or_absent(left: Any, right: Any) -> bool:
    """The same for what `pointers.find` found, which may be nothing."""
    if left is ABSENT or right is ABSENT:
        return left is right
    return same(left, right)


def differences(before: Any, after: Any, path: Tokens = ()) -> Iterator[ValueChange]:
    """Each difference at the highest place where there is one, in the order of the pointers' keys."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if not same(before, after):
            yield ValueChange(pointer=join(path), kind="changed", before=before, after=after)
        return
    for key in sorted(before.keys() | after.keys()):
        place = (*path, key)
        if key not in after:
            yield ValueChange(pointer=join(place), kind="removed", before=before[key])
        elif key not in before:
            yield ValueChange(pointer=join(place), kind="added", after=after[key])
        else:
            yield from differences(before[key], after[key], place)
