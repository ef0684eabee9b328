"""What providers and platforms say about themselves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool

MOST = 50


async def status_notices(ctx: Context, limit: int = 20) -> dict[str, Any]:
    """Read the status feeds of the platform and of upstream providers, oldest first.

    Args:
        limit: How many entries to return, 50 at most; the latest are kept.
    """
    notices = sorted(await ctx.deps.telemetry.notices(), key=lambda notice: notice.time)
    shown = notices[-max(1, min(limit, MOST)) :]
    return {"notices": [asdict(notice) for notice in shown], "left_out": len(notices) - len(shown)}


tool = Tool("status_notices", "read", status_notices, frozenset({Signal.NOTICES}))
