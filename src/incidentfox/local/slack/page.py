"""The page on which a person reads what was posted: the parts of Block Kit and mrkdwn that our messages use.

Everything posted is escaped; only http(s) links become links.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from incidentfox.local.slack.workspace import Message

_STYLE = """
:root { color-scheme: light dark; --line: #7776; --quiet: #6b6b6b; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a5a5a5; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: 1rem 0; }
article.reply { margin-left: 2rem; } article:target { outline: 2px solid; }
header, .context { color: var(--quiet); font-size: .875rem; } hr { border: 0; border-top: 1px solid var(--line); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; } .fields { display: grid; grid-template-columns: 1fr 1fr; }
"""

# docs.slack.dev/messaging/formatting-message-text
_CODE = re.compile(r"(```.+?```|`[^`\n]+`)", re.DOTALL)
_MARKED = re.compile(r"(<[^<>\n]+>)")
_BOLD = re.compile(r"(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?![\w*])")
_ITALIC = re.compile(r"(?<!\w)_(\S(?:[^_\n]*\S)?)_(?!\w)")


def render(messages: Iterable[tuple[str, Message]]) -> str:
    """The page; `messages` are (channel name, message), oldest first."""
    articles = "".join(_article(channel, message) for channel, message in messages)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Local Slack</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><h1>Local Slack</h1>"
        f"{articles or '<p>Nothing was posted yet.</p>'}</html>"
    )


def mrkdwn(text: str) -> str:
    """Slack's mark-up as HTML. Code is left as it is."""
    parts = _CODE.split(text)
    return "".join(_code(part) if index % 2 else _inline(part) for index, part in enumerate(parts))


def _code(part: str) -> str:
    if part.startswith("```"):
        return f"<pre>{_plain(part[3:-3].strip(chr(10)))}</pre>"
    return f"<code>{_plain(part[1:-1])}</code>"


def _inline(part: str) -> str:
    pieces = _MARKED.split(part)
    return "".join(_link(piece[1:-1]) if index % 2 else _styled(piece) for index, piece in enumerate(pieces))


def _link(marked: str) -> str:
    url, _, label = marked.partition("|")
    if not url.startswith(("http://", "https://")):
        return _plain(f"<{marked}>")
    return f'<a href="{_plain(url)}">{_plain(label or url)}</a>'


def _styled(piece: str) -> str:
    bold = _BOLD.sub(r"<strong>\1</strong>", _plain(piece))
    return _ITALIC.sub(r"<em>\1</em>", bold).replace("\n", "<br>")


def _plain(text: str) -> str:
    """Text as HTML. Slack's senders escape `& < >` themselves, which is undone first."""
    return html.escape(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def _article(channel: str, message: Message) -> str:
    ts = str(message["ts"])
    moment = datetime.fromtimestamp(float(ts), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    kind = ' class="reply"' if "thread_ts" in message else ""
    blocks = message.get("blocks") or []
    body = "".join(_block(block) for block in blocks) if blocks else f"<p>{mrkdwn(str(message.get('text', '')))}</p>"
    head = f"<header>#{html.escape(channel)} · {moment}</header>"
    return f'<article{kind} id="m{ts.replace(".", "")}">{head}{body}</article>'


def _block(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "header":
        return f"<h2>{html.escape(_text(block))}</h2>"
    if kind == "divider":
        return "<hr>"
    if kind == "context":
        return f'<p class="context">{" ".join(_object(part) for part in block.get("elements", ()))}</p>'
    if kind == "actions":
        return f"<p>{' '.join(_buttons(block))}</p>"
    if kind == "section":
        fields = "".join(f"<div>{_object(part)}</div>" for part in block.get("fields", ()))
        shown = f"<p>{_object(block['text'])}</p>" if isinstance(block.get("text"), dict) else ""
        return shown + (f'<div class="fields">{fields}</div>' if fields else "")
    return f"<pre>{html.escape(str(kind))}</pre>"


def _buttons(block: dict[str, Any]) -> Iterator[str]:
    for element in block.get("elements", ()):
        url = str(element.get("url", ""))
        label = html.escape(_text(element))
        yield f'<a href="{html.escape(url)}">{label}</a>' if url.startswith(("http://", "https://")) else label


def _object(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    text = str(part.get("text", ""))
    return mrkdwn(text) if part.get("type") == "mrkdwn" else html.escape(text)


def _text(block: dict[str, Any]) -> str:
    inner = block.get("text")
    return str(inner.get("text", "")) if isinstance(inner, dict) else ""
