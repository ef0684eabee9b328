"""Policies: what a node demands of the effective document of everything below it. Pure.

They are judged on what a document comes to, never on how it was written: so neither a removal, nor a replaced parent
object, nor a write at another level, nor a move, nor any order of these evades them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

from incidentfox.config_service.configuration.differences import differences, same
from incidentfox.config_service.configuration.levels import POLICIES, Level
from incidentfox.config_service.configuration.pointers import ANY_KEY, Tokens, join, matches, split
from incidentfox.config_service.configuration.schema import type_at
from incidentfox.contracts.configuration import JsonObject
from incidentfox.contracts.governance import Policy, PolicyInForce, PolicyPath
from incidentfox.contracts.problem import FieldError
from incidentfox.kernel.crypto import canonical_json

MAX_POLICIES = 200
"""Policies of one node."""

_POLICIES = TypeAdapter(dict[PolicyPath, Policy])


@dataclass(frozen=True)
class HeldPolicy:
    """A policy, who declares it, and for a lock what its path holds there."""

    node_id: str
    path: str
    tokens: Tokens
    policy: Policy
    values: Mapping[Tokens, Any]

    def root(self) -> Tokens:
        """The place above everything that the path can name: its tokens up to the first `*`."""
        return self.tokens[: self.tokens.index(ANY_KEY)] if ANY_KEY in self.tokens else self.tokens


def in_force(held: HeldPolicy) -> PolicyInForce:
    """The policy on the wire."""
    return PolicyInForce(node_id=held.node_id, path=held.path, policy=held.policy)


def read_policies(declared: Any) -> tuple[dict[str, Policy], list[FieldError]]:
    """The policies of a node's document, or why they are none: malformed, at no known place, of no use there."""
    if declared is None:
        return {}, []
    try:
        policies = _POLICIES.validate_json(canonical_json(declared), strict=True)
    except ValidationError as error:
        return {}, [_field_error(found) for found in error.errors(include_url=False, include_input=False)]
    errors = [found for path, policy in policies.items() for found in _misplaced(path, policy)]
    if len(policies) > MAX_POLICIES:
        errors.append(FieldError(pointer=f"/{POLICIES}", message=f"A node may declare {MAX_POLICIES} policies."))
    return (policies, []) if not errors else ({}, errors)


def hold(level: Level, effective: JsonObject) -> tuple[HeldPolicy, ...]:
    """The policies that a node declares, with what its locks hold. `effective` is what the node itself comes to."""
    policies, _ = read_policies(level.policies)
    found = []
    for path, policy in policies.items():
        tokens = split(path)
        values = dict(matches(effective, tokens)) if policy.locked else {}
        found.append(HeldPolicy(level.node_id, path, tokens, policy, values))
    return tuple(found)


def judge(held: HeldPolicy, effective: JsonObject, *, is_team: bool) -> Iterator[FieldError]:
    """What the effective document of a node in the policy's reach does against it.

    Only a team must have what is required, or a limit where one is bounded: what stands above may leave it to them.
    """
    policy, found = held.policy, dict(matches(effective, held.tokens))
    if policy.locked:
        yield from _unlocked(held, found)
    if policy.required and is_team:
        yield from _missing(held, found)
    for place, value in found.items():
        for item in value if isinstance(value, list) else [value]:
            message = _out_of_bounds(policy, item, is_team=is_team)
            if message is not None:
                yield FieldError(pointer=join(place), message=f"{message} ({held.node_id!r} demands it.)")
                break


def changed_places(held: HeldPolicy, before: JsonObject, after: JsonObject) -> Iterator[Tokens]:
    """The places of the policy's path that differ between two documents."""
    old, new = dict(matches(before, held.tokens)), dict(matches(after, held.tokens))
    for place in sorted(old.keys() | new.keys()):
        if place not in old or place not in new or not same(old[place], new[place]):
            yield place


def loosened(before: Any, after: Any) -> Iterator[str]:
    """The paths whose demand for approval a write would remove or rewrite: that, too, needs approval."""
    old, new = read_policies(before)[0], read_policies(after)[0]
    for path, policy in old.items():
        if policy.requires_approval and new.get(path) != policy:
            yield path


