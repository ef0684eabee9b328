"""One commit or flag in full: its diff, and where and when it was rolled out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from incidentfox.agent.telemetry.protocol import Signal
from incidentfox.agent.toolbox import Context, Tool
from incidentfox.kernel.errors import NotFound

MAX_DIFF_CHARACTERS = 12_000


async def show_change(ctx: Context, ref: str) -> dict[str, Any]:
    """Show one commit with its diff and rollouts, or one feature flag with its changes.

    Args:
        ref: A commit's sha (its first seven characters or more will do) or the name of a flag.
    """
    changes = await ctx.deps.telemetry.changes()
    flags = [asdict(flag) for flag in changes.flags if flag.flag == ref]
    commit = next((one for one in changes.commits if len(ref) >= 7 and one.sha.startswith(ref)), None)
    if commit is None and not flags:
        raise NotFound(f"No commit or flag {ref!r} in the window.", code="no_such_change")
    if commit is None:
        return {"flag": ref, "changes": flags}
    diff = commit.diff or ""
    return {
        "commit": {**asdict(commit), "diff": diff[:MAX_DIFF_CHARACTERS] or None},
        "diff_characters_left_out": max(0, len(diff) - MAX_DIFF_CHARACTERS),
        "deploys": [asdict(one) for one in changes.deploys if one.sha and commit.sha.startswith(one.sha[:7])],
        "flags": flags,
    }


tool = Tool("show_change", "read", show_change, frozenset({Signal.CHANGES}))
