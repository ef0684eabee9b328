"""Reads the arguments of a Web API call: query, form or JSON (docs.slack.dev/apis/web-api, "Request").

In forms and queries, blocks and metadata are JSON texts and flags are words; here everything has its own type.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from incidentfox.local.slack.workspace import SlackError

_DOCUMENTS = ("blocks", "attachments", "metadata")
_MOST_BYTES = 1_000_000


async def read_arguments(request: Request) -> dict[str, Any]:
    """The call's arguments. `invalid_json`, `invalid_arguments` and the like as SlackError."""
    arguments: dict[str, Any] = dict(request.query_params)
    body = await request.body()
    if len(body) > _MOST_BYTES:
        raise SlackError("request_too_large")
    if request.headers.get("content-type", "").startswith("application/json"):
        arguments |= _json_object(body)
    else:
        arguments |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    for name in _DOCUMENTS:
        if isinstance(arguments.get(name), str) and arguments[name]:
            arguments[name] = _document(name, arguments[name])
    return arguments


def text(arguments: dict[str, Any], name: str) -> str:
    """A text argument; empty when absent."""
    value = arguments.get(name)
    return "" if value is None else str(value)


def number(arguments: dict[str, Any], name: str, default: int) -> int:
    """A whole number."""
    try:
        return int(arguments.get(name) or default)
    except (TypeError, ValueError):
        raise SlackError("invalid_arguments") from None


def flag(arguments: dict[str, Any], name: str) -> bool:
    """A flag: true, `true`, `1`."""
    return str(arguments.get(name, "")).lower() in ("1", "true")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(document, dict):
        raise SlackError("json_not_object")
    return document


def _document(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise SlackError(f"invalid_{name}" if name == "blocks" else "invalid_arguments") from None
