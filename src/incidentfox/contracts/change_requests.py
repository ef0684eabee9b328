"""Change requests: a change of configuration that somebody else has to agree to before it is applied."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from incidentfox.contracts.configuration import JsonObject
from incidentfox.contracts.model import NodeId, OrgId, WireModel

CommentText = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]


class PatchChange(WireModel):
    """Merges a patch (RFC 7396) into the node's own document."""

    kind: Literal["patch"] = "patch"
    patch: JsonObject


class ReplaceChange(WireModel):
    """Puts another document in the place of the node's own."""

    kind: Literal["replace"] = "replace"
    document: JsonObject


class MoveChange(WireModel):
    """Moves the node with everything below it below another parent."""

    kind: Literal["move"] = "move"
    parent_id: NodeId


Change = Annotated[PatchChange | ReplaceChange | MoveChange, Field(discriminator="kind")]


class ChangeRequestStatus(StrEnum):
    """Where a request stands. `expired` is an open one whose time is over."""

    OPEN = "open"
    APPLIED = "applied"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class OpenChangeRequest(WireModel):
    """Asks for a change. It is bound to the version of the node's document (of the node, for a move) of this moment."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    change: Change
    expires_in_s: int = Field(default=7 * 86400, ge=60, le=30 * 86400, description="Seconds until it expires.")


class Decision(WireModel):
    """Why somebody approves, rejects or withdraws."""

    comment: CommentText | None = None


class AddComment(WireModel):
    """A comment on a change request."""

    text: CommentText


class Comment(WireModel):
    """What somebody said about a change request."""

    comment_id: str
    request_id: str
    text: str
    created_at: datetime
    created_by: str


class ChangeRequest(WireModel):
    """A change request as it stands. `created_by` and `decided_by` are never the same for one that was applied."""

    org_id: OrgId
    request_id: str
    node_id: NodeId
    title: str
    change: Change
    base_version: int = Field(description="The version that the change was judged against by whoever reads it.")
    status: ChangeRequestStatus
    created_at: datetime
    created_by: str
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    decision_comment: str | None
    applied_version: int | None
