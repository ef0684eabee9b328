"""How much of the trouble a change can account for, by where it runs: the test that recency and wording cannot pass.

Used by the diagnosis. What breaks a service reaches those that call it, and to a lesser degree those that it calls
(it may flood them, or send them what they cannot read). A service that fails beside them, and earlier, was broken by
something else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from incidentfox.analysis.findings import ChangeFinding, Edge
from incidentfox.analysis.localisation import callees, descendants

_BELOW = 0.6
"""What counts of a service that the changed one calls."""
_FLOOR = 0.4
"""What a change keeps that accounts for nothing: the call graph may be incomplete."""
_LATER = 0.6
"""What it keeps where the first to fail is not among what it accounts for."""
_SAME_TIME_S = 60.0


def weigh(
    changes: Iterable[ChangeFinding],
    troubled: Mapping[str, float],
    edges: Collection[Edge],
    *,
    traced: Collection[str],
    flooded: Collection[str] = (),
) -> list[ChangeFinding]:
    """Return the changes with their scores lowered by what they leave unexplained, best first.

    `troubled` maps each service in trouble to its onset (Unix seconds), `traced` are the services that the traces
    know; of any other nobody can say who calls it, so it counts for and against nobody. `flooded` are asked far more
    than before by callers that are not: what runs on them alone did not make anybody ask.
    """
    known = set(traced) | {service for edge in edges for service in (edge.caller, edge.callee)}
    placed = {service: onset for service, onset in troubled.items() if service in known}
    calls = callees(edges)
    callers = callees([Edge(edge.callee, edge.caller, edge.calls, edge.errors) for edge in edges])
    weighed = [_weighed(change, placed, known, calls, callers) for change in changes]
    weighed = [_drowned(c) if c.deployed_to and set(c.deployed_to) <= set(flooded) else c for c in weighed]
    return sorted(weighed, key=lambda change: -change.score)


def _drowned(change: ChangeFinding) -> ChangeFinding:
    words = f"{', '.join(change.deployed_to)} is asked far more often than before, by callers that are not"
    return replace(change, score=round(change.score * _LATER, 4), reasons=(*change.reasons, words))


def _weighed(
    change: ChangeFinding,
    placed: Mapping[str, float],
    known: Collection[str],
    calls: Mapping[str, set[str]],
    callers: Mapping[str, set[str]],
) -> ChangeFinding:
    homes = [service for service in change.deployed_to if service in known]
    if not homes or len(placed) < 2:
        return change
    share = {service: _BELOW for home in homes for service in descendants(calls, home)}
    share |= {service: 1.0 for home in homes for service in (home, *descendants(callers, home))}
    covered = sum(share.get(service, 0.0) for service in placed) / len(placed)
    began = min(placed.values())
    first = [service for service, onset in placed.items() if onset <= began + _SAME_TIME_S]
    factor = _FLOOR + (1.0 - _FLOOR) * covered
    factor *= 1.0 if any(service in share for service in first) else _LATER
    left = tuple(sorted(service for service in placed if service not in share))
    reasons = (*change.reasons, f"does not account for {', '.join(left[:3])}") if left else change.reasons
    return replace(change, score=round(change.score * factor, 4), reasons=reasons, unexplained=left)
