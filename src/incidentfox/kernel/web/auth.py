"""Who is calling, and may they: service identity, bearer tokens, and the permission that each route declares.

Services identify themselves with a 60-second EdDSA token (RFC 8037) whose audience is the service called, whose
scopes are the least needed and which names the tenant it is for. People and outside systems present an opaque bearer
token, which only the Config Service can look up; other services ask it (`TokenAuthenticator`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from incidentfox.contracts.permissions import SERVICE_PERMISSIONS, Permission
from incidentfox.kernel.errors import Forbidden, NotFound, Unauthenticated
from incidentfox.kernel.identity import ALGORITHMS, TOKEN_LIFETIME_S

_LEEWAY_S = 5
_REMEMBER_MOST = 10_000

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True)
class Principal:
    """The caller of a request. `org_id` None: not bound to a tenant; `team_node_id` None: every team of it.

    `token_id` is the bearer token that was shown; None for a service, which shows none. `subject` is the same for all
    tokens of one person.
    """

    subject: str
    org_id: str | None
    team_node_id: str | None
    permissions: frozenset[Permission]
    is_service: bool = False
    token_id: str | None = None

    def in_org(self, org_id: str) -> Principal:
        """This principal, if it may act in the organisation. Foreign tenants look the same as absent ones."""
        if self.org_id is not None and self.org_id != org_id:
            raise NotFound(f"There is no organisation {org_id!r} here for you.", code="org_not_found")
        return self

    def in_whole_org(self, org_id: str) -> Principal:
        """This principal, if it may act in the organisation and is bound to none of its teams."""
        if self.in_org(org_id).team_node_id is not None:
            raise Forbidden("This needs a credential for the whole organisation.", code="organisation_required")
        return self

    def tenant_org(self) -> str:
        """The organisation this caller is bound to; Forbidden for one that is bound to none."""
        if self.org_id is None:
            raise Forbidden("This call needs a credential that is bound to an organisation.", code="tenant_required")
        return self.org_id


class TokenAuthenticator(Protocol):
    """Looks an opaque bearer token up. The Config Service reads its tables; the others ask the Config Service."""

    async def authenticate(self, token: str) -> Principal | None:
        """The token's holder, or None for an unknown, expired or revoked one."""
        ...


class Authenticator:
    """Turns the Authorization header of a request into a Principal. One per service, kept on `app.state`."""

    def __init__(
        self, audience: str, trusted_keys: Mapping[str, Mapping[str, Any]], tokens: TokenAuthenticator | None
    ) -> None:
        self._keys = {name: OKPKey.import_key(dict(jwk)) for name, jwk in trusted_keys.items()}
        self._tokens = tokens
        self._verified: dict[str, tuple[Principal, float]] = {}
        self._rules = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "values": sorted(self._keys)},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
        )

    async def principal(self, request: Request) -> Principal:
        """The caller; Unauthenticated when the credential is absent, malformed, unknown or expired."""
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise Unauthenticated("Send a token in the Authorization header: `Bearer …`.")
        if credential.count(".") == 2:
            return self._service_principal(credential)
        principal = await self._tokens.authenticate(credential) if self._tokens else None
        if principal is None:
            raise Unauthenticated("This token is unknown, expired or revoked.", code="invalid_token")
        return principal

    def _service_principal(self, credential: str) -> Principal:
        """What a signature says once it says for as long as the token lives, so it is verified once."""
        known = self._verified.get(credential)
        if known is not None and time.time() < known[1] + _LEEWAY_S:
            return known[0]
        principal, expires_at = self._verify(credential)
        if len(self._verified) >= _REMEMBER_MOST:
            self._verified.clear()
        self._verified[credential] = principal, expires_at
        return principal

    def _verify(self, credential: str) -> tuple[Principal, float]:
        try:
            token = jwt.decode(credential, self._key_of, algorithms=ALGORITHMS)
            self._rules.validate(token.claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:  # TypeError: a header of odd types, as `crit: 5`
            raise Unauthenticated("This service token is not valid here.", code="invalid_service_token") from error
        claims, issuer = token.claims, token.header["kid"]
        if claims["iss"] != issuer or claims["exp"] - claims["iat"] > TOKEN_LIFETIME_S:
            raise Unauthenticated("This service token is not valid here.", code="invalid_service_token")
        asked = {Permission(scope) for scope in claims.get("scope", "").split() if scope in set(Permission)}
        granted = SERVICE_PERMISSIONS.get(issuer, frozenset())
        principal = Principal(
            subject=claims["sub"],
            org_id=claims.get("org"),
            team_node_id=claims.get("team"),
            permissions=frozenset(asked) & granted,
            is_service=True,
        )
        return principal, float(claims["exp"])

    def _key_of(self, token: Any) -> OKPKey:
        return self._keys[token.headers()["kid"]]


class RequirePermission:
    """The dependency by which a route declares its permission. `tests/house` reads `permission` off every route."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Principal:
        """The caller, once it is known to hold the permission."""
        authenticator: Authenticator = request.app.state.authenticator
        principal = await authenticator.principal(request)
        if self.permission is not Permission.SELF and self.permission not in principal.permissions:
            raise Forbidden(f"This needs the permission {self.permission}.", code="permission_required")
        return principal


def requires(permission: Permission) -> Any:
    """`principal: Annotated[Principal, requires(Permission.RUNS_READ)]` in a route's signature."""
    return Depends(RequirePermission(permission))


def public(handler: Handler) -> Handler:
    """Marks a route that needs no credential, on purpose. A route with neither mark fails the house tests."""
    handler.permission = Permission.PUBLIC  # type: ignore[attr-defined]
    return handler


Caller = Annotated[Principal, requires(Permission.SELF)]
