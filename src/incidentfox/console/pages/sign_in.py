"""Signing in and out.

A sign-in link only shows a button; the button sends the code. So a chat program that fetches links for a preview
does not use the code up. Whoever signs in with a token gets a session of their own for it: signing out then revokes
that session, and the token itself is never kept in a browser.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from incidentfox.console.backends import Backends, backends_of
from incidentfox.console.session import Session, SessionCookie, acting_as, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.crypto import token_is_well_formed
from incidentfox.kernel.errors import Failure, Forbidden, Gone, NotFound, Temporary, Unauthenticated
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.web.auth import public

log = get_logger(__name__)
router = APIRouter()

_HOME = "/runs"
_LOCAL_PATH = re.compile(r"^/(?![/\\])[^\\\x00-\x20\x7f]*$")
_LONGEST = 512

NextField = Annotated[str, Form(alias="next", max_length=2000)]
SignedIn = Annotated[Session, requires_session(Permission.SELF)]


@router.get("/", include_in_schema=False)
@public
async def home() -> Response:
    """The runs are the front page."""
    return RedirectResponse(_HOME, status_code=303)


@router.get("/sign-in")
@public
async def sign_in_page(
    request: Request,
    code: Annotated[str | None, Query(max_length=_LONGEST)] = None,
    target: Annotated[str, Query(alias="next", max_length=2000)] = _HOME,
) -> Response:
    """The page with the button, for a link with a code; otherwise the form for a token."""
    if code is None and _cookie(request).read(request) is not None:
        return RedirectResponse(local_path(target), status_code=303)
    return _form(request, code, target)


@router.post("/sign-in")
@public
async def sign_in(
    request: Request,
    code: Annotated[str, Form(max_length=_LONGEST)] = "",
    token: Annotated[str, Form(max_length=_LONGEST)] = "",
    target: NextField = _HOME,
) -> Response:
    """Exchanges the code, or the token, for a session; then away from the address that held the code."""
    try:
        session = await _open_session(backends_of(request), code.strip(), token.strip())
    except (Unauthenticated, Forbidden, Gone, NotFound) as failure:
        log.info("sign-in refused", code_of_failure=failure.code)
        return _form(request, None, target, _refusal(code), 401)
    except Temporary as failure:
        return _form(
            request, code or None, target, "The Config Service is away. Try again in a moment.", failure.status
        )
    response = RedirectResponse(local_path(target), status_code=303)
    _cookie(request).write(response, session)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, session: SignedIn) -> Response:
    """Revokes the session and takes it out of the browser, whatever the Config Service says."""
    response: Response = RedirectResponse("/sign-in", status_code=303)
    try:
        await backends_of(request).config_service.sign_out()
    except Temporary:
        request.state.session = None
        until = f" It expires by itself at {session.expires_at:%H:%M} UTC." if session.expires_at else ""
        words = f"You are signed out here, but the Config Service is away and could not revoke the session.{until}"
        response = _form(request, None, _HOME, words, 503)
    except Failure as failure:
        log.info("session was gone already", code_of_failure=failure.code)
    _cookie(request).clear(response)
    return response


def local_path(target: str) -> str:
    """`target` if it is a path within the console: a sign-in link must not lead anywhere else."""
    return target if _LOCAL_PATH.match(target) and not target.startswith("/sign-") else _HOME


async def _open_session(backends: Backends, code: str, token: str) -> Session:
    if not code:
        if not token_is_well_formed(token):
            raise Unauthenticated("This is not a token.")
        with acting_as(token):
            code = (await backends.config_service.create_sign_in_code()).code
    created = await backends.doors.exchange_sign_in_code(code)
    with acting_as(created.secret):
        caller = await backends.config_service.me()
    if caller.org_id is None:
        raise Forbidden("This token is bound to no organisation.")
    return Session(
        token=created.secret,
        subject=caller.subject,
        org_id=caller.org_id,
        team_node_id=caller.team_node_id,
        permissions=frozenset(caller.scopes),
        expires_at=created.token.expires_at,
    )


def _refusal(code: str) -> str:
    if code:
        return "This sign-in link was used already or is too old. Ask for a new one, or sign in with a token."
    return "This token is unknown, expired or revoked, or it may not sign in."


def _form(request: Request, code: str | None, target: str, error: str = "", status: int = 200) -> Response:
    context = {"code": code, "next": local_path(target), "error": error}
    return pages_of(request).page(request, "sign_in.html", context, status)


def _cookie(request: Request) -> SessionCookie:
    cookie: SessionCookie = request.app.state.session_cookie
    return cookie
