"""Where an incident began and whom it reached, when it began, and who only looks as if."""

from __future__ import annotations

from incidentfox.analysis.extent import Signs, first_failing, reached
from incidentfox.analysis.findings import Anomaly, Edge, LogFinding, SpanFinding, TraceReport
from incidentfox.analysis.signals import Alert
from incidentfox.analysis.symptoms import onset_of, strong_anomalies

ALERT = Alert("gateway", "errors_ratio", "gateway errors", 1_000.0)
TRACES = TraceReport(
    (SpanFinding("gateway", "GET /", 5.0, 3, 4, 0.5), SpanFinding("limiter", "take", 1.0, 0, 4, 0.1)),
    (Edge("gateway", "limiter", 4, 0),),
    "gateway",
)


def _anomaly(service: str, metric: str, onset: float, score: float = 20.0) -> Anomaly:
    return Anomaly(service, metric, score, "up", onset, 1.0, 9.0)


def _signs(*anomalies: Anomaly, logs: tuple[LogFinding, ...] = ()) -> Signs:
    return Signs(ALERT, anomalies, logs, TRACES, 800.0)


def test_a_callee_that_departed_before_its_caller_failed_first() -> None:
    own = _anomaly("gateway", "errors_ratio", 900.0)
    assert first_failing(_signs(own, _anomaly("limiter", "denied_ratio", 810.0))) == "limiter"
    assert first_failing(_signs(own, _anomaly("limiter", "denied_ratio", 900.0))) == "gateway"
    assert first_failing(_signs(own, _anomaly("limiter", "requests_per_second", 810.0))) == "gateway"
    assert first_failing(_signs(own, _anomaly("stranger", "errors_ratio", 810.0))) == "gateway"


def test_reporters_and_the_busier_are_no_victims() -> None:
    event = LogFinding("kube-events", "pod restarted", "WARN", 0, 40, 900.0, 0.7, "pod restarted")
    signs = _signs(
        _anomaly("gateway", "errors_ratio", 900.0),
        _anomaly("catalog", "requests_per_second", 900.0),
        _anomaly("portal", "errors_ratio", 930.0),
        logs=(event,),
    )
    assert reached(signs, "gateway") == ("portal",)
    assert reached(signs, "gateway", component="portal") == ()


def test_trouble_is_dated_back_from_the_page_over_minutes_only() -> None:
    page = _anomaly("gateway", "errors_ratio", 900.0)
    cause, tide = _anomaly("limiter", "denied_ratio", 600.0), _anomaly("catalog", "visitors", -4_000.0, 30.0)
    assert onset_of(ALERT, [page, cause, tide]) == 600.0
    assert onset_of(ALERT, [page, tide]) == 900.0
    assert onset_of(ALERT, [tide]) == -4_000.0
    assert onset_of(ALERT, []) == ALERT.fired_at


def test_what_was_paged_for_counts_however_faint_it_is() -> None:
    faint, loud = _anomaly("gateway", "errors_ratio", 900.0, 5.0), _anomaly("catalog", "x", 700.0, 60.0)
    assert strong_anomalies([faint, loud, _anomaly("a", "b", 900.0, 5.0)], ALERT) == [faint, loud]
