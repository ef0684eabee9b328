"""The channels and messages of the local workspace. Kept as JSON lines: each post and each update is one line.

Semantics as Slack documents them: `ts` is unique within a channel and orders it; a reply is in the thread of its
parent and not in the channel's history; a message's metadata is shown to who asks for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = dict[str, Any]

TEAM_ID = "T0LOCAL00"
BOT_ID = "B0LOCAL00"
USER_ID = "U0LOCAL00"
_MOST_ON_A_PAGE = 999


class SlackError(Exception):
    """A call that Slack answers with `{"ok": false, "error": code}`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Page:
    """Some of a channel's messages, and where the next ones begin."""

    messages: list[Message]
    next_cursor: str | None


class Workspace:
    """All that was posted. One process, one event loop; a post is on disk before it is answered."""

    def __init__(self, path: Path, channels: Iterable[str]) -> None:
        self.channels = {channel_id(name): name for name in channels}
        self._messages: dict[str, dict[str, Message]] = {channel: {} for channel in self.channels}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        whole = path.read_bytes().rpartition(b"\n")
        self._file.truncate(len(whole[0]) + len(whole[1]))  # a post that was cut short was never answered
        self._replay(whole[0])

    def resolve(self, channel: str) -> str:
        """The id of a channel given by id or by name; `channel_not_found` otherwise."""
        if channel in self.channels:
            return channel
        found = channel_id(channel.removeprefix("#"))
        if found not in self.channels:
            raise SlackError("channel_not_found")
        return found

    def post(self, channel: str, content: Mapping[str, Any], thread_ts: str | None) -> Message:
        """Posts a message; `content` holds text, blocks, attachments, metadata."""
        if thread_ts is not None and thread_ts not in self._messages[channel]:
            raise SlackError("thread_not_found")
        message: Message = {
            "type": "message",
            "ts": self._next_ts(channel),
            "user": USER_ID,
            "bot_id": BOT_ID,
            "team": TEAM_ID,
            **content,
        }
        if thread_ts is not None:
            message["thread_ts"] = thread_ts
        self._keep(channel, message)
        return message

    def update(self, channel: str, ts: str, content: Mapping[str, Any]) -> Message:
        """Replaces the content of a message."""
        if ts not in self._messages[channel]:
            raise SlackError("message_not_found")
        edited = {"user": USER_ID, "ts": f"{time.time():.6f}"}
        message = {**self._messages[channel][ts], **content, "edited": edited}
        self._keep(channel, message)
        return message

    def history(self, channel: str, window: tuple[str, str], limit: int, cursor: str | None) -> Page:
        """The channel's own messages within (oldest, latest), newest first."""
        found = [
            self._with_thread(channel, message)
            for message in reversed(self._messages[channel].values())
            if "thread_ts" not in message and _within(message["ts"], window)
        ]
        return _page(found, limit, cursor)

    def replies(self, channel: str, ts: str, window: tuple[str, str], limit: int, cursor: str | None) -> Page:
        """A thread: its parent, then the replies within (oldest, latest), oldest first."""
        if ts not in self._messages[channel]:
            raise SlackError("thread_not_found")
        parent = self._with_thread(channel, self._messages[channel][ts])
        replies = [
            message
            for message in self._messages[channel].values()
            if message.get("thread_ts") == ts and _within(message["ts"], window)
        ]
        return _page([parent, *replies], limit, cursor)

    def has(self, channel: str, ts: str) -> bool:
        """Whether there is such a message."""
        return ts in self._messages[channel]

    def everything(self) -> list[tuple[str, Message]]:
        """(channel name, message), oldest first."""
        pairs = [
            (self.channels[channel], message)
            for channel, messages in self._messages.items()
            for message in messages.values()
        ]
        return sorted(pairs, key=lambda pair: float(pair[1]["ts"]))

    def _keep(self, channel: str, message: Message) -> None:
        self._file.write(json.dumps({"channel": channel, "message": message}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._messages[channel][message["ts"]] = message

    def _replay(self, content: bytes) -> None:
        for line in content.splitlines():
            entry = json.loads(line)
            if entry["channel"] in self._messages:
                self._messages[entry["channel"]][entry["message"]["ts"]] = entry["message"]

    def _next_ts(self, channel: str) -> str:
        newest = max((float(ts) for ts in self._messages[channel]), default=0.0)
        return f"{max(time.time(), newest + 0.000001):.6f}"

    def _with_thread(self, channel: str, message: Message) -> Message:
        replies = [reply for reply in self._messages[channel].values() if reply.get("thread_ts") == message["ts"]]
        if not replies:
            return message
        return {
            **message,
            "thread_ts": message["ts"],
            "reply_count": len(replies),
            "latest_reply": replies[-1]["ts"],
        }


def channel_id(name: str) -> str:
    """The id of the channel called `name`: always the same, and of Slack's shape."""
    digest = hashlib.sha256(name.encode()).digest()
    return "C" + base64.b32encode(digest).decode()[:10]


def _within(ts: str, window: tuple[str, str]) -> bool:
    oldest, latest = window
    return float(oldest or 0) < float(ts) and (not latest or float(ts) < float(latest))


def _page(messages: list[Message], limit: int, cursor: str | None) -> Page:
    start = _position(cursor)
    end = start + max(1, min(limit, _MOST_ON_A_PAGE))
    following = base64.b64encode(f"next:{end}".encode()).decode() if end < len(messages) else None
    return Page(messages[start:end], following)


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except (binascii.Error, ValueError):
        raise SlackError("invalid_cursor") from None
