"""What the tree may look like. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tree import CreateNode, Node, NodeKind
from incidentfox.kernel.errors import Unprocessable

MAX_DEPTH = 16
"""Levels below the organisation."""


def judge_new_node(request: CreateNode, parent: Node | None, parent_depth: int) -> None:
    """Raises Unprocessable when the node may not stand below `parent` (None: there is no such node for the caller)."""
    if request.kind is NodeKind.ORG:
        raise _refused("/kind", "An organisation is the root of its own tree; create it with POST /api/v1/orgs.")
    if parent is None:
        raise _refused("/parent_id", f"There is no node {request.parent_id!r} in this organisation.")
    if parent.kind is NodeKind.TEAM:
        raise _refused("/parent_id", f"{parent.node_id!r} is a team, and teams have nothing below them.")
    if parent_depth >= MAX_DEPTH:
        raise _refused("/parent_id", f"The tree may be {MAX_DEPTH} levels deep at most.")


def judge_move(node: Node, parent: Node | None, wanted: str, parent_depth: int, subtree: Mapping[str, int]) -> None:
    """Raises Unprocessable when the node may not stand below `parent`, which is the node called `wanted` or None.

    `subtree` holds the levels between the node and each node of its subtree, itself at 0.
    """
    if node.kind is NodeKind.ORG:
        raise _refused("/parent_id", "An organisation is the root of its own tree and stands below nothing.")
    if parent is None:
        raise _refused("/parent_id", f"There is no node {wanted!r} in this organisation.")
    if parent.kind is NodeKind.TEAM:
        raise _refused("/parent_id", f"{parent.node_id!r} is a team, and teams have nothing below them.")
    if parent.node_id in subtree:
        raise _refused("/parent_id", f"{parent.node_id!r} is {node.node_id!r} itself or stands below it.")
    if parent_depth + 1 + max(subtree.values()) > MAX_DEPTH:
        raise _refused("/parent_id", f"The tree may be {MAX_DEPTH} levels deep at most.")


def _refused(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(message, code="invalid_node", errors=[FieldError(pointer=pointer, message=message)])
