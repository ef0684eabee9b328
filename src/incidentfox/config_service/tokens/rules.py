"""What a token may carry, and who may give it. Pure."""

from __future__ import annotations

from collections.abc import Collection

from incidentfox.contracts.permissions import (
    ORG_ADMIN_TOKEN_PERMISSIONS,
    ROLE_PERMISSIONS,
    SERVICE_PERMISSIONS,
    TEAM_TOKEN_PERMISSIONS,
    Permission,
    Role,
)
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tokens import Caller, CreateToken, Token, TokenKind
from incidentfox.kernel.errors import Forbidden, Unprocessable
from incidentfox.kernel.web.auth import Principal

PREFIXES = {TokenKind.TEAM: "ift", TokenKind.ORG_ADMIN: "ifo"}
"""What a token of each kind begins with, so that a person and a secret scanner recognise it."""

CODE_PREFIX = "ifc"

MOST = {TokenKind.TEAM: TEAM_TOKEN_PERMISSIONS, TokenKind.ORG_ADMIN: ORG_ADMIN_TOKEN_PERMISSIONS}
"""The most that each kind may carry as a list of scopes."""

_HINT_CHARACTERS = 8


def bound_node(request: CreateToken, org_id: str) -> str | None:
    """The node that the new token is bound to; None for the organisation. Raises Unprocessable for two nodes."""
    if request.node_id is not None and request.team_node_id not in (None, request.node_id):
        raise _refused("/team_node_id", "Give `node_id` alone: a token is bound to one node.", "invalid_token_request")
    node_id = request.node_id or request.team_node_id
    return None if node_id == org_id else node_id


def granted_scopes(kind: TokenKind, request: CreateToken, principal: Principal) -> tuple[Permission, ...]:
    """The scopes of the new token, sorted: its role's, or those asked for, or all that the kind may carry.

    Raises Unprocessable for what the kind may not carry, Forbidden for what the caller does not hold itself.
    """
    scopes = _asked(kind, request)
    require_held(scopes, principal)
    return tuple(sorted(scopes))


def require_held(scopes: Collection[Permission], principal: Principal) -> None:
    """Forbidden for scopes that the caller cannot grant, since it does not hold them itself."""
    lacking = sorted(frozenset(scopes) - _grantable(principal) - {Permission.SELF})
    if lacking:
        raise Forbidden(f"You cannot grant what you do not hold: {', '.join(lacking)}.", code="scope_not_held")


def require_may_act_for(user: str | None, principal: Principal) -> None:
    """Forbidden for handing out a token of another person, unless the caller holds the whole organisation.

    Else the admin of a team could approve their own changes under a second name.
    """
    if user is None or principal.team_node_id is None or principal.subject == f"user:{user}":
        return
    raise Forbidden(
        "A personal token of somebody else needs a credential for the whole organisation.", code="organisation_required"
    )


def subject(token: Token) -> str:
    """As whom the holder acts: the person of a personal token, else the token itself."""
    return f"user:{token.user}" if token.user is not None else f"token:{token.token_id}"


def hint(secret: str) -> str:
    """The recognisable first characters of a token: its prefix and four characters."""
    return secret[:_HINT_CHARACTERS]


def caller(principal: Principal) -> Caller:
    """A principal on the wire."""
    return Caller(
        subject=principal.subject,
        org_id=principal.org_id,
        team_node_id=principal.team_node_id,
        scopes=tuple(sorted(principal.permissions)),
    )


def _asked(kind: TokenKind, request: CreateToken) -> frozenset[Permission]:
    if request.role is None:
        excess = sorted(set(request.scopes) - MOST[kind])
        if excess:
            message = f"A token of the kind {kind.value} may not carry {', '.join(excess)}."
            raise _refused("/scopes", message, "scope_not_allowed")
        return frozenset(request.scopes) or MOST[kind]
    if request.scopes:
        raise _refused("/scopes", "A role says what the token may do: leave `scopes` out.", "invalid_token_request")
    if request.role is Role.ORG_ADMIN and kind is not TokenKind.ORG_ADMIN:
        raise _refused("/role", "The role org_admin is for the organisation: leave `node_id` out.", "role_not_allowed")
    return ROLE_PERMISSIONS[request.role]


def _refused(pointer: str, message: str, code: str) -> Unprocessable:
    return Unprocessable(message, code=code, errors=[FieldError(pointer=pointer, message=message)])


def _grantable(principal: Principal) -> frozenset[Permission]:
    """A service's token names only what one call needs; what the service may do at most is what it can grant."""
    if principal.is_service:
        return SERVICE_PERMISSIONS.get(principal.subject.removeprefix("service:"), frozenset())
    return principal.permissions
