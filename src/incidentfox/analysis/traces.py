"""What the spans say: own time, lost time between caller and callee, errors, and the deepest failing node.

Called by the traces tool. Own (self) time is a span's duration minus the union of its children's intervals,
as Dapper (Sigelman et al., 2010) and every trace viewer since define it. The caller-callee gap is the
caller's client span minus the callee's server span: time lost in the network or in a queue that neither
service sees.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from incidentfox.analysis.findings import Edge, SpanFinding, TraceReport
from incidentfox.analysis.signals import Span

# Not "canceling statement due to lock timeout": that is the database speaking for itself.
_CANCELLED = re.compile(r"\bcancell?ed\b(?! by (an? )?(admin|operator))|client (closed|disconnected)", re.IGNORECASE)
_TIMED_OUT = re.compile(r"deadline|time[d -]?out", re.IGNORECASE)
_SLOWER = 1.5


@dataclass(slots=True)
class _Node:
    span: Span
    children: list[_Node] = field(default_factory=list)
    parent: _Node | None = None


@dataclass(slots=True)
class _Operation:
    """All spans of one service and name."""

    self_ms: list[float] = field(default_factory=list)
    errors: int = 0
    example: Span | None = None


def analyse_traces(spans: Sequence[Span]) -> TraceReport:
    """Return the operations by how telling they are, the call edges, and the deepest failing service.

    Parents are found by trace and span id, and by span id alone where that is unique (samplers rewrite trace
    ids). Orphans count as roots.
    """
    nodes = _link(spans)
    operations = _operations(nodes)
    return TraceReport(
        spans=_span_findings(operations),
        edges=_edges(nodes),
        deepest_failing=_deepest_failing(nodes),
        entries=tuple(sorted({node.span.service for node in nodes if not node.span.parent_id})),
    )


def _link(spans: Sequence[Span]) -> list[_Node]:
    nodes = [_Node(span) for span in spans]
    exact = {(n.span.trace_id, n.span.span_id): n for n in nodes}
    by_span: dict[str, list[_Node]] = defaultdict(list)
    for node in nodes:
        by_span[node.span.span_id].append(node)
    for node in nodes:
        parent_id = node.span.parent_id
        if not parent_id:
            continue
        parent = exact.get((node.span.trace_id, parent_id))
        if parent is None and len(by_span.get(parent_id, ())) == 1:
            parent = by_span[parent_id][0]
        if parent is not None and parent is not node:
            node.parent = parent
            parent.children.append(node)
    return nodes


def self_time_ms(span: Span, children: Sequence[Span]) -> float:
    """Duration of `span` not covered by any child, in milliseconds; children are clipped to the span."""
    start, end = span.start, span.start + span.duration_ms / 1000
    intervals = sorted((max(start, c.start), min(end, c.start + c.duration_ms / 1000)) for c in children)
    covered, reached = 0.0, start
    for left, right in intervals:
        # A child that lies wholly outside has its ends crossed by the clipping.
        if right > max(left, reached):
            covered += right - max(left, reached)
            reached = right
    return max(0.0, span.duration_ms - covered * 1000)


def _operations(nodes: Sequence[_Node]) -> Mapping[tuple[str, str], _Operation]:
    operations: dict[tuple[str, str], _Operation] = defaultdict(_Operation)
    for node in nodes:
        span = node.span
        operation = operations[span.service, span.name]
        operation.self_ms.append(self_time_ms(span, [c.span for c in node.children]))
        failed = span.status.upper() == "ERROR"
        operation.errors += failed
        best = operation.example
        if best is None or (failed, bool(span.error), span.duration_ms) > (
            best.status.upper() == "ERROR",
            bool(best.error),
            best.duration_ms,
        ):
            operation.example = span
    return operations


def _span_findings(operations: Mapping[tuple[str, str], _Operation]) -> tuple[SpanFinding, ...]:
    total = sum(max(o.self_ms) for o in operations.values()) or 1.0
    findings = []
    for (service, name), operation in operations.items():
        calls = len(operation.self_ms)
        slowest = max(operation.self_ms)
        example = operation.example
        findings.append(
            SpanFinding(
                service=service,
                name=name,
                self_time_ms=round(slowest, 3),
                errors=operation.errors,
                calls=calls,
                score=round(0.6 * operation.errors / calls + 0.4 * slowest / total, 4),
                error=example.error if example else None,
                trace_id=example.trace_id if example else None,
            )
        )
    return tuple(sorted(findings, key=lambda f: (-f.score, f.service, f.name)))


def _edges(nodes: Sequence[_Node]) -> tuple[Edge, ...]:
    calls: dict[tuple[str, str], list[_Node]] = defaultdict(list)
    for node in nodes:
        if node.parent is not None and node.parent.span.service != node.span.service:
            calls[node.parent.span.service, node.span.service].append(node)
    return tuple(
        Edge(
            caller=caller,
            callee=callee,
            calls=len(found),
            errors=sum(n.span.status.upper() == "ERROR" for n in found),
            gap_ms=_gap_ms(found),
        )
        for (caller, callee), found in sorted(calls.items())
    )


def _gap_ms(callee_nodes: Sequence[_Node]) -> float | None:
    """Median of client span minus server span over the calls whose caller span is a client span of just that
    call.
    """
    gaps = [
        n.parent.span.duration_ms - n.span.duration_ms
        for n in callee_nodes
        if n.parent is not None and _is_client(n.parent)
    ]
    return round(median(gaps), 3) if gaps else None


def _is_client(node: _Node) -> bool:
    """A client span by its kind; where the kind is unknown, an inner span with exactly one child."""
    kind = (node.span.kind or str(node.span.attributes.get("span.kind", ""))).lower()
    if kind:
        return kind.endswith("client")
    inner = node.parent is not None and node.parent.span.service == node.span.service
    return inner and len(node.children) == 1


def _deepest_failing(nodes: Sequence[_Node]) -> str | None:
    usual = _usual_durations(nodes)
    votes: dict[str, float] = defaultdict(float)
    for node in nodes:
        failed = node.span.status.upper() == "ERROR"
        if not failed or (node.parent is not None and node.parent.span.status.upper() == "ERROR"):
            continue
        culprit, depth = _culprit(node, usual)
        # A long failing path says more about where it ends than a lone failing span says of itself.
        votes[culprit.span.service] += 1.0 + 0.5 * depth + (0.25 if culprit.span.error else 0.0)
    return max(votes, key=lambda s: votes[s], default=None)


def _culprit(node: _Node, usual: Mapping[tuple[str, str], float]) -> tuple[_Node, int]:
    """Follow a failing span down to the last node that fails for a reason of its own; also how deep it
    lies.
    """
    depth = 0
    while True:
        below = [c for c in node.children if _is_at_fault(c, usual)]
        if not below:
            return node, depth
        depth += 1
        node = max(below, key=lambda c: (c.span.status.upper() == "ERROR", c.span.duration_ms))


def _is_at_fault(child: _Node, usual: Mapping[tuple[str, str], float]) -> bool:
    """Whether the trouble lies in `child` or below it.

    A callee that the caller gave up on is at fault only if it was slower than it usually is: a caller with
    too short a deadline makes a healthy callee look broken.
    """
    span = child.span
    if _is_refusal(span):
        return any(_is_at_fault(c, usual) for c in child.children)
    failed = span.status.upper() == "ERROR"
    caller = child.parent.span if child.parent else None
    gave_up = bool(caller and _TIMED_OUT.search(caller.error or ""))
    cancelled = failed and bool(_CANCELLED.search(span.error or ""))
    if failed and not cancelled:
        return True
    if not (gave_up or cancelled):
        return any(_is_at_fault(c, usual) for c in child.children) if failed else False
    normal = usual.get((span.service, span.name))
    if normal is not None:
        return span.duration_ms > _SLOWER * normal
    return not cancelled and caller is not None and span.duration_ms >= 0.8 * caller.duration_ms


def _is_refusal(span: Span) -> bool:
    """Whether the callee did its work by refusing a request that was wrong (RFC 9110, 15.5): then the caller is at
    fault. A timeout (408) and a limit (429) are the callee's own.
    """
    for name in _STATUS_CODES:
        code = span.attributes.get(name)
        if isinstance(code, int | str) and re.fullmatch(r"[1-5]\d\d", str(code), re.ASCII):
            return str(code)[0] == "4" and str(code) not in ("408", "429")
    said = _STATUS_SAID.match(span.error or "")
    return said is not None and said[1] not in ("408", "429")


_STATUS_CODES = ("http.response.status_code", "http.status_code", "http.status", "status_code")
_STATUS_SAID = re.compile(r"^(?:HTTP )?(4\d\d)\b")


def _usual_durations(nodes: Sequence[_Node]) -> Mapping[tuple[str, str], float]:
    """Median duration of the healthy traces' spans, by service and name."""
    healthy: dict[tuple[str, str], list[float]] = defaultdict(list)
    for node in nodes:
        root = node
        for _ in range(64):
            if root.parent is None:
                break
            root = root.parent
        if root.span.status.upper() != "ERROR" and node.span.status.upper() != "ERROR":
            healthy[node.span.service, node.span.name].append(node.span.duration_ms)
    return {key: median(values) for key, values in healthy.items()}
