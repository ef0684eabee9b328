"""The organisation's tree in the order of reading: each node after its parent, with its depth. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from incidentfox.contracts.tree import Node, NodeKind

_FIRST = {NodeKind.ORG: 0, NodeKind.UNIT: 1, NodeKind.TEAM: 2}


@dataclass(frozen=True)
class Branch:
    """A node in its place. `depth` 0 is the topmost that is shown; `path` names what stands above it, topmost first."""

    node: Node
    depth: int
    path: tuple[str, ...] = ()


def outline(nodes: Iterable[Node]) -> list[Branch]:
    """Every node below its parent; units before teams, each by name. What has no parent here stands at the top."""
    known = list(nodes)
    ids = {node.node_id for node in known}
    below: dict[str | None, list[Node]] = {}
    for node in known:
        below.setdefault(node.parent_id if node.parent_id in ids else None, []).append(node)
    found: list[Branch] = []
    pending = [Branch(node, 0) for node in reversed(_in_order(below.get(None, [])))]
    while pending:
        branch = pending.pop()
        found.append(branch)
        path = (*branch.path, branch.node.name)
        children = _in_order(below.get(branch.node.node_id, []))
        pending.extend(Branch(node, branch.depth + 1, path) for node in reversed(children))
    return found


def matching(branches: Iterable[Branch], words: str) -> list[Branch]:
    """The branches whose id or name holds the words, in any case."""
    wanted = words.strip().casefold()
    return [
        branch
        for branch in branches
        if wanted in branch.node.node_id.casefold() or wanted in branch.node.name.casefold()
    ]


def _in_order(nodes: Sequence[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: (_FIRST[node.kind], node.name.casefold(), node.node_id))
