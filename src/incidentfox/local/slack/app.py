"""The routes of the local workspace.

    POST /api/auth.test                     POST /api/chat.postMessage     POST /api/chat.update
    GET|POST /api/conversations.list        …/conversations.info           GET|POST /api/chat.getPermalink
    GET|POST /api/conversations.history     …/conversations.replies
    GET /messages                           HTML, or JSON for who asks (`Accept: application/json` or `?format=json`)
    GET /readyz

Calls and answers as docs.slack.dev/reference/methods has them: 200 with `ok`, `error` when it is false. The bearer
token is checked; a method that is not here is `unknown_method`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from incidentfox.local.slack.arguments import flag, number, read_arguments, text
from incidentfox.local.slack.page import render
from incidentfox.local.slack.workspace import BOT_ID, TEAM_ID, USER_ID, Message, Page, SlackError, Workspace

Arguments = dict[str, Any]
Answer = dict[str, Any]

_CONTENT = ("text", "blocks", "attachments", "metadata")
_MOST_TEXT = 40_000  # docs.slack.dev/reference/methods/chat.postMessage, "Truncating content"
_MOST_BLOCKS = 50
_PAGE = 100


class LocalSlack:
    """The ASGI application over one workspace."""

    def __init__(self, workspace: Workspace, token: str, public_url: str) -> None:
        self._workspace = workspace
        self._token = token
        self._public_url = public_url.rstrip("/")
        self._methods: dict[str, Callable[[Arguments], Answer]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "chat.getPermalink": self._permalink,
            "conversations.list": self._list,
            "conversations.info": self._info,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
        }
        self.app = Starlette(
            routes=[
                Route("/api/{method}", self._call, methods=["GET", "POST"]),
                Route("/messages", self._messages),
                Route("/archives/{channel}/{ts}", self._archived),
                Route("/readyz", self._readyz),
            ]
        )

    async def _call(self, request: Request) -> Response:
        try:
            arguments = await read_arguments(request)
            self._authenticate(request, arguments)
            method = self._methods.get(request.path_params["method"], _unknown_method)
            return JSONResponse({"ok": True, **method(arguments)})
        except SlackError as error:
            return JSONResponse({"ok": False, "error": error.code})

    def _authenticate(self, request: Request, arguments: Arguments) -> None:
        offered = request.headers.get("authorization", "").removeprefix("Bearer ") or text(arguments, "token")
        if not offered:
            raise SlackError("not_authed")
        if not hmac.compare_digest(offered.encode(), self._token.encode()):
            raise SlackError("invalid_auth")

    def _auth_test(self, _: Arguments) -> Answer:
        names = {"team": "Local", "user": "incidentfox", "url": f"{self._public_url}/"}
        return {**names, "team_id": TEAM_ID, "user_id": USER_ID, "bot_id": BOT_ID, "is_enterprise_install": False}

    def _post_message(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments)
        content = _content(arguments)
        if not any(content.get(name) for name in ("text", "blocks", "attachments")):
            raise SlackError("no_text")
        message = self._workspace.post(channel, content, text(arguments, "thread_ts") or None)
        return {"channel": channel, "ts": message["ts"], "message": message}

    def _update(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments)
        message = self._workspace.update(channel, text(arguments, "ts"), _content(arguments))
        return {"channel": channel, "ts": message["ts"], "text": message.get("text", ""), "message": message}

    def _permalink(self, arguments: Arguments) -> Answer:
        channel, ts = self._channel(arguments), text(arguments, "message_ts")
        if not self._workspace.has(channel, ts):
            raise SlackError("message_not_found")
        return {"channel": channel, "permalink": f"{self._public_url}/archives/{channel}/p{ts.replace('.', '')}"}

    def _list(self, _: Arguments) -> Answer:
        channels = [_channel_object(channel, name) for channel, name in self._workspace.channels.items()]
        return {"channels": channels, "response_metadata": {"next_cursor": ""}}

    def _info(self, arguments: Arguments) -> Answer:
        channel = self._channel(arguments)
        return {"channel": _channel_object(channel, self._workspace.channels[channel])}

    def _history(self, arguments: Arguments) -> Answer:
        channel = self._channel_id(arguments)
        limit, cursor = number(arguments, "limit", _PAGE), text(arguments, "cursor")
        return _messages_of(self._workspace.history(channel, _window(arguments), limit, cursor), arguments)

    def _replies(self, arguments: Arguments) -> Answer:
        channel, ts = self._channel_id(arguments), text(arguments, "ts")
        limit, cursor = number(arguments, "limit", _PAGE), text(arguments, "cursor")
        return _messages_of(self._workspace.replies(channel, ts, _window(arguments), limit, cursor), arguments)

    def _channel(self, arguments: Arguments) -> str:
        """Posting takes a channel's id or name …"""
        return self._workspace.resolve(text(arguments, "channel"))

    def _channel_id(self, arguments: Arguments) -> str:
        """… reading takes its id alone, as Slack does."""
        channel = text(arguments, "channel")
        if channel not in self._workspace.channels:
            raise SlackError("channel_not_found")
        return channel

    async def _messages(self, request: Request) -> Response:
        messages = self._workspace.everything()
        wants_json = request.query_params.get("format") == "json" or "application/json" in request.headers.get(
            "accept", ""
        )
        if wants_json:
            return JSONResponse({"messages": [{"channel": channel, **message} for channel, message in messages]})
        return HTMLResponse(
            render(messages), headers={"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        )

    async def _archived(self, request: Request) -> Response:
        digits = re.sub(r"\D", "", request.path_params["ts"])
        return RedirectResponse(f"/messages#m{digits}", 303)

    async def _readyz(self, _: Request) -> Response:
        return JSONResponse({"status": "ready"})


def _unknown_method(_: Arguments) -> Answer:
    raise SlackError("unknown_method")


def _content(arguments: Arguments) -> Message:
    content = {name: arguments[name] for name in _CONTENT if arguments.get(name) not in (None, "")}
    content["text"] = str(content.get("text", ""))[:_MOST_TEXT]
    blocks = content.get("blocks", [])
    if (
        not isinstance(blocks, list)
        or len(blocks) > _MOST_BLOCKS
        or not all(isinstance(block, dict) for block in blocks)
    ):
        raise SlackError("invalid_blocks")
    metadata = content.get("metadata")
    if metadata is not None and not (isinstance(metadata, dict) and {"event_type", "event_payload"} <= metadata.keys()):
        raise SlackError("invalid_metadata_format")
    return content


def _window(arguments: Arguments) -> tuple[str, str]:
    window = text(arguments, "oldest"), text(arguments, "latest")
    for bound in window:
        try:
            float(bound or 0)
        except ValueError:
            raise SlackError("invalid_ts_oldest" if bound == window[0] else "invalid_ts_latest") from None
    return window


def _messages_of(page: Page, arguments: Arguments) -> Answer:
    messages = page.messages
    if not flag(arguments, "include_all_metadata"):
        messages = [{key: value for key, value in message.items() if key != "metadata"} for message in messages]
    answer: Answer = {"messages": messages, "has_more": page.next_cursor is not None}
    if page.next_cursor is not None:
        answer["response_metadata"] = {"next_cursor": page.next_cursor}
    return answer


def _channel_object(channel: str, name: str) -> Answer:
    flags = {"is_channel": True, "is_private": False, "is_archived": False, "is_member": True}
    return {"id": channel, "name": name, "name_normalized": name, **flags}
