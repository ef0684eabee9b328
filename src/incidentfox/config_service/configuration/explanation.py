"""Says for each value of an effective document which level set it, and what it overrode. Pure.

A level *touches* a place when its document says something there or above: a value, or `null`, which removes. The last
level that touches a leaf set it; those before it were overridden. Nothing else is needed, since each level's document
is a merge patch on what stands above.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from incidentfox.config_service.configuration.defaults import PLATFORM_VERSION
from incidentfox.config_service.configuration.governance import HeldPolicy, in_force
from incidentfox.config_service.configuration.levels import Level
from incidentfox.config_service.configuration.pointers import ABSENT, Tokens, covers, find, join, leaves
from incidentfox.config_service.configuration.rules import merge_patch
from incidentfox.contracts.configuration import JsonObject
from incidentfox.contracts.explanation import ExplainedValue, OverriddenValue, SetBy

SCHEMA = SetBy(node_id="platform:schema", version=PLATFORM_VERSION)
"""Who set what nobody set: the schema's default holds."""


def explain(levels: Sequence[Level], effective: JsonObject, held: Sequence[HeldPolicy]) -> tuple[ExplainedValue, ...]:
    """Every leaf of `effective`, which is what the levels (topmost first) come to, completed by the schema."""
    states: list[JsonObject] = [{}]
    for level in levels:
        states.append(merge_patch(states[-1], level.settings))
    return tuple(_explained(levels, states, place, value, held) for place, value in leaves(effective))


def _explained(
    levels: Sequence[Level], states: Sequence[JsonObject], place: Tokens, value: Any, held: Sequence[HeldPolicy]
) -> ExplainedValue:
    steps: list[tuple[Level, Any]] = []
    for number, level in enumerate(levels):
        found, inherited = find(states[number + 1], place), find(states[number], place)
        idle = found is ABSENT and inherited is ABSENT
        # An object that is empty now may have been emptied from within, key by key.
        if not idle and (found != inherited or _touches(level.settings, inherited, place)):
            steps.append((level, found))
    policies = tuple(in_force(policy) for policy in held if covers(policy.tokens, place))
    if not steps:
        return ExplainedValue(pointer=join(place), value=value, set_by=SCHEMA, policies=policies)
    setter, last = steps[-1]
    return ExplainedValue(
        pointer=join(place),
        value=value,
        set_by=setter.set_by(),
        removed=last is ABSENT,
        overrode=tuple(_overridden(level, found) for level, found in reversed(steps[:-1])),
        policies=policies,
    )


def _touches(document: Any, inherited: Any, place: Tokens) -> bool:
    for token in place:
        if not isinstance(document, dict):
            return True
        if token not in document:
            return False
        document = document[token]
    # An object merges into an object; where there was none, it is this level that made it.
    return not isinstance(document, dict) or not isinstance(inherited, dict)


def _overridden(level: Level, value: Any) -> OverriddenValue:
    present = value is not ABSENT
    return OverriddenValue(value=value if present else None, present=present, set_by=level.set_by())
