"""The fusion of findings: gates, honesty, claims that quote, and the held transaction of the demo shop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analysis import test_guilty_changes, test_operational_incidents, test_subtle_changes
from tests.analysis.scenes import MINUTE, START, Scene

from incidentfox.analysis.diagnosis import diagnose, symptom_of
from incidentfox.analysis.findings import (
    Anomaly,
    ChangeFinding,
    Diagnosis,
    LockFinding,
    LogFinding,
    SpanFinding,
    TraceReport,
)
from incidentfox.analysis.signals import Alert, DatabaseSession, Remediation, StatusNotice

ALERT = Alert("orders", "http_5xx_ratio", "orders errors", 1000.0)
ALL_SCENES = [
    *(make for make, _ in test_guilty_changes.CHANGES),
    *(make for make, _ in test_subtle_changes.CHANGES),
    *(make for make, _ in test_operational_incidents.OPERATIONAL),
    *test_operational_incidents.QUIET,
]


def shop() -> Scene:
    """web -> orders -> inventory on one Postgres: a rollout of inventory leaves a transaction open."""
    s = Scene("web", "http_request_duration_p99_ms", "web checkout latency above 500 ms")
    s.measure("web", "http_request_duration_p99_ms", 60, 5200).measure("web", "http_5xx_ratio", 0.002, 0.5)
    s.measure("orders", "http_request_duration_p99_ms", 40, 5100).measure("orders", "http_5xx_ratio", 0.001, 0.6)
    s.quiet("inventory", "http_request_duration_p99_ms", 20)
    s.says("orders", "ERROR", "reserve failed: canceling statement due to lock timeout")
    s.says("web", "ERROR", "checkout failed: orders answered 503")
    s.fails("web", "orders", error="canceling statement due to lock timeout")
    s.deploy(
        "guilty", 66, "Report reserved stock to the warehouse", "inventory/reserve.py",
        "-    with connection.transaction():\n"
        "-        connection.execute(UPDATE_STOCK, (quantity, sku))\n"
        "+    connection.execute(UPDATE_STOCK, (quantity, sku))\n"
        "+    warehouse.report(sku, quantity)\n",
        "inventory",
    )  # fmt: skip
    s.deploy(
        "a", 66, "Round prices for display", "web/prices.py", "-    return price\n+    return round(price, 2)\n", "web"
    )
    s.deploy("b", 67, "Log the order number", "orders/log.py", "+    log.info('order', number=n)\n", "orders", 69.5)
    s.deploy("c", 40, "Sort stock by shelf", "inventory/list.py", "+    rows.sort(key=shelf)\n", "inventory", 50)
    sessions = [
        (11, "inventory", "idle in transaction", 380.0, ()),
        (12, "orders", "active", 4.0, (11,)),
        (13, "orders", "active", 3.0, (12,)),
        (14, "web", "idle", 0.0, ()),
    ]
    for pid, application, state, age, blocked in sessions:
        s.sessions.append(
            DatabaseSession(pid, application, state, None, age, age, "UPDATE stock SET n = n - 1", blocked)
        )
    return s


def test_a_held_transaction_names_the_service_that_holds_it_and_its_commit() -> None:
    verdict = shop().diagnose()
    assert verdict.enough_evidence
    assert verdict.service == "inventory"
    assert verdict.change == b"guilty".hex().ljust(40, "0")
    assert verdict.kind == "transaction held open"
    assert verdict.remediation == "rollback"
    assert verdict.confidence >= 0.7
    assert "database" in {c.basis for c in verdict.claims}
    assert set(verdict.blast_radius) | {verdict.first_failing_service} == {"web", "orders"}


@pytest.mark.parametrize("application", ["inventory", "shop-inventory", "inventory@pod-7", "INVENTORY"])
def test_the_application_name_may_be_decorated(application: str) -> None:
    scene = shop()
    scene.sessions = [replace(s, application=application) if s.pid == 11 else s for s in scene.sessions]
    verdict = scene.diagnose()
    assert (verdict.service, bool(verdict.change)) == ("inventory", True)


def test_a_held_transaction_without_a_change_still_names_the_service() -> None:
    scene = shop()
    scene.commits.clear()
    scene.deploys.clear()
    verdict = scene.diagnose()
    assert (verdict.service, verdict.change) == ("inventory", None)
    assert verdict.confidence <= 0.7


def test_without_traces_the_deepest_anomalous_node_fails_first() -> None:
    metrics = [Anomaly(s, "errors", 20, "up", 900.0 + i, 0.01, 0.5) for i, s in enumerate(("stock", "orders"))]
    log = LogFinding("orders", "call to stock failed: <*>", "ERROR", 0, 9, 905.0, 0.9, "call to stock failed: 500")
    assert diagnose(ALERT, anomalies=metrics, logs=[log]).first_failing_service == "stock"
    assert diagnose(ALERT, anomalies=metrics).first_failing_service == "orders"


def test_a_short_wait_for_a_busy_session_decides_nothing() -> None:
    lock = LockFinding(1, "orders", "active", 0.4, "UPDATE a", 1, ("web",))
    assert not diagnose(ALERT, locks=[lock]).enough_evidence


def test_no_findings_are_not_enough_evidence() -> None:
    verdict = diagnose(ALERT)
    assert not verdict.enough_evidence
    assert (verdict.service, verdict.change, verdict.remediation) == (None, None, None)
    assert verdict.claims == ()
    assert verdict.confidence <= 0.25
    assert symptom_of(ALERT, (), (), TraceReport()).onset == ALERT.fired_at


def test_a_change_alone_is_no_evidence_while_nothing_deviates() -> None:
    change = ChangeFinding("commit", "abc", "lower the limit", "dev", 900.0, 0.9, ("orders",), 950.0, ("limit",))
    verdict = diagnose(ALERT, changes=[change])
    assert not verdict.enough_evidence
    assert verdict.change is None


def test_two_equal_suspects_lower_the_confidence() -> None:
    anomaly = Anomaly("orders", "http_5xx_ratio", 30, "up", 970.0, 0.01, 0.5)
    one = ChangeFinding("commit", "a" * 40, "one", "dev", 900.0, 0.8, ("orders",), 950.0, ("x",))
    two = replace(one, ref="b" * 40, title="two", score=0.78)
    alone = diagnose(ALERT, anomalies=[anomaly], changes=[one])
    pressed = diagnose(ALERT, anomalies=[anomaly], changes=[one, two])
    assert alone.change == pressed.change == one.ref
    assert pressed.confidence < alone.confidence - 0.15


@pytest.mark.parametrize("make", [shop, *ALL_SCENES], ids=lambda f: f.__name__)
def test_each_claim_quotes_its_finding(make: Any) -> None:
    scene = make()
    findings = scene.findings()
    _assert_quoted(diagnose(scene.alert, **findings), findings)


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) else []


def _assert_quoted(verdict: Diagnosis, findings: dict[str, Any]) -> None:
    keys = {"database": "locks"}
    for claim in verdict.claims:
        found = findings[keys.get(claim.basis, claim.basis)]
        plain = [asdict(f) for f in found] if isinstance(found, Sequence) else asdict(found)
        assert claim.excerpt
        assert claim.excerpt in json.dumps(plain) or any(claim.excerpt in text for text in _strings(plain)), claim
    assert len({(c.basis, c.excerpt) for c in verdict.claims}) == len(verdict.claims)


@pytest.mark.parametrize("make", ALL_SCENES, ids=lambda f: f.__name__)
def test_any_kind_of_finding_may_be_missing(make: Any) -> None:
    scene = make()
    findings = scene.findings()
    for missing in findings:
        verdict = diagnose(scene.alert, **{k: v for k, v in findings.items() if k != missing})
        assert 0.0 <= verdict.confidence <= 0.95
        assert verdict.enough_evidence == (verdict.remediation is not None)


def test_confidence_is_never_below_what_was_right() -> None:
    """Reliability over the invented incidents: where the verdict is surer, it is right at least as often."""
    buckets: dict[int, list[bool]] = {}
    for make, _ in (*test_guilty_changes.CHANGES, *test_subtle_changes.CHANGES):
        verdict = make().diagnose()
        right = verdict.change == test_guilty_changes.GUILTY
        buckets.setdefault(int(verdict.confidence * 5), []).append(right)
    for bucket, rights in buckets.items():
        assert sum(rights) / len(rights) >= bucket / 5


_TEXT = st.text(max_size=40)
_TIME = st.floats(0, 2000)
_ANOMALIES = st.builds(
    Anomaly, service=st.sampled_from(["orders", "web", ""]), metric=_TEXT, score=st.floats(4, 50),
    direction=st.sampled_from(["up", "down"]), onset=_TIME, baseline=st.floats(-1e6, 1e6), peak=st.floats(-1e6, 1e6),
    gradual=st.booleans(),
)  # fmt: skip
_LOGS = st.builds(
    LogFinding, service=st.sampled_from(["orders", "web"]), template=_TEXT, severity=st.just("ERROR"),
    before=st.integers(0, 50), after=st.integers(0, 50), first_seen=st.none() | _TIME,
    score=st.floats(0, 1), example=_TEXT,
    distinct=st.integers(0, 50),
)  # fmt: skip
_SPANS = st.builds(
    SpanFinding, service=_TEXT, name=_TEXT, self_time_ms=st.floats(0, 1e5), errors=st.integers(0, 5),
    calls=st.integers(1, 9), score=st.floats(0, 1), error=st.none() | _TEXT,
)  # fmt: skip
_CHANGES = st.builds(
    ChangeFinding, kind=st.sampled_from(["commit", "flag"]), ref=_TEXT, title=_TEXT, author=_TEXT, time=_TIME,
    score=st.floats(0, 1), deployed_to=st.lists(_TEXT, max_size=2).map(tuple), deployed_at=st.none() | _TIME,
    excerpt=_TEXT,
)  # fmt: skip
_LOCKS = st.builds(
    LockFinding, pid=st.integers(1, 9), application=_TEXT, state=st.sampled_from(["idle in transaction", "active"]),
    transaction_age_s=st.floats(0, 1e4), query=_TEXT, waiting=st.integers(0, 5),
    victims=st.lists(_TEXT, max_size=2).map(tuple),
)  # fmt: skip
_NOTICES = st.builds(
    StatusNotice, time=_TIME, component=_TEXT, status=st.sampled_from(["degraded", "ok"]), summary=_TEXT
)


@given(
    anomalies=st.lists(_ANOMALIES, max_size=4),
    logs=st.lists(_LOGS, max_size=4),
    spans=st.lists(_SPANS, max_size=3),
    changes=st.lists(_CHANGES, max_size=4),
    locks=st.lists(_LOCKS, max_size=2),
    notices=st.lists(_NOTICES, max_size=2),
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_findings_the_verdict_is_consistent(spans: list[SpanFinding], **findings: Any) -> None:
    findings["traces"] = TraceReport(spans=tuple(spans), deepest_failing=spans[0].service if spans else None)
    verdict = diagnose(ALERT, **findings)
    assert verdict == diagnose(ALERT, **findings)
    assert 0.0 <= verdict.confidence <= 0.95
    assert verdict.remediation is None or verdict.remediation in get_args(Remediation)
    if not verdict.enough_evidence:
        assert (verdict.change, verdict.service, verdict.remediation) == (None, None, None)
    assert [m.time for m in verdict.timeline] == sorted(m.time for m in verdict.timeline)
    _assert_quoted(verdict, findings)


def test_the_timeline_tells_the_story_in_order() -> None:
    verdict = shop().diagnose()
    texts = [m.text for m in verdict.timeline]
    assert verdict.timeline[0].time == START + MINUTE * 69
    assert "went live in inventory" in texts[0]
    assert any("paged" in t for t in texts)


def _in_place(service: str = "orders", at: float = 900.0, score: float = 0.2, **more: Any) -> ChangeFinding:
    return ChangeFinding("commit", service, "tidy", "dev", at - 60, score, (service,), at, effect="rewritten", **more)


def test_the_only_change_in_place_is_named_with_little_confidence() -> None:
    trouble = [Anomaly("orders", "http_5xx_ratio", 30, "up", 960.0, 0.0, 0.5)]
    verdict = diagnose(ALERT, anomalies=trouble, changes=[_in_place()])
    assert (verdict.change, verdict.confidence <= 0.3) == ("orders", True)
    assert "It is the only change in the quarter of an hour before" in verdict.summary
    two = [_in_place(), replace(_in_place(), ref="another", score=0.18)]
    assert diagnose(ALERT, anomalies=trouble, changes=two).change is None
    faint = [_in_place(), replace(_in_place(), ref="another", score=0.05)]
    assert "the likeliest of 2 changes" in diagnose(ALERT, anomalies=trouble, changes=faint).summary
    for other in (_in_place(at=-600.0), _in_place("mail"), _in_place(score=0.1), _in_place(at=990.0)):
        assert diagnose(ALERT, anomalies=trouble, changes=[other]).change is None
