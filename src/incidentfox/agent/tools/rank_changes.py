"""Which commit or flag explains the symptom."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.changes import rank_changes as rank
from incidentfox.analysis.findings import Symptom

MOST = 30


async def rank_changes(
    ctx: Context,
    services: list[str],
    onset: float,
    identifiers: list[str] | None = None,
    families: list[str] | None = None,
    limit: int = 10,
) -> dict[str, Any]:
    """Rank commits and feature flags by how well each explains the symptom, best first.

    Each change is judged by what its diff does, whether it reached the suffering services before the onset, and
    whether it speaks of what the signals speak of. The latest deploy is not favoured: that is a trap.

    Args:
        services: The services that suffer, the alert's own first.
        onset: When the trouble began, Unix seconds.
        identifiers: Names and values seen in the signals (tables, functions, `pool_max=10`,
            `records_per_poll=200->2500` for a gauge that stepped), most telling first.
        families: Kinds of trouble, such as timeout, pool, cache, query, lock; read off the identifiers if left out.
        limit: How many changes to return, 30 at most.
    """
    changes = await ctx.deps.telemetry.changes()
    symptom = Symptom(tuple(services), onset, tuple(identifiers or ()), tuple(families or ()))
    found = await asyncio.to_thread(rank, changes, symptom)
    shown = found[: max(1, min(limit, MOST))]
    return {
        "commits_examined": len(changes.commits),
        "deploys_examined": len(changes.deploys),
        "flags_examined": len(changes.flags),
        "changes": [asdict(change) for change in shown],
        "left_out": len(found) - len(shown),
    }


tool = Tool("rank_changes", "read", rank_changes, frozenset({Signal.CHANGES}))
