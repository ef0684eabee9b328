"""Judges a change of the tree by what every node comes to after it. Pure.

A change is the tree before and the tree after: another document at one node, another parent for one node, a node more.
Whatever it is, the same is asked: is each effective document valid, does it keep the policies in whose reach it stands,
and does it move a value that needs approval?
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from incidentfox.config_service.configuration.differences import differences, same, same_or_absent
from incidentfox.config_service.configuration.governance import HeldPolicy, changed_places, hold, judge
from incidentfox.config_service.configuration.levels import PLATFORM, Level
from incidentfox.config_service.configuration.pointers import find, join
from incidentfox.config_service.configuration.rules import (
    MAX_ERRORS,
    effective_json,
    merge_patch,
    read_effective,
)
from incidentfox.contracts.configuration import JsonObject, TeamConfiguration
from incidentfox.contracts.explanation import EffectOnTeam
from incidentfox.contracts.problem import FieldError

MAX_EFFECTS = 200
"""The most teams whose effective difference one preview shows."""


@dataclass(frozen=True)
class Standing:
    """A node with what it inherits, merged, and the policies in whose reach it is, topmost first."""

    level: Level
    raw: JsonObject
    held: tuple[HeldPolicy, ...] = ()

    def effective(self) -> JsonObject:
        """The complete effective document; the raw one where that is not valid (which is then an error of its own)."""
        configuration, _ = read_effective(self.raw)
        return effective_json(configuration) if configuration is not None else self.raw


def stand(above: Sequence[Level]) -> Standing:
    """The last of these levels, the topmost of which stands right below the platform's defaults."""
    standing = Standing(PLATFORM, PLATFORM.document)
    for level in above:
        standing = step(standing, level)
    return standing


def step(parent: Standing, level: Level) -> Standing:
    """A node below its parent."""
    raw = merge_patch(parent.raw, level.settings)
    bare = Standing(level, raw, parent.held)
    return Standing(level, raw, parent.held + hold(level, bare.effective())) if level.policies else bare


class Walk:
    """The way down from `parent`: a node below it and all nodes below that, each after its own parent."""

    def __init__(self, parent: Standing) -> None:
        self._parent = parent
        self._standings: dict[str | None, Standing] = {}

    def step(self, level: Level) -> Standing:
        """The next node."""
        standing = step(self._standings.get(level.parent_id, self._parent), level)
        if not level.is_team:
            self._standings[level.node_id] = standing
        return standing


def walk(parent: Standing, nodes: Iterable[Level]) -> Iterator[Standing]:
    """A node below `parent` and all nodes below it, each after its parent."""
    return map(Walk(parent).step, nodes)


@dataclass
class Judgement:
    """What was found so far about a change whose centre is the node `focus`. `shows` asks for the effects on teams."""

    focus: str
    shows: bool = False
    baseline: Standing | None = None
    """The parent that the centre is new below: what comes into the reach of its policies is compared with it."""

    invalid: list[FieldError] = field(default_factory=list)
    violations: list[FieldError] = field(default_factory=list)
    approvals: list[FieldError] = field(default_factory=list)
    effects: list[EffectOnTeam] = field(default_factory=list)
    affected: int = 0
    configuration: TeamConfiguration | None = None
    """What the centre itself comes to, where that is valid."""

    @property
    def is_full(self) -> bool:
        """Whether there are more errors than anybody reads; then nothing more need be looked at."""
        return len(self.invalid) + len(self.violations) > MAX_ERRORS

    def look(self, before: Standing | None, after: Standing) -> None:
        """Judges one node. `before` None: it was not there, or what it came to did not count."""
        level = after.level
        at_focus = level.node_id == self.focus
        if before is not None and not at_focus and before.held == after.held and same(before.raw, after.raw):
            return
        if level.archived:
            # It may come to anything until it is restored, which judges that; what needs approval needs it already now.
            if before is not None and level.is_team:
                self._compare(before, after, read_effective(after.raw)[0])
            return
        configuration, errors = read_effective(after.raw)
        if at_focus:
            self.configuration = configuration
        if configuration is None:
            self.invalid += self._named(level, errors)
            return
        to_judge = [policy for policy in after.held if before is None or _is_touched(policy, before, after)]
        if to_judge:
            effective = effective_json(configuration)
            for policy in to_judge:
                self.violations += self._named(level, judge(policy, effective, is_team=level.is_team))
        if before is not None and (at_focus or level.is_team):
            self._compare(before, after, configuration)

    def _compare(self, before: Standing, after: Standing, configuration: TeamConfiguration | None) -> None:
        guarded = [policy for policy in before.held if policy.policy.requires_approval]
        for policy in guarded if self.baseline is not None else ():
            if not any(policy.node_id == kept.node_id for kept in after.held):
                message = f"{policy.node_id!r} demands approval here, and the node would leave its reach."
                self.approvals += self._named(after.level, [FieldError(pointer=policy.path, message=message)])
        touched = [policy for policy in guarded if not _same_at(policy, before, after)]
        entered = self._entered(before, after)
        shows = self.shows and after.level.is_team and not after.level.archived
        if not (touched or entered or shows):
            return
        effective = effective_json(configuration) if configuration is not None else after.raw
        earlier = before.effective()
        for policy in touched:
            self._ask_approval(policy, after.level, earlier, effective)
        if shows:
            self._show(after.level, earlier, effective)
        if entered and self.baseline is not None:
            inherited = self.baseline.effective()
            for policy in entered:
                self._ask_approval(policy, after.level, inherited, effective)

    def _entered(self, before: Standing, after: Standing) -> list[HeldPolicy]:
        if self.baseline is None:
            return []
        known = {policy.node_id for policy in before.held}
        return [policy for policy in after.held if policy.policy.requires_approval and policy.node_id not in known]

    def _ask_approval(self, policy: HeldPolicy, level: Level, before: JsonObject, after: JsonObject) -> None:
        message = f"{policy.node_id!r} demands approval for changes here."
        changed = changed_places(policy, before, after)
        self.approvals += self._named(level, (FieldError(pointer=join(place), message=message) for place in changed))

    def _show(self, level: Level, before: JsonObject, after: JsonObject) -> None:
        changes = tuple(differences(before, after))
        if changes:
            self.affected += 1
            if len(self.effects) < MAX_EFFECTS:
                self.effects.append(EffectOnTeam(team_node_id=level.node_id, changes=changes))

    def _named(self, level: Level, errors: Iterable[FieldError]) -> Iterator[FieldError]:
        for error in errors:
            if level.node_id == self.focus:
                yield error
            else:
                noun = "team" if level.is_team else "unit"
                yield FieldError(pointer=error.pointer, message=f"In {noun} {level.node_id!r}: {error.message}")


def _is_touched(policy: HeldPolicy, before: Standing, after: Standing) -> bool:
    """Whether a verdict on the policy may differ from the one before: what was accepted then was judged then."""
    return policy not in before.held or not _same_at(policy, before, after)


def _same_at(policy: HeldPolicy, before: Standing, after: Standing) -> bool:
    """Whether the two come to the same wherever the policy looks. The schema's defaults depend on nothing beside."""
    root = policy.root()
    return same_or_absent(find(before.raw, root), find(after.raw, root))
