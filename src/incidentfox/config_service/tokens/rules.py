"""What a token may carry, and who may give it. Pure."""

from __future__ import annotations

from collections.abc import Collection

from incidentfox.contracts.permissions import (
    ORG_ADMIN_TOKEN_PERMISSIONS,
    SERVICE_PERMISSIONS,
    TEAM_TOKEN_PERMISSIONS,
    Permission,
)
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tokens import Caller, TokenKind
from incidentfox.kernel.errors import Forbidden, Unprocessable
from incidentfox.kernel.web.auth import Principal

PREFIXES = {TokenKind.TEAM: "ift", TokenKind.ORG_ADMIN: "ifo"}
"""What a token of each kind begins with, so that a person and a secret scanner recognise it."""

CODE_PREFIX = "ifc"

MOST = {TokenKind.TEAM: TEAM_TOKEN_PERMISSIONS, TokenKind.ORG_ADMIN: ORG_ADMIN_TOKEN_PERMISSIONS}
"""The most that each kind may carry."""

_HINT_CHARACTERS = 8


def granted_scopes(kind: TokenKind, asked: Collection[Permission], principal: Principal) -> tuple[Permission, ...]:
    """The scopes of the new token, sorted; all that the kind may carry when none is asked for.

    Raises Unprocessable for what the kind may not carry, Forbidden for what the caller does not hold itself.
    """
    excess = sorted(set(asked) - MOST[kind])
    if excess:
        message = f"A token of the kind {kind.value} may not carry {', '.join(excess)}."
        raise Unprocessable(message, code="scope_not_allowed", errors=[FieldError(pointer="/scopes", message=message)])
    scopes = frozenset(asked) or MOST[kind]
    lacking = sorted(scopes - _grantable(principal) - {Permission.SELF})
    if lacking:
        raise Forbidden(f"You cannot grant what you do not hold: {', '.join(lacking)}.", code="scope_not_held")
    return tuple(sorted(scopes))


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


def _grantable(principal: Principal) -> frozenset[Permission]:
    """A service's token names only what one call needs; what the service may do at most is what it can grant."""
    if principal.is_service:
        return SERVICE_PERMISSIONS.get(principal.subject.removeprefix("service:"), frozenset())
    return principal.permissions
