"""Which kinds of log lines are new or surged after the onset."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.templates import find_log_patterns as find

MOST = 40


async def find_log_patterns(
    ctx: Context, onset: float | None = None, service: str | None = None, limit: int = 25
) -> dict[str, Any]:
    """Group log lines into templates and return those that are new or surged after the onset, most telling first.

    `before` and `after` count lines on either side of the onset; `example` is one line as it was written, with its
    attributes.

    Args:
        onset: When the trouble began, Unix seconds: the earliest onset of the anomalies; the alert's time if left out.
        service: Only this service; all services if left out.
        limit: How many patterns to return, 40 at most.
    """
    since = ctx.deps.fired_at if onset is None else onset
    records = [one for one in await ctx.deps.telemetry.logs() if service in (None, one.service)]
    patterns = [one for one in await ctx.deps.telemetry.patterns() if service in (None, one.service)]
    found = await asyncio.to_thread(find, records, patterns, onset=since)
    shown = found[: max(1, min(limit, MOST))]
    return {
        "onset": since,
        "lines_examined": len(records),
        "patterns": [asdict(pattern) for pattern in shown],
        "left_out": len(found) - len(shown),
    }


tool = Tool("find_log_patterns", "read", find_log_patterns, frozenset({Signal.LOGS}))
