"""Who is signed in: the sealed cookie, the permission that each page declares, and whom the clients act as.

The cookie holds the session's bearer token and whom it belongs to, sealed with AES-GCM: a browser can neither read
nor change it, and the console keeps nothing. The scopes in it only decide which page to show; whether the token may
read something, and whether it is still valid, is decided by the Config Service at every call.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from fastapi import Depends, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from incidentfox.clients.transport import Credential
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.errors import Forbidden, IntegrityFailure, Unauthenticated
from incidentfox.kernel.tenant import Tenant

_PLACE = ("session",)
_visitor: ContextVar[str | None] = ContextVar("visitor", default=None)


class Session(BaseModel):
    """One person's session, as it stands in the cookie. `team_node_id` None: every team of the organisation."""

    token: str = Field(repr=False)
    subject: str
    org_id: str
    team_node_id: str | None
    permissions: frozenset[Permission]
    expires_at: datetime | None

    def may(self, permission: Permission) -> bool:
        """Whether the session carries the permission."""
        return permission is Permission.SELF or permission in self.permissions


class VisitorCredential(Credential):
    """Authorises each call as the person whose request is being handled; nobody at all outside a signed-in request.

    One client with one pool of connections serves everybody: making a client costs 25 ms (its TLS context). The
    person is held in a context variable, as the correlation id is, and `signed_out` clears it round every request.
    """

    def bearer(self, audience: str, permission: Permission, tenant: Tenant | None) -> str:
        """The token of the person signed in."""
        token = _visitor.get()
        if token is None:
            raise Unauthenticated("Sign in first.")
        return token


@contextmanager
def acting_as(token: str | None) -> Iterator[None]:
    """Calls made inside are made with this token; None: calls that need one fail."""
    reset = _visitor.set(token)
    try:
        yield
    finally:
        _visitor.reset(reset)


class SessionCookie:
    """Writes, reads and clears the cookie."""

    def __init__(self, keyring: Keyring, *, secure: bool) -> None:
        self._keyring = keyring
        self._secure = secure
        # The prefix makes browsers refuse the cookie from a sibling domain or over plain http (RFC 6265bis, 4.1.3.2).
        self.name = "__Host-incidentfox" if secure else "incidentfox"

    def write(self, response: Response, session: Session) -> None:
        """Puts the session into the browser, for as long as its token is valid."""
        sealed = self._keyring.seal(session.model_dump_json(), *_PLACE)
        remaining = None if session.expires_at is None else (session.expires_at - utc_now()).total_seconds()
        response.set_cookie(
            self.name,
            base64.urlsafe_b64encode(sealed).decode(),
            max_age=None if remaining is None else max(0, int(remaining)),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def read(self, request: Request) -> Session | None:
        """The session of a request; None for none, an expired one, or a cookie that we did not seal."""
        value = request.cookies.get(self.name)
        if value is None:
            return None
        try:
            sealed = base64.urlsafe_b64decode(value)
            session = Session.model_validate_json(self._keyring.open(sealed, *_PLACE))
        except (binascii.Error, ValueError, IntegrityFailure, ValidationError):
            return None
        expired = session.expires_at is not None and session.expires_at <= utc_now()
        return None if expired else session

    def clear(self, response: Response) -> None:
        """Takes the session out of the browser."""
        response.delete_cookie(self.name, path="/", secure=self._secure, httponly=True, samesite="lax")


class RequireSession:
    """The dependency by which a page declares its permission. `tests/house` reads `permission` off every route."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Session:
        """The session, once it is known to hold the permission; from here on the clients act as this person."""
        cookie: SessionCookie = request.app.state.session_cookie
        session = cookie.read(request)
        if session is None:
            raise Unauthenticated("Sign in to see this page.")
        request.state.session = session
        if not session.may(self.permission):
            raise Forbidden(
                f"Your session does not carry the permission {self.permission}. Sign in with a token that does.",
                code="permission_required",
            )
        _visitor.set(session.token)
        return session


def requires_session(permission: Permission) -> Any:
    """`session: Annotated[Session, requires_session(Permission.RUNS_READ)]` in a page's signature."""
    return Depends(RequireSession(permission))
