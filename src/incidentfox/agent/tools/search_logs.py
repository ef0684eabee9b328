"""Log lines that contain given words."""

from __future__ import annotations

from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.templates import example_of

MOST = 50


async def search_logs(
    ctx: Context, text: str, service: str | None = None, severity: str | None = None, limit: int = 20
) -> dict[str, Any]:
    """Find log lines that contain a text, newest first.

    Args:
        text: Words that the line or one of its attributes contains; upper and lower case are the same.
        service: Only this service; all services if left out.
        severity: Only this severity, such as ERROR.
        limit: How many lines to return, 50 at most.
    """
    wanted = text.lower()
    matches = [
        (record, line)
        for record in await ctx.deps.telemetry.logs()
        if service in (None, record.service)
        and (severity is None or record.severity.lower() == severity.lower())
        and wanted in (line := example_of(record)).lower()
    ]
    shown = matches[::-1][: max(1, min(limit, MOST))]
    return {
        "matches": len(matches),
        "lines": [
            {"time": record.time, "service": record.service, "severity": record.severity, "line": line}
            for record, line in shown
        ],
    }


tool = Tool("search_logs", "read", search_logs, frozenset({Signal.LOGS}))
