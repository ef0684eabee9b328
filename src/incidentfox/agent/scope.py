"""What one run carries with it: its identity, its telemetry, its journal, its limits, and what it has done so far.

Made by `runner.py`, handed to tools as `ctx.deps` and to the policies of `policy.py`. Nothing in it is shared between
runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from incidentfox.agent.evidence import ToolResult
from incidentfox.agent.journal import Journal
from incidentfox.agent.mcp.offers import NoServers, Offer, Servers
from incidentfox.agent.telemetry.protocol import Signal, Telemetry
from incidentfox.contracts.answer import Usage
from incidentfox.contracts.budgets import BudgetLimit
from incidentfox.contracts.configuration import AgentLimits, Runbook
from incidentfox.contracts.events import AppendRunEvent, RunEventType
from incidentfox.contracts.runs import AlertInput
from incidentfox.kernel.clock import utc
from incidentfox.kernel.durable import NO_RETRY, Retry
from incidentfox.kernel.errors import Permanent
from incidentfox.kernel.redaction import Redactor


class RunTimedOut(Permanent):
    """The run used up the wall-clock seconds that its team allows."""

    default_code = "run_timed_out"


@dataclass
class RunScope:
    """One run in progress. `now` is the time of the last finished step, Unix seconds: the same on a replay."""

    run_id: str
    alert: AlertInput | None
    fired_at: float
    telemetry: Telemetry
    signals: frozenset[Signal]
    journal: Journal
    limits: AgentLimits
    nonce: str
    started_at: float
    emit: Callable[[AppendRunEvent], None]
    runbooks: Mapping[str, Runbook] = field(default_factory=dict)
    servers: Servers = field(default_factory=NoServers)
    offers: dict[str, Offer] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    redactor: Redactor = field(default_factory=Redactor)
    now: float = 0.0
    spent_s: float = 0.0
    requests: int = 0
    calls: int = 0
    numbered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    reserved: int = 0
    budget_exhausted: BudgetLimit | None = None
    results: dict[str, ToolResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.now or self.started_at
        self.withheld.add(self.nonce)

    def note(self, kind: RunEventType, key: str, data: dict[str, Any]) -> None:
        """Puts one event on the run's timeline. `key` is unique in the run and the same on a replay."""
        self.emit(AppendRunEvent(event_key=key, type=kind, at=utc(self.now), data=data))

    async def timed_step(self, name: str, body: Callable[[], Awaitable[Any]], *, retry: Retry = NO_RETRY) -> Any:
        """A journalled step that counts against the run's time. Raises RunTimedOut when that is used up.

        Only time in which the run was at work counts, as recorded: an outage of the agent itself does not.
        """

        async def timed() -> dict[str, Any]:
            started = time.time()
            try:
                async with asyncio.timeout(max(0.0, self.limits.timeout_s - self.spent_s)):
                    value = await body()
            except TimeoutError:
                raise RunTimedOut(f"The run took longer than {self.limits.timeout_s} s.") from None
            ended = time.time()
            return {"value": value, "started": started, "ended": ended}

        record = await self.journal.step(name, timed, retry=retry)
        self.now = max(self.now, record["ended"])
        self.spent_s += max(0.0, record["ended"] - record["started"])
        return record["value"]

    def usage(self) -> Usage:
        """What the run has cost so far."""
        return Usage(
            requests=self.requests,
            tool_calls=self.calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=round(self.cost_usd, 6),
            budget_exhausted=self.budget_exhausted,
        )
