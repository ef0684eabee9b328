"""JSON bodies, read strictly: what two parsers could read differently is refused, and so is what cannot be stored.

Duplicate keys, non-UTF-8, NaN and infinities, NUL and lone surrogates (Postgres stores neither), too deep nesting: each
is a 400 that names the field. FastAPI's own reading accepts the first and turns the others into a 500 further down.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from incidentfox.contracts.problem import FieldError
from incidentfox.kernel.errors import Invalid

MAX_DEPTH = 64

_DUPLICATE = object()


class StrictRoute(APIRoute):
    """The route class of every router that takes JSON: `APIRouter(route_class=StrictRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, behind the strict reading."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            if "\0" in request.url.path or b"%00" in request.scope.get("query_string", b""):
                raise Invalid("The URL holds a NUL character.", code="invalid_text")
            read = _StrictRequest(request.scope, request.receive)
            if _has_json(request):
                await read.json()
            return await handle(read)

        return strict


class _StrictRequest(Request):
    _parsed: Any = _DUPLICATE

    async def json(self) -> Any:
        """The body, parsed once. FastAPI calls this again and gets the same."""
        if self._parsed is _DUPLICATE:
            body = await self.body()
            self._parsed = parse_strictly(body) if body else None
        return self._parsed


def parse_strictly(body: bytes) -> Any:
    """The JSON value of `body`; Invalid where it is not JSON that everybody reads alike and Postgres can store."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"The body must be UTF-8; byte {error.start} is not.", code="invalid_json") from error
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise Invalid(f"The body may nest {MAX_DEPTH} levels deep at most.", code="too_deep") from error
    except json.JSONDecodeError as error:
        raise Invalid(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.", code="invalid_json"
        ) from error
    except ValueError as error:
        raise Invalid(f"The body is not JSON: {error}.", code="invalid_json") from error
    _examine(value)
    return value


def _has_json(request: Request) -> bool:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return content_type == "application/json" or (
        content_type.startswith("application/") and content_type.endswith("+json")
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found[key] = _DUPLICATE
            seen.add(key)
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal[:20]} is out of range")
    return number


def _examine(root: Any) -> None:
    pending: list[tuple[Any, tuple[str, ...]]] = [(root, ())]
    while pending:
        value, path = pending.pop()
        if value is _DUPLICATE:
            raise _wrong("this key occurs twice; keep one", "duplicate_key", path)
        if len(path) > MAX_DEPTH:
            raise _wrong(f"nested deeper than {MAX_DEPTH} levels", "too_deep", path[:8])
        if isinstance(value, str):
            _examine_text(value, path)
        elif isinstance(value, dict):
            for key, below in value.items():
                _examine_text(key, path)
                pending.append((below, (*path, key)))
        elif isinstance(value, list):
            pending.extend((below, (*path, str(index))) for index, below in enumerate(value))


def _examine_text(text: str, path: tuple[str, ...]) -> None:
    if "\0" in text:
        raise _wrong("holds a NUL character, which cannot be stored", "invalid_text", path)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _wrong("holds half a surrogate pair, which is not text", "invalid_text", path) from error


def _wrong(message: str, code: str, path: tuple[str, ...]) -> Invalid:
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path) or "/"
    return Invalid(f"{pointer}: {message}.", code=code, errors=[FieldError(pointer=pointer, message=message)])
