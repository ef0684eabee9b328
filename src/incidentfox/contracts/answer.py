"""The answer of a run: the same object in API, database, CLI, Slack and console."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from incidentfox.contracts.budgets import BudgetLimit
from incidentfox.contracts.model import WireModel

Remediation = Literal[
    "rollback",
    "roll-forward",
    "config-revert",
    "feature-flag-disable",
    "scale",
    "failover",
    "rotate-cert",
    "reschedule",
    "escalate-upstream",
    "purge-bad-data",
]


class RootCause(WireModel):
    """What broke. `change` is the guilty commit or flag; null when no change of the team's caused it."""

    service: str
    change: str | None
    kind: str
    summary: str


class AnswerSuspect(WireModel):
    """A candidate that was weighed; best first, `score` in 0..1."""

    service: str
    change: str | None
    score: float = Field(ge=0, le=1)
    reason: str


class Evidence(WireModel):
    """One claim, the tool call it rests on, and the words of that call's result that carry it."""

    claim: str
    tool_call_id: str
    excerpt: str


class NextStep(Evidence):
    """What to do now, in the words of one of the team's runbooks: quoted from a `find_runbooks` call.

    `claim` says which runbook and section; `url` is where people read it, as that call returned it.
    """

    url: str | None = None


class AnswerMoment(WireModel):
    """One entry of the incident's timeline."""

    at: datetime
    text: str


class Usage(WireModel):
    """What the run cost."""

    requests: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    budget_exhausted: BudgetLimit | None = Field(
        default=None, description="The limit at which the offline model took over from the team's; null: none."
    )


class PlottedSeries(WireModel):
    """A metric that carried the verdict, thinned for plotting, with the onset marked. Times are Unix seconds."""

    service: str
    metric: str
    times: tuple[float, ...]
    values: tuple[float, ...]
    onset: float | None = None


class Report(WireModel):
    """What an agent's model writes: the answer before the platform adds what only it knows."""

    root_cause: RootCause | None
    first_failing_service: str | None = None
    suspects: tuple[AnswerSuspect, ...] = ()
    blast_radius: tuple[str, ...] = ()
    remediation: Remediation | None = None
    confidence: float = Field(ge=0, le=1)
    evidence: tuple[Evidence, ...] = ()
    next_steps: tuple[NextStep, ...] = Field(
        default=(),
        exclude_if=lambda steps: not steps,
        description="What the team's runbooks say to do; absent where none is quoted.",
    )
    timeline: tuple[AnswerMoment, ...] = ()


class Answer(Report):
    """The finished answer. `root_cause` null means: not enough evidence, and that is a valid answer."""

    run_id: str
    config_hash: str
    usage: Usage
    duration_s: float
    dropped_claims: int = Field(default=0, description="Claims whose citation did not hold.")
    plots: tuple[PlottedSeries, ...] = ()
