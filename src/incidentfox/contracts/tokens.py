"""Tokens of teams and organisation admins, and sign-in."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from incidentfox.contracts.model import Name, NodeId, OrgId, WireModel
from incidentfox.contracts.permissions import Permission, Role


class TokenKind(StrEnum):
    """Which of the two token tables a token lives in."""

    TEAM = "team"
    ORG_ADMIN = "org_admin"


UserHandle = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._%+@-]{0,199}$")]
"""A person, as the organisation knows them: an e-mail address or a handle, in lower case."""


class CreateToken(WireModel):
    """Creates a token, bound to a node: it reaches that node and everything below it.

    `node_id` may be the organisation (an org admin token), a unit or a team; None is the organisation. What it may do
    is a `role`, or a list of `scopes`, which is for the organisation and for teams only; neither means all that a
    token of the kind may carry. `team_node_id` is `node_id` for a team. `user` makes it a personal token: the holder
    acts as `user:<handle>`, whichever of their tokens they use. `expires_in_s` None means no expiry.
    """

    name: Name
    node_id: NodeId | None = None
    team_node_id: NodeId | None = None
    role: Role | None = None
    scopes: tuple[Permission, ...] = ()
    user: UserHandle | None = None
    expires_in_s: int | None = Field(default=None, ge=60, le=366 * 86400)


class RotateToken(WireModel):
    """Replaces a token by one with the same rights. The old one ends `overlap_s` from now; 0 ends it at once."""

    overlap_s: int = Field(default=86400, ge=0, le=30 * 86400)


class Token(WireModel):
    """A token without its secret. `hint` is its recognisable first characters.

    `team_node_id` is the team or unit that it is bound to, None for the whole organisation. `rotated_to` is the token
    that replaces it.
    """

    token_id: str
    org_id: OrgId
    kind: TokenKind
    team_node_id: NodeId | None
    name: str
    role: Role | None
    scopes: tuple[Permission, ...]
    user: str | None
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    rotated_to: str | None


class CreatedToken(WireModel):
    """A token with its secret: shown this once, never again."""

    token: Token
    secret: str = Field(repr=False)


class Introspect(WireModel):
    """A service asks who holds this bearer token."""

    token: str = Field(repr=False)


class Caller(WireModel):
    """Who a credential belongs to and what it may do.

    `team_node_id` is the team, or with a role the unit, that it is bound to; None means the whole organisation.
    """

    subject: str
    org_id: OrgId | None
    team_node_id: NodeId | None
    scopes: tuple[Permission, ...]


class SignInCode(WireModel):
    """A single-use code for a sign-in link. It is worth nothing after `expires_at` or its first use."""

    code: str = Field(repr=False)
    expires_at: datetime


class ExchangeSignInCode(WireModel):
    """Turns a sign-in code into a session token with the rights of the token that asked for the code."""

    code: str = Field(repr=False)
