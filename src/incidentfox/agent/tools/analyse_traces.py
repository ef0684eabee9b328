"""What the spans say: own time, errors, who calls whom, and the deepest failing service."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.traces import analyse_traces as analyse

MOST = 40
_MOST_EDGES = 120


async def analyse_traces(ctx: Context, limit: int = 25) -> dict[str, Any]:
    """Analyse the traces: slow or failing operations, the call graph, and the deepest service that fails by itself.

    `self_time_ms` leaves out the time spent in callees; an edge's `gap_ms` is time lost between caller and callee.

    Args:
        limit: How many operations to return, 40 at most.
    """
    spans = await ctx.deps.telemetry.traces()
    report = analyse(spans)
    shown = report.spans[: max(1, min(limit, MOST))]
    return {
        "spans_examined": len(spans),
        "spans": [asdict(span) for span in shown],
        "edges": [asdict(edge) for edge in report.edges[:_MOST_EDGES]],
        "deepest_failing": report.deepest_failing,
        "entries": report.entries[:_MOST_EDGES],
        "left_out": len(report.spans) - len(shown),
    }


tool = Tool("analyse_traces", "read", analyse_traces, frozenset({Signal.TRACES}))
