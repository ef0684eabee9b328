"""Operational signatures on their own: what raises them, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incidentfox.analysis.findings import Anomaly, Edge, LogFinding, SpanFinding, TraceReport
from incidentfox.analysis.operational import find_operational, flooded_services
from incidentfox.analysis.signals import Alert, StatusNotice

ALERT = Alert("orders", "http_5xx_ratio", "orders errors", 1_000.0)


def _log(text: str, service: str = "orders", after: int = 20, distinct: int = 1, before: int = 0) -> LogFinding:
    return LogFinding(service, text, "ERROR", before, after, 900.0, 0.9, text, distinct)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("dial tcp: lookup api.example.com on 10.0.0.2:53: no such host", "dns-failure"),
        ("getaddrinfo EAI_AGAIN mail.example.com", "dns-failure"),
        ("x509: certificate has expired or is not yet valid", "certificate-expired"),
        ("handshake aborted by peer: Received fatal alert: certificate_expired", "certificate-expired"),
        ("request refused: access token has expired", "credential-expired"),
        ('401 {"error":"invalid_client","detail":"key k-7 outside its registered validity"}', "credential-expired"),
        ("segment read failed: Input/output error (os error 5)", "node-failure"),
        ("FATAL: could not connect to the primary server: No route to host", "primary-lost"),
        ('model call failed: 529 {"type": "overloaded_error"} http.server=api.vendor.example', "provider-outage"),
        ('row 36781: qty "D9-159" is not an integer, set to zero', "bad-data"),
        ("node worker-3 status is now: NodeNotReady", "node-failure"),
        ("cannot execute INSERT in a read-only transaction", "primary-lost"),
        ("POST https://api.example.com/pay returned 503", "provider-outage"),
        ("write failed: no space left on device", "disk-full"),
        ("cannot parse record: malformed payload row_id=77, redelivering", "bad-data"),
    ],
)
def test_each_cause_is_known_by_its_words(text: str, kind: str) -> None:
    found = find_operational(ALERT, logs=[_log(text)])
    assert found[0].kind == kind
    assert found[0].score >= 0.45


@pytest.mark.parametrize(
    "text",
    [
        "panic: nil pointer dereference",
        "context deadline exceeded calling stock",
        "pool exhausted: waited 3000ms for a connection",
        "cache entries evicted: 812",
        'relation "order_tags" does not exist',
        "java.net.SocketTimeoutException: timeout\n\tat io.grpc.stub.ClientCalls.call(ClientCalls.java:268)",
        "System.TimeoutException: timeout at Orders.Api.Data.Store.Get",
    ],
)
def test_errors_of_code_carry_no_operational_signature(text: str) -> None:
    assert all(cause.score < 0.45 for cause in find_operational(ALERT, logs=[_log(text)]))


def test_several_services_at_once_and_a_notice_raise_the_score() -> None:
    text = "getaddrinfo ENOTFOUND db.example.com"
    one = find_operational(ALERT, logs=[_log(text)])[0]
    three = find_operational(ALERT, logs=[_log(text, s) for s in ("orders", "web", "mail")])[0]
    notice = StatusNotice(950.0, "cluster dns", "degraded", "name resolution failures")
    noticed = find_operational(ALERT, logs=[_log(text)], notices=[notice])[0]
    assert three.score > one.score
    assert noticed.score > one.score
    assert noticed.notices == (notice,)


def test_a_side_remark_among_other_errors_weighs_less() -> None:
    remark = _log("getaddrinfo ENOTFOUND db.example.com", after=2)
    alone = find_operational(ALERT, logs=[remark])[0].score
    drowned = find_operational(ALERT, logs=[remark, _log("panic: boom", after=500)])[0].score
    assert drowned < alone


def test_one_record_again_and_again_is_worse_than_many_bad_ones() -> None:
    same = find_operational(ALERT, logs=[_log("invalid record offset=77", distinct=1)])[0]
    many = find_operational(ALERT, logs=[_log("invalid record offset=77", distinct=20)])
    assert same.score >= 0.6
    assert not many or many[0].score < same.score


def _rise(metric: str, onset: float, before: float = 100, peak: float = 900) -> Anomaly:
    return Anomaly("orders", metric, 20, "up", onset, before, peak)


def test_a_crowd_comes_before_the_errors() -> None:
    first = find_operational(ALERT, anomalies=[_rise("requests_per_second", 900), _rise("latency_ms", 930)])
    after = find_operational(ALERT, anomalies=[_rise("requests_per_second", 980), _rise("latency_ms", 700)])
    derived = find_operational(ALERT, anomalies=[_rise("db_queries_per_second", 900)])
    assert [c.kind for c in first] == ["traffic-surge"]
    assert first[0].remediation == "scale"
    assert after == derived == ()


def test_quiet_signals_have_no_cause() -> None:
    assert find_operational(ALERT) == ()
    resolved = StatusNotice(950.0, "cards", "operational", "all systems normal")
    assert find_operational(ALERT, notices=[resolved]) == ()


def test_demand_counts_where_it_enters() -> None:
    called = TraceReport(edges=(Edge("web", "orders", 9, 0),))
    inner, entry = _rise("requests_per_second", 900), replace(_rise("http.request.hits", 900), service="web")
    assert find_operational(ALERT, anomalies=[inner], traces=called) == ()
    assert flooded_services([inner], called) == {"orders"}
    assert find_operational(ALERT, anomalies=[inner, entry], traces=called)[0].kind == "traffic-surge"
    assert flooded_services([inner, entry], called) == set()


@pytest.mark.parametrize("metric", ["http_requests_in_progress", "http_400_per_min", "login_fallbacks_per_minute"])
def test_a_rise_that_is_no_demand(metric: str) -> None:
    assert find_operational(ALERT, anomalies=[_rise(metric, 900)]) == ()


def test_demand_that_rose_with_the_hour_is_no_surge() -> None:
    tide, trouble = _rise("requests_per_second", -9_000), _rise("latency_ms", 900)
    assert find_operational(ALERT, anomalies=[tide, trouble]) == ()


def test_a_gauge_of_the_thing_itself_needs_no_words() -> None:
    stolen = [replace(_rise("system.cpu.stolen", 900), service=name) for name in ("orders", "mail")]
    assert find_operational(ALERT, anomalies=stolen)[0].kind == "node-failure"
    down = Anomaly("db", "postgresql.up", 20, "down", 900, 1, 0)
    assert find_operational(ALERT, anomalies=[down])[0].kind == "primary-lost"


def test_calls_to_a_provider_that_fail_with_429_are_its_limit() -> None:
    span = SpanFinding("orders", "GET https://geo.maps.example/v1/search", 100, 3, 6, 0.5)
    found = find_operational(ALERT, anomalies=[_rise("maps_responses_429", 900)], traces=TraceReport((span,)))
    assert found[0].kind == "provider-limit"
    inside = replace(span, name="GET https://stock.shop.svc/v1/search")
    assert find_operational(ALERT, traces=TraceReport((inside,))) == ()
