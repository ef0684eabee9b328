"""Self time, edges, gaps and the deepest failing node on traces drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.analysis.signals import Span
from incidentfox.analysis.traces import analyse_traces, self_time_ms


def _span(
    span: str, parent: str | None, service: str, *, start: float = 0.0, ms: float = 100.0, error: str | None = None,
    failed: bool = False, trace: str = "t", name: str = "op", kind: str | None = None,
) -> Span:  # fmt: skip
    status = "ERROR" if failed or error else "OK"
    return Span(trace, span, parent, service, name, start, ms, status, error, kind)


def test_self_time_subtracts_overlapping_children_once() -> None:
    parent = _span("a", None, "s", ms=100)
    children = [_span("b", "a", "s", start=0.01, ms=40), _span("c", "a", "s", start=0.03, ms=40)]
    assert self_time_ms(parent, children) == pytest.approx(40)


@given(st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 300)), max_size=8))
def test_self_time_stays_within_the_span(children: list[tuple[float, float]]) -> None:
    spans = [_span(str(i), "a", "s", start=start, ms=ms) for i, (start, ms) in enumerate(children)]
    assert 0 <= self_time_ms(_span("a", None, "s", ms=100), spans) <= 100 + 1e-9


def test_the_gap_between_caller_and_callee_is_measured() -> None:
    spans = [
        _span("a", None, "web", ms=200),
        _span("b", "a", "web", ms=180, kind="CLIENT"),
        _span("c", "b", "orders", ms=20, kind="SERVER"),
    ]
    (edge,) = analyse_traces(spans).edges
    assert (edge.caller, edge.callee, edge.calls, edge.errors, edge.gap_ms) == ("web", "orders", 1, 0, 160)


def test_failure_is_followed_to_the_deepest_node() -> None:
    spans = [
        _span("a", None, "web", failed=True),
        _span("b", "a", "orders", failed=True),
        _span("c", "b", "stock", error="connection refused"),
        _span("d", "b", "price"),
    ]
    report = analyse_traces(spans)
    assert report.deepest_failing == "stock"
    assert report.spans[0].errors == 1


def test_a_callee_that_its_caller_cut_off_is_not_at_fault() -> None:
    healthy = [
        _span("p", None, "caller", trace="h", ms=450),
        _span("q", "p", "callee", trace="h", ms=400, name="List"),
    ]
    broken = [
        _span("a", None, "caller", error="deadline exceeded", ms=310),
        _span("b", "a", "callee", error="context canceled", ms=399, name="List"),
    ]
    assert analyse_traces([*healthy, *broken]).deepest_failing == "caller"


def test_a_callee_that_became_slow_is_at_fault_though_it_says_ok() -> None:
    healthy = [
        _span("p", None, "web", trace="h", ms=60),
        _span("q", "p", "search", trace="h", ms=40, name="query"),
    ]
    broken = [
        _span("a", None, "web", error="upstream deadline exceeded", ms=750),
        _span("b", "a", "search", ms=860, name="query"),
    ]
    assert analyse_traces([*healthy, *broken]).deepest_failing == "search"


def test_parents_are_found_by_span_id_when_trace_ids_were_rewritten() -> None:
    spans = [_span("a", None, "web", failed=True, trace="x"), _span("b", "a", "db", error="boom", trace="y")]
    report = analyse_traces(spans)
    assert [(e.caller, e.callee) for e in report.edges] == [("web", "db")]
    assert report.deepest_failing == "db"


def test_orphans_and_empty_input() -> None:
    assert analyse_traces(()).deepest_failing is None
    assert analyse_traces([_span("b", "gone", "db", error="boom")]).deepest_failing == "db"


@pytest.mark.parametrize(
    ("error", "code", "at_fault"),
    [
        (None, 401, "web"),
        (None, "404", "web"),
        ("409 lock conflict", None, "web"),
        (None, 503, "orders"),
        (None, 429, "orders"),
        ("408 request timeout", None, "orders"),
        ("4040 rows rejected", None, "orders"),
    ],
)
def test_who_refuses_a_wrong_request_is_not_at_fault(error: str | None, code: int | str | None, at_fault: str) -> None:
    callee = _span("b", "a", "orders", error=error, failed=True)
    attributes = {} if code is None else {"http.status_code": code}
    spans = [_span("a", None, "web", failed=True), replace(callee, attributes=attributes)]
    assert analyse_traces(spans).deepest_failing == at_fault
