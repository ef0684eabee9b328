"""What the team's runbooks say about a trouble."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

from incidentfox.agent.toolbox import Context, Tool
from incidentfox.analysis.runbooks import RunbookText, find_sections
from incidentfox.kernel.errors import NotFound

MOST = 10
MAX_BYTES = 48 * 1024
"""Of all sections together."""
_QUERY_CHARACTERS = 500
_TITLES_SHOWN = 40


async def find_runbooks(ctx: Context, query: str, services: list[str] | None = None, limit: int = 5) -> dict[str, Any]:
    """Search the team's runbooks for what to do, best section first. Quote what fits in `next_steps` of the report.

    Ask when you know what is wrong, in the words of the symptom and of the cause. A runbook says what people wrote
    down beforehand: it is no evidence of what broke now, and no claim about the cause may rest on it.

    Args:
        query: The trouble in a few words, such as "statement timeout connection pool exhausted".
        services: The services that suffer or are guilty; runbooks about others only are then left out.
        limit: How many sections to return, 10 at most.
    """
    runbooks = [RunbookText(key, one.title, one.text, one.services, one.url) for key, one in ctx.deps.runbooks.items()]
    if not runbooks:
        raise NotFound("This team has no runbooks: write them under knowledge.runbooks.", code="no_runbooks")
    found = await asyncio.to_thread(find_sections, runbooks, query[:_QUERY_CHARACTERS], tuple(services or ()))
    shown: list[dict[str, Any]] = []
    size = 0
    for section in map(asdict, found[: max(1, min(limit, MOST))]):
        size += len(json.dumps(section, ensure_ascii=False).encode())
        if shown and size > MAX_BYTES:
            break
        shown.append(section)
    return {
        "runbooks": len(runbooks),
        "sections": shown,
        "left_out": len(found) - len(shown),
        # Where nothing fits, what there is: the next question can then be a better one.
        "titles": [] if shown else sorted(one.title for one in runbooks)[:_TITLES_SHOWN],
    }


tool = Tool("find_runbooks", "read", find_runbooks, reads="runbooks")
