"""Tokens of teams and organisation admins, and sign-in."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from incidentfox.contracts.model import Name, NodeId, OrgId, WireModel
from incidentfox.contracts.permissions import Permission


class TokenKind(StrEnum):
    """Which of the two token tables a token lives in."""

    TEAM = "team"
    ORG_ADMIN = "org_admin"


class CreateToken(WireModel):
    """Creates a token. With `team_node_id` it is a team token bound to that team, without it an org admin token.

    `scopes` empty means all that the kind may carry. `expires_in_s` None means no expiry.
    """

    name: Name
    team_node_id: NodeId | None = None
    scopes: tuple[Permission, ...] = ()
    expires_in_s: int | None = Field(default=None, ge=60, le=366 * 86400)


class Token(WireModel):
    """A token without its secret. `hint` is its recognisable first characters."""

    token_id: str
    org_id: OrgId
    kind: TokenKind
    team_node_id: NodeId | None
    name: str
    scopes: tuple[Permission, ...]
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class CreatedToken(WireModel):
    """A token with its secret: shown this once, never again."""

    token: Token
    secret: str = Field(repr=False)


class Introspect(WireModel):
    """A service asks who holds this bearer token."""

    token: str = Field(repr=False)


class Caller(WireModel):
    """Who a credential belongs to and what it may do. `team_node_id` None means every team of the organisation."""

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
