"""The run's timeline: the only event store. Console, CLI, replay and audit read it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from incidentfox.contracts.model import WireModel


class RunEventType(StrEnum):
    """What can happen in a run. The shape of `data` is in each line's comment."""

    DELIVERY_ACCEPTED = "delivery.accepted"  # {delivery_id, source, endpoint_id, event_type, received_at}
    DELIVERY_ROUTED = "delivery.routed"  # {team_node_id, reason, matched, tried}
    RUN_STARTED = "run.started"  # {config_hash, agent, model, tools}
    MCP_LISTED = "mcp.listed"  # {server, tools: [{tool, name, …}], withheld: [{tool, code, reason}], away}
    MODEL_RESPONDED = "model.responded"  # {model, text, tool_calls: [{tool_call_id, tool}], usage}
    BUDGET_EXHAUSTED = "budget.exhausted"  # {limit, allowed, used, wanted}; the offline model goes on
    TOOL_CALLED = "tool.called"  # {tool_call_id, tool, arguments}
    TOOL_RETURNED = "tool.returned"  # {tool_call_id, tool, result, is_error, duration_ms}
    CLAIM_DROPPED = "claim.dropped"  # {claim, tool_call_id, reason}
    ANSWER_READY = "answer.ready"  # the Answer
    EFFECT_INTENDED = "effect.intended"  # {effect_key, destination, target}
    EFFECT_DONE = "effect.done"  # {effect_key, destination, target, external_id, url}
    EFFECT_FAILED = "effect.failed"  # {effect_key, destination, target, error}
    RUN_FINISHED = "run.finished"  # {status, error, usage, duration_s}


class AppendRunEvent(WireModel):
    """One event to put on the timeline. `event_key` makes the call idempotent within the run."""

    event_key: str
    type: RunEventType
    at: datetime
    data: dict[str, Any] = {}


class AppendRunEvents(WireModel):
    """A batch, in order."""

    events: tuple[AppendRunEvent, ...]


class RunEvent(WireModel):
    """One event of a run. `seq` counts from 1 without gaps and is the `id` of the server-sent event."""

    run_id: str
    seq: int
    type: RunEventType
    at: datetime
    data: dict[str, Any]
