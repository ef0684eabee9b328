"""Where in the call graph the trouble sits: the deepest anomalous node, and who above it suffers.

Called by the diagnosis. Failure travels from callee to caller, so of all nodes that misbehave the one without
a misbehaving callee is where it starts ("deepest anomalous node"); on public fault-injection sets this beats
random walks over the graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from incidentfox.analysis.findings import Anomaly, Edge, LogFinding


def deepest_anomalous(edges: Iterable[Edge], anomalies: Sequence[Anomaly], *, entry: str | None = None) -> str | None:
    """Return the anomalous service furthest down the calls (from `entry` where given), or None without
    anomalies.

    Among several candidates the one with the strongest anomaly wins, then the earliest onset.
    """
    strength: dict[str, tuple[float, float]] = {}
    for anomaly in anomalies:
        best = strength.get(anomaly.service, (0.0, 0.0))
        strength[anomaly.service] = max(best, (anomaly.score, -anomaly.onset))
    calls = callees(edges)
    reachable = descendants(calls, entry) | {entry} if entry is not None else set(strength)
    candidates = [s for s in strength if s in reachable] or list(strength)
    leaves = [s for s in candidates if not any(d in strength for d in descendants(calls, s))] or candidates
    return max(leaves, key=lambda s: strength[s], default=None)


def blast_radius(edges: Iterable[Edge], symptomatic: Collection[str], origin: str) -> tuple[str, ...]:
    """Return the symptomatic services other than `origin` that do not lie below it in the calls, sorted.

    A callee of the origin that shows symptoms is being mistreated by it (cancelled, flooded) rather than hit
    by the outage, unless it also calls the origin. Services without any known edge stay in: not every path is
    traced.
    """
    calls = callees(edges)
    below = descendants(calls, origin)
    return tuple(
        sorted(
            service
            for service in set(symptomatic) - {origin}
            if service not in below or origin in descendants(calls, service)
        )
    )


def callees(edges: Iterable[Edge]) -> Mapping[str, set[str]]:
    """The call graph as caller -> callees, self-calls left out."""
    graph: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        if edge.caller != edge.callee:
            graph[edge.caller].add(edge.callee)
    return graph


def descendants(graph: Mapping[str, Collection[str]], start: str) -> set[str]:
    """Every service that `start` calls directly or through others."""
    seen: set[str] = set()
    stack = list(graph.get(start, ()))
    while stack:
        service = stack.pop()
        if service not in seen:
            seen.add(service)
            stack.extend(graph.get(service, ()))
    return seen


def edges_from_logs(logs: Iterable[LogFinding], services: Collection[str]) -> tuple[Edge, ...]:
    """Edges that log lines give away: a service that complains about another one by name calls it."""
    found: dict[tuple[str, str], int] = {}
    for log in logs:
        for callee in services:
            if callee != log.service and _names(log.template + " " + log.example, callee):
                key = (log.service, callee)
                found[key] = found.get(key, 0) + max(1, log.after)
    return tuple(Edge(caller, callee, calls=n, errors=n) for (caller, callee), n in sorted(found.items()))


def _names(text: str, service: str) -> bool:
    """Whether `service` stands in `text` as a whole name."""
    position = text.find(service)
    while position >= 0:
        before = text[position - 1] if position else " "
        end = position + len(service)
        after = text[end] if end < len(text) else " "
        if not (before.isalnum() or before in "_-") and not (after.isalnum() or after in "_-"):
            return True
        position = text.find(service, position + 1)
    return False
