"""What a person sees when something goes wrong: a page that says what to do next, with the correlation id.

Callers that do not ask for HTML (the live stream, a probe) get the same problem+json as everywhere else.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from incidentfox.console.session import SessionCookie
from incidentfox.console.templating import pages_of
from incidentfox.contracts.explanation import Refusal
from incidentfox.kernel.errors import Failure, Invalid, NotFound, Temporary, Unauthenticated
from incidentfox.kernel.logging import correlated, get_logger
from incidentfox.kernel.web.problem import problem_response

log = get_logger(__name__)

_ADVICE: dict[int, str] = {
    403: "Sign in with a token that has this permission, or ask your administrator for one.",
    404: "Check the address. What another team owns looks the same as what does not exist.",
    429: "Wait a moment, then try again.",
    503: "A service that the console needs is away. It is safe to try again; nothing was lost.",
    504: "A service that the console needs is slow. It is safe to try again; nothing was lost.",
}
_UNFORESEEN = "The console failed. The log has the details under the correlation id."


def install_failure_pages(app: FastAPI) -> None:
    """Called by `create_app`: replaces the handlers of the services, which answer programs."""

    async def on_failure(request: Request, error: Exception) -> Response:
        failure = error if isinstance(error, Failure) else Failure(_UNFORESEEN)
        if failure.status >= 500:
            log.error("page failed", code=failure.code, detail=failure.detail)
        return failure_response(request, failure)

    async def on_invalid(request: Request, _: Exception) -> Response:
        return failure_response(request, Invalid("A part of the address or of the form is not valid."))

    async def on_http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 404:
            return failure_response(request, NotFound("There is no such page."))
        failure = Failure("The console does not do that here.", code=f"http_{status}")
        failure.status = status  # type: ignore[misc]
        failure.title = "Not possible"  # type: ignore[misc]
        return failure_response(request, failure)

    async def on_bug(request: Request, error: Exception) -> Response:
        # Made outside of every middleware: their context is gone and their headers do not reach this response.
        with correlated(request.state.correlation_id):
            log.error("unhandled exception", exc_info=error)
            response = failure_response(request, Failure(_UNFORESEEN))
            response.headers.update(request.app.state.security_headers)
            response.headers["Cache-Control"] = "no-store"
            return response

    app.add_exception_handler(Failure, on_failure)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_bug)


def failure_response(request: Request, failure: Failure) -> Response:
    """The page (or the problem, for a program) of one failure. Somebody not signed in is sent to sign in."""
    if "text/html" not in request.headers.get("accept", ""):
        return problem_response(failure)
    if isinstance(failure, Unauthenticated):
        return _to_sign_in(request)
    context = {
        "failure": failure,
        "advice": _ADVICE.get(failure.status, "If it happens again, tell whoever runs this installation."),
        "can_retry": isinstance(failure, Temporary) and request.method == "GET",
        "retry_url": here(request),
        "correlation_id": request.state.correlation_id,
    }
    return pages_of(request).page(request, "failure.html", context, failure.status)


def as_refusal(failure: Failure) -> Refusal:
    """A failure of a write as its preview would have shown it."""
    return Refusal(status=failure.status, code=failure.code, detail=failure.detail, errors=failure.errors)


def here(request: Request) -> str:
    """The address of this request within the console, without scheme and host."""
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(request.scope["path"], safe="/") + query


def _to_sign_in(request: Request) -> Response:
    back = here(request) if request.method == "GET" else "/runs"
    response = RedirectResponse(f"/sign-in?{urlencode({'next': back})}", status_code=303)
    cookie: SessionCookie = request.app.state.session_cookie
    cookie.clear(response)
    return response
