"""A run's events as the entries of its page: what began and what came of it stand in one entry.

Pure. `Timeline.add` is called with each event in order, for a whole page as for a live one: it returns the entry that
is new or has changed, whose `key` is the id of its element.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from incidentfox.console.excerpts import Excerpts
from incidentfox.console.results import ResultView, pretty, view
from incidentfox.console.words import confidence_word, percent, product_name, short_change, short_hash
from incidentfox.contracts.answer import Answer, Evidence
from incidentfox.contracts.events import RunEvent, RunEventType

_PLAIN_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


@dataclass
class ToolCall:
    """One call of a tool. `result` is None until it returned. `cited_by` numbers the evidence that rests on it."""

    tool_call_id: str
    tool: str
    arguments: Any
    duration_ms: float | None = None
    is_error: bool = False
    result: ResultView | None = None
    cited_by: tuple[int, ...] = ()

    @property
    def shown_arguments(self) -> Any:
        """The arguments as indented JSON."""
        return pretty(self.arguments, Excerpts(()))[0]


@dataclass
class Entry:
    """One entry. `icon` and `tone` as in `words.Badge`; `detail` is one line, `note` a longer text."""

    key: str
    icon: str
    tone: str
    title: str
    at: datetime
    detail: str = ""
    note: str = ""
    url: str | None = None
    call: ToolCall | None = None


@dataclass
class Timeline:
    """The entries so far. `evidence` is known where the answer is there already: it marks what the calls are cited
    with; a live page is written anew once its answer is ready.
    """

    evidence: tuple[Evidence, ...] = ()
    entries: list[Entry] = field(default_factory=list)
    answer: Answer | None = None
    start: datetime | None = None
    last_seq: int = 0
    finished: bool = False
    _by_key: dict[str, Entry] = field(default_factory=dict)

    def add(self, event: RunEvent) -> Entry:
        """Takes the next event in; the entry that it made or changed."""
        self.start = self.start or event.at
        self.last_seq = event.seq
        self.finished = self.finished or event.type is RunEventType.RUN_FINISHED
        if event.type is RunEventType.ANSWER_READY:
            self.answer = read_answer(event.data)
        entry = _DESCRIBE[event.type](self, event)
        if entry.key not in self._by_key:
            self.entries.append(entry)
        self._by_key[entry.key] = entry
        return entry

    @property
    def calls(self) -> Mapping[str, ToolCall]:
        """The tool calls by their id."""
        return {entry.call.tool_call_id: entry.call for entry in self.entries if entry.call is not None}

    def known(self, key: str) -> Entry | None:
        """The entry of that key."""
        return self._by_key.get(key)


def build(events: Sequence[RunEvent], answer: Answer | None) -> Timeline:
    """The timeline of events that are all there. `answer` is that of the run; else the one on the timeline counts."""
    if answer is None:
        ready = next((event for event in events if event.type is RunEventType.ANSWER_READY), None)
        answer = read_answer(ready.data) if ready else None
    timeline = Timeline(answer.evidence if answer else ())
    for event in events:
        timeline.add(event)
    timeline.answer = answer
    return timeline


def read_answer(data: Mapping[str, Any]) -> Answer | None:
    """The answer in an event; None when another release wrote it: the run's own is shown once it is there."""
    try:
        return Answer.model_validate(data)
    except ValidationError:
        return None


def call_anchor(tool_call_id: str) -> str:
    """The id of a tool call's element. A model chooses call ids, so what is no plain word is hashed."""
    plain = tool_call_id if _PLAIN_ID.match(tool_call_id) else hashlib.sha256(tool_call_id.encode()).hexdigest()[:16]
    return f"call-{plain}"


# -- one function for each kind of event -------------------------------------------------------------------------------


def _accepted(_: Timeline, event: RunEvent) -> Entry:
    data = event.data
    title = f"Alert accepted from {product_name(str(data.get('source')))}"
    return _entry(event, "inbox", "idle", title, str(data.get("event_type") or ""))


def _routed(_: Timeline, event: RunEvent) -> Entry:
    data = event.data
    team = data.get("team_node_id")
    title = f"Routed to {team}" if team else "No team owns this event"
    return _entry(event, "route", "idle" if team else "bad", title, str(data.get("reason") or ""))


def _started(_: Timeline, event: RunEvent) -> Entry:
    data = event.data
    tools = data.get("tools") or ()
    detail = f"model {data.get('model')}, {len(tools)} tools, configuration {short_hash(str(data.get('config_hash')))}"
    return _entry(event, "play", "idle", f"Agent {data.get('agent')} started", detail)


def _listed(_: Timeline, event: RunEvent) -> Entry:
    data, server = event.data, event.data.get("server")
    away = data.get("away")
    if isinstance(away, Mapping):
        title = f"MCP server {server} is away: the run goes on without it"
        return _entry(event, "cross", "warn", title, str(away.get("detail") or away.get("code") or ""))
    withheld = [one for one in data.get("withheld") or () if isinstance(one, Mapping)]
    offered = len(data.get("tools") or ())
    detail = f"{offered} of {offered + len(withheld)} listed tools offered"
    entry = _entry(event, "tool", "warn" if withheld else "idle", f"MCP server {server} asked", detail)
    entry.note = "\n".join(f"{one.get('tool')}: {one.get('reason')}" for one in withheld)
    return entry


def _responded(_: Timeline, event: RunEvent) -> Entry:
    data = event.data
    asked = [str(call.get("tool")) for call in data.get("tool_calls") or () if isinstance(call, Mapping)]
    title = f"Model asks for {', '.join(asked)}" if asked else "Model writes the report"
    entry = _entry(event, "model", "idle", title, str(data.get("model") or ""))
    entry.note = str(data.get("text") or "")
    return entry