def _unlocked(held: HeldPolicy, found: Mapping[Tokens, Any]) -> Iterator[FieldError]:
    for place in sorted(held.values.keys() | found.keys()):
        if place not in found:
            yield _locked(held, join(place), held.values[place])
        elif place not in held.values:
            yield _closed(held, join(place))
        else:
            for change in differences(held.values[place], found[place], place):
                added = change.kind == "added"
                yield _closed(held, change.pointer) if added else _locked(held, change.pointer, change.before)


def _locked(held: HeldPolicy, pointer: str, value: Any) -> FieldError:
    return FieldError(pointer=pointer, message=f"{held.node_id!r} locks this: it must stay {_shown(value)}.")


def _closed(held: HeldPolicy, pointer: str) -> FieldError:
    return FieldError(pointer=pointer, message=f"{held.node_id!r} locks {held.path}: nothing may be added to it here.")


def _missing(held: HeldPolicy, found: Mapping[Tokens, Any]) -> Iterator[FieldError]:
    message = f"{held.node_id!r} requires a value here."
    if not found and ANY_KEY not in held.tokens:
        yield FieldError(pointer=held.path, message=message)
    for place, value in found.items():
        if value is None or value in ("", [], {}):
            yield FieldError(pointer=join(place), message=message)


def _out_of_bounds(policy: Policy, value: Any, *, is_team: bool) -> str | None:
    bounded = policy.min is not None or policy.max is not None
    if bounded and value is None:
        return "`null` means no limit, and there must be one." if is_team else None
    if bounded and (isinstance(value, bool) or not isinstance(value, int | float)):
        return f"Must be a number, not {_shown(value)}."
    if policy.min is not None and value < policy.min:
        return f"Must be at least {policy.min:.15g}, not {_shown(value)}."
    if policy.max is not None and value > policy.max:
        return f"Must be at most {policy.max:.15g}, not {_shown(value)}."
    if policy.pattern is not None and value is not None and not _matcher(policy.pattern).isinstance_python(value):
        return f"Must match {policy.pattern!r}, unlike {_shown(value)}."
    if policy.allowed is not None and not any(_equal(value, allowed) for allowed in policy.allowed):
        return f"Must be one of {_shown(list(policy.allowed))}, not {_shown(value)}."
    return None


def _equal(value: Any, allowed: Any) -> bool:
    if isinstance(value, bool) or isinstance(allowed, bool):
        return value is allowed
    return bool(value == allowed)


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> SchemaValidator:
    """Rust's engine runs in linear time whatever the pattern: a policy must not be able to stall the service."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, strict=True, regex_engine="rust-regex"))


def _misplaced(path: str, policy: Policy) -> Iterator[FieldError]:
    pointer = f"/{POLICIES}{join((path,))}"
    if policy == Policy():
        yield FieldError(pointer=pointer, message="This demands nothing; set one of its keys, or leave it out.")
    try:
        kind = type_at(split(path))
    except LookupError as error:
        yield FieldError(pointer=pointer, message=str(error))
        return
    for name, fitting in (("min", ("integer", "number")), ("max", ("integer", "number")), ("pattern", ("string",))):
        if getattr(policy, name) is not None and kind not in fitting:
            yield FieldError(pointer=f"{pointer}/{name}", message=f"This judges a {fitting[-1]}; here is {kind}.")
    if policy.allowed is not None and kind == "object":
        yield FieldError(pointer=f"{pointer}/allowed", message="This judges single values; here is an object.")
    if policy.min is not None and policy.max is not None and policy.min > policy.max:
        yield FieldError(pointer=f"{pointer}/min", message="The least is above the greatest.")
    if policy.pattern is not None:
        try:
            _matcher(policy.pattern)
        except SchemaError:
            message = "This is no regular expression of RE2 syntax (no look-around, no back-references)."
            yield FieldError(pointer=f"{pointer}/pattern", message=message)


def _field_error(error: Any) -> FieldError:
    location = tuple(str(part) for part in error["loc"] if part != "[key]")
    message = error["msg"]
    if error["type"] == "extra_forbidden":
        message = f"Unknown key. Known here: {', '.join(Policy.model_fields)}."
    elif error["loc"][-1:] == ("[key]",):
        message = "A path is a JSON Pointer such as /budgets/run_tokens."
    return FieldError(pointer=join((POLICIES, *location)), message=message)


def _shown(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"
