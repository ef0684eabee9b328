"""Which metrics left their own baseline, how far, and since when."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.anomalies import rank_anomalies as rank

MOST = 80


async def rank_anomalies(ctx: Context, service: str | None = None, limit: int = 30) -> dict[str, Any]:
    """Rank the metrics that left their own baseline around the alert, strongest first.

    Scores are robust deviations from each series' own quiet level, so units do not matter. `onset` says since when;
    `gradual` marks slow growth instead of a step. Start here: the earliest strong onset usually dates the incident.

    Args:
        service: Only this service; all services if left out.
        limit: How many anomalies to return, 80 at most.
    """
    series = await ctx.deps.telemetry.metrics()
    asked = [one for one in series if service in (None, one.service)]
    found = await asyncio.to_thread(rank, asked, fired_at=ctx.deps.fired_at)
    shown = found[: max(1, min(limit, MOST))]
    return {
        "fired_at": ctx.deps.fired_at,
        "series_examined": len(series),
        "anomalies": [asdict(anomaly) for anomaly in shown],
        "left_out": len(found) - len(shown),
    }


tool = Tool("rank_anomalies", "read", rank_anomalies, frozenset({Signal.METRICS}))
