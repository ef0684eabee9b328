"""One metric as numbers, with the moment at which its level changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.openmetrics import thin
from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.changepoints import find_change_point
from incidentfox.kernel.errors import NotFound

MOST_POINTS = 240
_NAMES_SHOWN = 60


async def query_metrics(ctx: Context, service: str, metric: str, points: int = 60) -> dict[str, Any]:
    """Read one metric of one service over the incident's window, with its most likely change of level.

    Names are those of `rank_anomalies`. Where there is no such series, the answer names those that exist.

    Args:
        service: The service that the series belongs to.
        metric: The name of the metric.
        points: How many points to return at most; the shape is kept, short spikes too.
    """
    series = await ctx.deps.telemetry.metrics()
    match = next((one for one in series if (one.service, one.metric) == (service, metric)), None)
    if match is None:
        names = sorted(one.metric for one in series if one.service == service)
        known = names or sorted({one.service for one in series})
        what = "metrics of this service" if names else "services"
        words = ", ".join(known[:_NAMES_SHOWN])
        raise NotFound(f"No series {metric!r} of {service!r}. The {what}: {words}.", code="no_such_series")
    times, values = thin(match.times, match.values, max(2, min(points, MOST_POINTS)))
    change = find_change_point(match.times, match.values)
    return {
        "service": service,
        "metric": metric,
        "samples": len(match.times),
        "times": list(times),
        "values": list(values),
        "change_point": asdict(change) if change else None,
    }


tool = Tool("query_metrics", "read", query_metrics, frozenset({Signal.METRICS}))