def _exhausted(_: Timeline, event: RunEvent) -> Entry:
    data = event.data
    title = "Budget used up: the offline model goes on"
    used = f"{data.get('limit')}: {_amount(data.get('used'))} of {_amount(data.get('allowed'))} used"
    return _entry(event, "drop", "warn", title, f"{used}, the next request may take {_amount(data.get('wanted'))}")


def _amount(value: Any) -> str:
    return f"{value:,.10g}" if isinstance(value, int | float) else "an unknown amount"


def _called(timeline: Timeline, event: RunEvent) -> Entry:
    entry = _call_entry(timeline, event)
    entry.icon, entry.tone, entry.detail = "spinner", "live", "running"
    return entry


def _returned(timeline: Timeline, event: RunEvent) -> Entry:
    entry, data = _call_entry(timeline, event), event.data
    call = entry.call
    assert call is not None, "made by _call_entry"
    cited = [item for item in timeline.evidence if item.tool_call_id == call.tool_call_id]
    call.cited_by = tuple(i for i, item in enumerate(timeline.evidence, 1) if item.tool_call_id == call.tool_call_id)
    call.is_error = bool(data.get("is_error"))
    duration_ms = data.get("duration_ms")
    call.duration_ms = float(duration_ms) if isinstance(duration_ms, int | float) else None
    call.result = view(data.get("result"), Excerpts(item.excerpt for item in cited), entry.key)
    entry.icon, entry.tone = ("cross", "bad") if call.is_error else ("tool", "ok")
    entry.detail = "failed" if call.is_error else ""
    return entry


def _call_entry(timeline: Timeline, event: RunEvent) -> Entry:
    data = event.data
    call_id = str(data.get("tool_call_id") or f"seq-{event.seq}")
    key = call_anchor(call_id)
    known = timeline.known(key)
    if known is not None:
        return known
    tool = str(data.get("tool") or "a tool")
    return Entry(key, "tool", "idle", tool, event.at, call=ToolCall(call_id, tool, data.get("arguments") or {}))


def _dropped(_: Timeline, event: RunEvent) -> Entry:
    data = event.data
    entry = _entry(event, "drop", "warn", "Claim dropped: its citation does not hold", str(data.get("reason") or ""))
    entry.note = str(data.get("claim") or "")
    return entry


def _answer(timeline: Timeline, event: RunEvent) -> Entry:
    answer = timeline.answer
    if answer is None:
        return _entry(event, "verdict", "ok", "Answer ready", "")
    cause = answer.root_cause
    if cause is None:
        return _entry(event, "question", "warn", "Answer: not enough evidence", "")
    change = f", change {short_change(cause.change)}" if cause.change else ""
    detail = f"{confidence_word(answer.confidence)} confidence, {percent(answer.confidence)}"
    return _entry(event, "verdict", "ok", f"Answer: {cause.service}, {cause.kind}{change}", detail)


def _effect(timeline: Timeline, event: RunEvent) -> Entry:
    data = event.data
    key = "effect-" + hashlib.sha256(str(data.get("effect_key")).encode()).hexdigest()[:16]
    where = f"{product_name(str(data.get('destination')))} {data.get('target')}"
    entry = timeline.known(key) or Entry(key, "spinner", "live", "", event.at)
    if event.type is RunEventType.EFFECT_DONE:
        entry.icon, entry.tone, entry.title, entry.detail = "send", "ok", f"Posted to {where}", ""
        entry.url = web_address(data.get("url"))
    elif event.type is RunEventType.EFFECT_FAILED:
        entry.icon, entry.tone, entry.title = "cross", "bad", f"Could not post to {where}"
        entry.detail = str(data.get("error") or "")
    else:
        entry.icon, entry.tone, entry.title = "spinner", "live", f"Posting to {where}"
    return entry


def _finished(_: Timeline, event: RunEvent) -> Entry:
    data = event.data
    status, error = str(data.get("status") or "finished"), str(data.get("error") or "")
    good = status == "succeeded"
    return _entry(
        event, "check" if good else "cross", "ok" if good else "bad", f"Run {status.replace('_', ' ')}", error
    )


def web_address(value: Any) -> str | None:
    """A link from outside, if it is one that a browser may follow: never `javascript:` and its like."""
    return value if isinstance(value, str) and value.lower().startswith(("https://", "http://")) else None


def _entry(event: RunEvent, icon: str, tone: str, title: str, detail: str) -> Entry:
    return Entry(f"event-{event.seq}", icon, tone, title, event.at, detail)


_DESCRIBE: Mapping[RunEventType, Callable[[Timeline, RunEvent], Entry]] = {
    RunEventType.DELIVERY_ACCEPTED: _accepted,
    RunEventType.DELIVERY_ROUTED: _routed,
    RunEventType.RUN_STARTED: _started,
    RunEventType.MCP_LISTED: _listed,
    RunEventType.MODEL_RESPONDED: _responded,
    RunEventType.BUDGET_EXHAUSTED: _exhausted,
    RunEventType.TOOL_CALLED: _called,
    RunEventType.TOOL_RETURNED: _returned,
    RunEventType.CLAIM_DROPPED: _dropped,
    RunEventType.ANSWER_READY: _answer,
    RunEventType.EFFECT_INTENDED: _effect,
    RunEventType.EFFECT_DONE: _effect,
    RunEventType.EFFECT_FAILED: _effect,
    RunEventType.RUN_FINISHED: _finished,
}
