"""Renders every failure as RFC 9457 problem+json. One of the three places that may catch Exception."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from incidentfox.contracts.problem import MEDIA_TYPE, FieldError, Problem
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.logging import CORRELATION_HEADER, correlated, correlation_id, get_logger

log = get_logger(__name__)

_LOGGED = "_incidentfox_logged"  # set on the error itself: most of Python's own errors take no weak reference

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def problem_response(failure: Failure) -> Response:
    """The response of one failure. Also called by raw handlers, which no exception handler sees."""
    problem = Problem(
        type=f"https://incidentfox.dev/problems/{failure.code}",
        title=failure.title,
        status=failure.status,
        code=failure.code,
        detail=failure.detail,
        correlation_id=correlation_id(),
        errors=failure.errors,
    )
    headers = {}
    if failure.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(failure.retry_after_s + 0.5)))
    if failure.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(problem.model_dump_json(exclude_none=True), failure.status, media_type=MEDIA_TYPE, headers=headers)


def install_problem_handlers(app: FastAPI) -> None:
    """Called by `create_app`: no response of the product has another error form."""
    logging.getLogger("uvicorn.error").addFilter(_once)

    @app.exception_handler(Failure)
    async def on_failure(_: Request, failure: Failure) -> Response:
        if failure.status >= 500:
            log.error("request failed", code=failure.code, detail=failure.detail)
        return problem_response(failure)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> Response:
        return problem_response(_invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> Response:
        return problem_response(_from_http(error))

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        with correlated(request.state.correlation_id) as current:
            log.error("unhandled exception", exc_info=error)
            setattr(error, _LOGGED, True)
            failure = Failure("The service failed. The log has the details under the correlation id.")
            response = problem_response(failure)
        response.headers[CORRELATION_HEADER] = current
        return response


async def handled(request: Request, error: BaseException) -> Response:
    """What this application answers to an error, for an answer that has begun: by the handlers that would have it."""
    handlers = request.app.exception_handlers
    handler = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
    response: Response = await handler(request, error)
    return response


def _once(record: logging.LogRecord) -> bool:
    """Drops the server's own report of an error that was logged above, where its correlation id was known."""
    return record.exc_info is None or not hasattr(record.exc_info[1], _LOGGED)


def field_errors(errors: Sequence[Any]) -> tuple[FieldError, ...]:
    """Pydantic's errors as pointers and messages. The input value is left out: it may be a secret."""
    return tuple(
        FieldError(pointer="/" + "/".join(str(part) for part in error["loc"]), message=error["msg"]) for error in errors
    )


def _invalid(errors: Sequence[Any]) -> Failure:
    found = field_errors(errors)
    first = f" First: {found[0].pointer}: {found[0].message}." if found else ""
    failure = Failure(f"{len(found)} invalid field(s).{first}", code="validation_failed", errors=found)
    failure.status = 422  # type: ignore[misc]
    failure.title = "Validation failed"  # type: ignore[misc]
    return failure


def _from_http(error: HTTPException) -> Failure:
    if isinstance(error.__cause__, Failure):
        return error.__cause__  # FastAPI makes a 400 of whatever is raised while it reads a body, as of a 413
    failure = Failure(str(error.detail), code=_HTTP_CODES.get(error.status_code, f"http_{error.status_code}"))
    failure.status = error.status_code  # type: ignore[misc]
    failure.title = str(error.detail)  # type: ignore[misc]
    return failure
