"""How values, differences, explanations and previews of configuration read in a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from incidentfox.cli.output import age, console

if TYPE_CHECKING:
    from incidentfox.contracts.explanation import ExplainedValue, SetBy, ValueChange, WritePreview
    from incidentfox.contracts.governance import PolicyInForce

_SHOWN_CHARACTERS = 72
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


def shown(value: Any, most: int = _SHOWN_CHARACTERS) -> str:
    """A value as JSON on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def print_changes(changes: Sequence[ValueChange], indent: str = "") -> None:
    """One line a difference: + added, - removed, ~ changed."""
    for change in changes:
        sign, colour = _SIGNS[change.kind]
        match change.kind:
            case "added":
                text = shown(change.after)
            case "removed":
                text = shown(change.before)
            case _:
                text = f"{shown(change.before, 48)} → {shown(change.after, 48)}"
        console.print(Text(f"{indent}{sign} {change.pointer}  {text}", style=colour))


def print_provenance(values: Sequence[ExplainedValue]) -> None:
    """A table of values with who set them."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("POINTER", "VALUE", "SET BY", "AGE", "OVERRODE", "POLICIES"):
        table.add_column(title, overflow="fold", no_wrap=title == "POINTER")
    for value in values:
        table.add_row(
            Text(value.pointer),
            Text(shown(value.value, 48)),
            Text(_level(value.set_by, removed=value.removed)),
            Text(age(value.set_by.at)),
            Text(", ".join(f"{shown(step.value, 24)} of {step.set_by.node_id}" for step in value.overrode) or "-"),
            Text(", ".join(_demand(policy) for policy in value.policies) or "-"),
        )
    console.print(table)


def print_explanation(value: ExplainedValue) -> None:
    """One value in full: its origin, what it overrode, nearest first, and the policies that judge it."""
    console.print(Text(value.pointer, style="bold"))
    console.print(f"  value     {escape(json.dumps(value.value, ensure_ascii=False))}")
    console.print(f"  set by    {escape(_author(value.set_by, removed=value.removed))}")
    for step in value.overrode:
        text = shown(step.value) if step.present else "nothing (removed)"
        console.print(f"  overrode  {escape(text)}, set by {escape(_author(step.set_by))}")
    for policy in value.policies:
        console.print(f"  policy    {escape(_demand(policy))} (at {policy.path})")


def print_preview(preview: WritePreview) -> None:
    """What a write would do: refusals first, then the node's own document, then each team."""
    for refusal in preview.refusals:
        console.print(Text(f"refused: {refusal.detail} [{refusal.code}]", style="red"))
        for error in refusal.errors:
            console.print(Text(f"  {error.pointer}: {error.message}"))
    if not preview.refusals:
        console.print(Text("The write would be accepted. Nothing was written.", style="green"))
    if preview.changes:
        console.print(f"\nin the document of {preview.node_id}:")
        print_changes(preview.changes, "  ")
    for team in preview.teams:
        console.print(f"\nfor the team {team.team_node_id}:")
        print_changes(team.changes, "  ")
    if preview.affected_teams > len(preview.teams):
        console.print(f"\nand for {preview.affected_teams - len(preview.teams)} teams more")
    elif not preview.affected_teams and not preview.refusals:
        console.print("\nNo team's effective configuration would change.")


def _level(set_by: SetBy, *, removed: bool = False) -> str:
    text = f"{set_by.node_id} v{set_by.version}"
    return f"{text} (removed)" if removed else text


def _author(set_by: SetBy, *, removed: bool = False) -> str:
    text = _level(set_by, removed=removed)
    if set_by.by is not None and set_by.at is not None:
        text += f", by {set_by.by} at {set_by.at.isoformat(timespec='seconds')}"
    if set_by.change_request_id is not None:
        text += f", by the change request {set_by.change_request_id}"
    return text


def _demand(held: PolicyInForce) -> str:
    policy = held.policy
    words = [name.replace("_", " ") for name in ("locked", "required", "requires_approval") if getattr(policy, name)]
    words += [f"{name} {getattr(policy, name):.15g}" for name in ("min", "max") if getattr(policy, name) is not None]
    if policy.pattern is not None:
        words.append(f"matches {policy.pattern}")
    if policy.allowed is not None:
        words.append(f"one of {shown(policy.allowed)}")
    return f"{', '.join(words)} by {held.node_id}"
