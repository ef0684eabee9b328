"""An explained configuration as the node's page shows it: grouped, each value with who set it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from incidentfox.contracts.explanation import ExplainedValue, OverriddenValue, SetBy
from incidentfox.contracts.governance import Policy, PolicyInForce

SCHEMA = "platform:schema"
DEFAULTS = "platform:defaults"
Shown = Literal["here", "set", "all"]

_SECRET = "$secret"
_LONG = 90


@dataclass(frozen=True)
class Badge:
    """A demand of a policy in words. `title` says who demands it and where."""

    word: str
    tone: str
    title: str


@dataclass(frozen=True)
class Text:
    """A value for reading. `is_long`: it is folded away; `kind` tells text from what is none."""

    text: str
    kind: Literal["text", "plain", "nothing", "secret"]

    @property
    def is_long(self) -> bool:
        """Whether it needs room of its own."""
        return len(self.text) > _LONG or "\n" in self.text

    @property
    def short(self) -> str:
        """Its beginning, on one line."""
        line = " ".join(self.text.split())
        return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"


@dataclass(frozen=True)
class Origin:
    """One value. `steps` are what it overrode, nearest level first."""

    pointer: str
    label: str
    value: Text
    set_by: SetBy
    removed: bool
    steps: tuple[tuple[Text, SetBy], ...]
    badges: tuple[Badge, ...]


@dataclass(frozen=True)
class Group:
    """The values below one key of the document."""

    name: str
    origins: tuple[Origin, ...]


def count(values: Iterable[ExplainedValue], node_id: str) -> dict[Shown, int]:
    """How many values each choice shows."""
    held = list(values)
    return {
        "here": sum(_is_shown(value, "here", node_id) for value in held),
        "set": sum(_is_shown(value, "set", node_id) for value in held),
        "all": len(held),
    }


def groups(values: Iterable[ExplainedValue], shown: Shown, node_id: str) -> list[Group]:
    """The values that are asked for, by the first key of their pointer, in the order in which they stand."""
    found: dict[str, list[Origin]] = {}
    for value in values:
        if _is_shown(value, shown, node_id):
            tokens = tokens_of(value.pointer)
            found.setdefault(tokens[0] if tokens else "", []).append(_origin(value, tokens))
    return [Group(name, tuple(origins)) for name, origins in found.items()]


def tokens_of(pointer: str) -> list[str]:
    """The keys of a JSON Pointer (RFC 6901)."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def as_text(value: Any) -> Text:
    """A value for reading: text as it is, lists of words in a row, anything else as JSON."""
    if value is None:
        return Text("none", "nothing")
    if value in ([], {}, ""):
        return Text("empty", "nothing")
    if isinstance(value, str):
        return Text(value, "text")
    if isinstance(value, bool):
        return Text("true" if value else "false", "plain")
    if isinstance(value, int | float):
        return Text(f"{value:.15g}", "plain")
    if isinstance(value, dict) and value.keys() == {_SECRET}:
        return Text(f"secret {value[_SECRET]}", "secret")
    if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
        return Text(", ".join(value), "text")
    return Text(json.dumps(value, indent=2 if isinstance(value, list | dict) else None, ensure_ascii=False), "plain")


def level_name(node_id: str) -> str:
    """Who a level is, for people."""
    return {SCHEMA: "Nobody: the default", DEFAULTS: "IncidentFox"}.get(node_id, node_id)


def is_node(node_id: str) -> bool:
    """Whether a level is a node of the tree, with a page of its own."""
    return ":" not in node_id


def demands(policy: Policy) -> list[tuple[str, str]]:
    """Each demand of a policy as (words, tone)."""
    found = []
    if policy.locked:
        found.append(("locked", "bad"))
    if policy.required:
        found.append(("required", "live"))
    if policy.requires_approval:
        found.append(("needs approval", "warn"))
    if policy.min is not None and policy.max is not None:
        found.append((f"{policy.min:.15g} to {policy.max:.15g}", "live"))
    elif policy.min is not None:
        found.append((f"at least {policy.min:.15g}", "live"))
    elif policy.max is not None:
        found.append((f"at most {policy.max:.15g}", "live"))
    if policy.pattern is not None:
        found.append((f"matches {policy.pattern}", "live"))
    if policy.allowed is not None:
        words = ", ".join(json.dumps(value, ensure_ascii=False) for value in policy.allowed)
        found.append((f"one of {words}", "live"))
    return found


def declared(policy: Any) -> list[tuple[str, str]]:
    """The demands of a policy as a document declares it; what a later release wrote and this one cannot read: none."""
    try:
        return demands(Policy.model_validate(policy))
    except ValidationError:
        return []


def badges(policies: Iterable[PolicyInForce]) -> tuple[Badge, ...]:
    """What judges a value, in words."""
    return tuple(
        Badge(word, tone, f"{held.node_id} demands this at {held.path}")
        for held in policies
        for word, tone in demands(held.policy)
    )


def _is_shown(value: ExplainedValue, shown: Shown, node_id: str) -> bool:
    match shown:
        case "here":
            return value.set_by.node_id == node_id
        case "set":
            return value.set_by.node_id != SCHEMA or bool(value.policies)
        case _:
            return True


def _origin(value: ExplainedValue, tokens: list[str]) -> Origin:
    is_secret = tokens[-1:] == [_SECRET]
    labels = tokens[1:-1] if is_secret else tokens[1:]
    return Origin(
        pointer=value.pointer,
        label=" › ".join(labels),
        value=as_text({_SECRET: value.value}) if is_secret else as_text(value.value),
        set_by=value.set_by,
        removed=value.removed,
        steps=tuple((_step(step), step.set_by) for step in value.overrode),
        badges=badges(value.policies),
    )


def _step(step: OverriddenValue) -> Text:
    return as_text(step.value) if step.present else Text("nothing: removed", "nothing")
