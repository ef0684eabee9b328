"""Which database sessions hold others up, and what the sessions are doing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.locks import find_blockers

MOST = 40


async def database_activity(ctx: Context, limit: int = 20) -> dict[str, Any]:
    """Look into the team's Postgres as it is now: who holds whom up, and the longest transactions.

    A session that is "idle in transaction" keeps its row locks while its client does something else: the usual
    culprit when others wait.

    Args:
        limit: How many sessions to return beside the blockers, 40 at most.
    """
    sessions = await ctx.deps.telemetry.database()
    blockers = find_blockers(sessions)
    shown = sorted(sessions, key=lambda one: (not one.blocked_by, -one.transaction_age_s, one.pid))
    states: dict[str, int] = {}
    for session in sessions:
        states[session.state] = states.get(session.state, 0) + 1
    return {
        "sessions": len(sessions),
        "states": dict(sorted(states.items())),
        "blockers": [asdict(blocker) for blocker in blockers[:MOST]],
        "longest": [asdict(session) for session in shown[: max(1, min(limit, MOST))]],
    }


tool = Tool("database_activity", "read", database_activity, frozenset({Signal.DATABASE}))
