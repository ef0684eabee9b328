"""Runs: one investigation by one team's agent, with its timeline (events.py) and effects."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from incidentfox.contracts.answer import Answer, Usage
from incidentfox.contracts.events import AppendRunEvent
from incidentfox.contracts.model import NodeId, OrgId, WireModel


class RunStatus(StrEnum):
    """The state machine of a run, enforced by the database."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


FINISHED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED})


class AlertInput(WireModel):
    """What fired, in source-neutral words. Everything in it is untrusted data."""

    title: str
    service: str | None = None
    metric: str | None = None
    summary: str = ""
    severity: str = "critical"
    monitor: str = ""
    threshold: float | None = None
    observed: float | None = None
    fired_at: datetime
    url: str | None = None


class ReplyTo(WireModel):
    """Where the incident is being discussed already; a destination posts there rather than in its default place."""

    slack_channel: str | None = None
    slack_thread_ts: str | None = None


class RunInput(WireModel):
    """What the agent is asked. `recording_id` replaces the team's live telemetry by an uploaded recording."""

    prompt: str
    alert: AlertInput | None = None
    reply_to: ReplyTo = ReplyTo()
    recording_id: str | None = None


class CreateRun(WireModel):
    """Creates a run before anything executes. Idempotent on `run_id`: the same content twice is one run.

    `timeline` is the head of its timeline, there from the beginning; it does not count as content.
    """

    run_id: str
    team_node_id: NodeId
    input: RunInput
    source: str
    delivery_id: str | None = None
    incident_id: str | None = None
    correlation_id: str
    timeline: tuple[AppendRunEvent, ...] = ()


class StartedRun(WireModel):
    """The agent reports that it began, with the configuration it was built from."""

    config_hash: str


class FinishRun(WireModel):
    """The agent reports the end. `answer` goes with succeeded; `error` (code and words) with the others."""

    status: RunStatus
    answer: Answer | None = None
    error: str | None = None
    usage: Usage = Usage()


class CancelRun(WireModel):
    """Ends a run that is not over. Who did it is in the audit; the reason is for those who read the run later."""

    reason: str = Field(default="", max_length=500)


class Run(WireModel):
    """One run as everybody sees it."""

    run_id: str
    org_id: OrgId
    team_node_id: NodeId
    status: RunStatus
    input: RunInput
    source: str
    delivery_id: str | None
    incident_id: str | None
    correlation_id: str
    config_hash: str | None
    answer: Answer | None
    error: str | None
    usage: Usage
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class EffectStatus(StrEnum):
    """An effect is written as an intent before it is attempted, and as done after."""

    INTENDED = "intended"
    DONE = "done"
    FAILED = "failed"


class IntendEffect(WireModel):
    """Puts the intent of an outside effect on record. Idempotent on (run, `effect_key`)."""

    effect_key: str
    destination: str
    target: str


class SettleEffect(WireModel):
    """Records how the effect ended. `external_id` is the other system's id of what was made."""

    status: EffectStatus
    external_id: str | None = None
    url: str | None = None
    error: str | None = None


class RunEffect(WireModel):
    """One entry of the ledger of what was posted where."""

    run_id: str
    effect_key: str
    destination: str
    target: str
    status: EffectStatus
    external_id: str | None
    url: str | None
    error: str | None
    intended_at: datetime
    settled_at: datetime | None


class ExecuteRun(WireModel):
    """`POST /api/v1/run` of the agent. Idempotent on `run_id`.

    The orchestrator has created the run already and sends ids only. A caller without a run sends `input`; the agent
    then creates the run itself.
    """

    run_id: str | None = None
    org_id: OrgId
    team_node_id: NodeId
    input: RunInput | None = None


class AcceptedRun(WireModel):
    """The 202 of `POST /api/v1/run` with `Prefer: respond-async`."""

    run_id: str
    status: RunStatus
    detail: dict[str, Any] = Field(default_factory=dict)
