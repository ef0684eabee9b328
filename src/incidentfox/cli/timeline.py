"""A run's timeline as lines for a terminal; used by `run watch` and by the demo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from incidentfox.contracts.events import RunEvent, RunEventType

_Describe = Callable[[Mapping[str, Any]], str]


def describe(event: RunEvent) -> str:
    """One line: the time, what happened, and the one detail that matters."""
    return f"{event.at.astimezone():%H:%M:%S}  {event.type:<18} {_DETAIL[event.type](event.data)}"


def _routed(data: Mapping[str, Any]) -> str:
    return f"to {data.get('team_node_id')}: {data.get('reason')}"


def _called(data: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{key}={_short(value)}" for key, value in (data.get("arguments") or {}).items())
    return f"{data.get('tool')}({arguments})"


def _returned(data: Mapping[str, Any]) -> str:
    outcome = "failed" if data.get("is_error") else "ok"
    return f"{data.get('tool')} {outcome} in {data.get('duration_ms', 0):.0f} ms"


def _responded(data: Mapping[str, Any]) -> str:
    asked = ", ".join(call["tool"] for call in data.get("tool_calls", ()))
    return f"{data.get('model')}: " + (f"asks for {asked}" if asked else "writes the report")


def _answer(data: Mapping[str, Any]) -> str:
    cause = data.get("root_cause")
    if not cause:
        return "not enough evidence"
    change = f", change {cause['change'][:10]}" if cause.get("change") else ""
    return f"{cause['service']}{change}: {cause['summary']} (confidence {data.get('confidence', 0):.0%})"


def _effect(data: Mapping[str, Any]) -> str:
    return (
        f"{data.get('destination')} {data.get('target')} {data.get('error') or data.get('external_id') or ''}".rstrip()
    )


def _amount(value: Any) -> str:
    return f"{value:,.10g}" if isinstance(value, int | float) else "an unknown amount"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _exhausted(data: Mapping[str, Any]) -> str:
    used, allowed, wanted = (_amount(data.get(key)) for key in ("used", "allowed", "wanted"))
    return f"{data.get('limit')}: {used} of {allowed}, up to {wanted} more wanted; the offline model goes on"


def _listed(data: Mapping[str, Any]) -> str:
    away = data.get("away")
    if isinstance(away, Mapping):
        return f"{data.get('server')} is away ({away.get('code')}): the run goes on without it"
    withheld = [f"{one.get('tool')} ({one.get('code')})" for one in data.get("withheld") or ()]
    offered = len(data.get("tools") or ())
    without = f", not {', '.join(withheld)}" if withheld else ""
    return f"{data.get('server')} offers {offered} of {offered + len(withheld)} listed tools{without}"


_DETAIL: Mapping[RunEventType, _Describe] = {
    RunEventType.DELIVERY_ACCEPTED: lambda data: f"{data.get('source')} {data.get('event_type')}",
    RunEventType.DELIVERY_ROUTED: _routed,
    RunEventType.RUN_STARTED: lambda data: f"agent {data.get('agent')} with model {data.get('model')}",
    RunEventType.MCP_LISTED: _listed,
    RunEventType.MODEL_RESPONDED: _responded,
    RunEventType.BUDGET_EXHAUSTED: _exhausted,
    RunEventType.TOOL_CALLED: _called,
    RunEventType.TOOL_RETURNED: _returned,
    RunEventType.CLAIM_DROPPED: lambda data: f"{data.get('claim')} ({data.get('reason')})",
    RunEventType.ANSWER_READY: _answer,
    RunEventType.EFFECT_INTENDED: _effect,
    RunEventType.EFFECT_DONE: _effect,
    RunEventType.EFFECT_FAILED: _effect,
    RunEventType.RUN_FINISHED: lambda data: f"{data.get('status')} {data.get('error') or ''}".rstrip(),
}
