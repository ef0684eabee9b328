"""What the tree may look like. Pure."""

from __future__ import annotations

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


def _refused(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(message, code="invalid_node", errors=[FieldError(pointer=pointer, message=message)])
