"""Governance: what a node of the tree demands of the configuration of everything below it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from incidentfox.contracts.model import NodeId, WireModel

PolicyPath = Annotated[str, StringConstraints(pattern=r"^(/[^/]{1,200}){1,32}$")]
"""A JSON Pointer (RFC 6901) into the effective document; a token `*` stands for every key of a map."""


class Policy(WireModel):
    """What a node demands at one path of each effective document below it. Kept in the node's document, `policies`.

    Where the path holds a list, `min`, `max`, `pattern` and `allowed` judge each item.
    """

    locked: bool = Field(default=False, description="Below, the path holds exactly what it holds at this node.")
    required: bool = Field(default=False, description="In each team, the path holds something: not null, not empty.")
    min: float | None = Field(default=None, description="The least number. `null`, which means no limit, is refused.")
    max: float | None = Field(default=None, description="The greatest number. `null` is refused likewise.")
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = Field(
        default=None, description="A regular expression (RE2 syntax) that occurs in the text. `null` passes."
    )
    allowed: tuple[str | int | float | bool | None, ...] | None = Field(
        default=None, max_length=200, description="The only values. `null` passes only where it is listed."
    )
    requires_approval: bool = Field(
        default=False, description="A write that changes the path for anybody needs a second pair of eyes."
    )


class PolicyInForce(WireModel):
    """A policy and the node that declares it."""

    node_id: NodeId
    path: str
    policy: Policy
