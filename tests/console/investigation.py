"""A realistic investigation for the console's tests: its events, its answer and its posts, as the agent writes them."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from incidentfox.contracts.answer import (
    Answer,
    AnswerMoment,
    AnswerSuspect,
    Evidence,
    PlottedSeries,
    RootCause,
    Usage,
)
from incidentfox.contracts.events import AppendRunEvent, RunEventType
from incidentfox.contracts.runs import AlertInput, RunInput

FIRED = datetime(2026, 11, 24, 9, 42, 10, tzinfo=UTC)
ONSET = FIRED - timedelta(minutes=2, seconds=28)
COMMIT = "7c1e9a40d2b85f36e1a7c9034bd2f8e65a10c7d3"
INNOCENT = "b95d03aa61c24e7f8a0e5b7d92c1f4438e6a2d10"
POST_URL = "https://example.slack.com/archives/C0INC4711/p1764000000000100"
NO_USAGE = Usage()
CONFIG_HASH = "sha256:4be1c07f6a2d9b8835e0f7c1a94d26be31f5087ac2e96d4b1f83a05c7e92d614"


def alert() -> RunInput:
    return RunInput(
        prompt="Investigate the alert.",
        alert=AlertInput(
            title="Reservations are slow: p99 above 0.5 s",
            service="inventory",
            metric="inventory_reserve_seconds_p99",
            summary="99 % of reservations took up to 4.2 s during the last minute; checkouts time out.",
            monitor="inventory-reserve-latency",
            threshold=0.5,
            observed=4.2,
            fired_at=FIRED,
            url="https://example.pagerduty.com/incidents/Q0TGX4EPPV5MLE",
        ),
    )


def answer(run_id: str) -> Answer:
    return Answer(
        root_cause=RootCause(
            service="orders",
            change=COMMIT,
            kind="transaction held open",
            summary=(
                "Commit 7c1e9a40d2 calls the payment provider inside the database transaction. Its sessions keep "
                "their row locks on stock while they wait, and reservations of inventory queue behind them."
            ),
        ),
        first_failing_service="inventory",
        suspects=suspects(),
        blast_radius=("inventory", "web"),
        remediation="rollback",
        confidence=0.93,
        evidence=evidence(),
        timeline=moments(),
        run_id=run_id,
        config_hash=CONFIG_HASH,
        usage=Usage(requests=7, tool_calls=6, input_tokens=18432, output_tokens=1210, cost_usd=0.0417),
        duration_s=9.4,
        dropped_claims=1,
        plots=(latency(), idle_sessions()),
    )


def undecided(run_id: str) -> Answer:
    return Answer(
        root_cause=None,
        suspects=(AnswerSuspect(service="web", change=None, score=0.21, reason="Errors rose, but after inventory's."),),
        confidence=0.18,
        run_id=run_id,
        config_hash=CONFIG_HASH,
        usage=Usage(requests=3, tool_calls=4),
        duration_s=3.1,
    )


def suspects() -> tuple[AnswerSuspect, ...]:
    return (
        AnswerSuspect(
            service="orders",
            change=COMMIT,
            score=0.93,
            reason="Adds a network call between BEGIN and COMMIT; live 19 s before the onset; holds the locks.",
        ),
        AnswerSuspect(
            service="inventory",
            change=INNOCENT,
            score=0.24,
            reason="The latest deploy, but it went live after the onset and only changes a log line.",
        ),
        AnswerSuspect(
            service="web", change="checkout-banner", score=0.07, reason="A flag of the page's layout; reaches no query."
        ),
    )


def evidence() -> tuple[Evidence, ...]:
    return (
        Evidence(
            claim="p99 of reservations rose from 38 ms to 4.2 s from 09:39:42 on",
            tool_call_id="c1",
            excerpt="inventory_reserve_seconds_p99",
        ),
        Evidence(
            claim="A session of orders, idle in its transaction for 31 s, holds up 14 sessions of inventory",
            tool_call_id="c3",
            excerpt="idle in transaction",
        ),
        Evidence(
            claim="The deploy moved the payment call into the transaction",
            tool_call_id="c5",
            excerpt="+        await payments.authorise(order)  # inside the transaction",
        ),
        Evidence(
            claim="Since the onset inventory logs lock timeouts: 212 lines, none before",
            tool_call_id="c4",
            excerpt="canceling statement due to lock timeout",
        ),
    )


def moments() -> tuple[AnswerMoment, ...]:
    return (
        AnswerMoment(at=ONSET - timedelta(seconds=19), text="orders 7c1e9a40d2 goes live"),
        AnswerMoment(at=ONSET, text="reservation latency of inventory begins to climb"),
        AnswerMoment(at=ONSET + timedelta(seconds=12), text="first lock timeout in inventory"),
        AnswerMoment(at=ONSET + timedelta(seconds=41), text="checkouts of web fail with 504"),
        AnswerMoment(at=ONSET + timedelta(seconds=63), text="inventory b95d03aa61 goes live (innocent)"),
        AnswerMoment(at=FIRED, text="the monitor fires"),
    )


def latency() -> PlottedSeries:
    return _series("inventory", "inventory_reserve_seconds_p99", 0.038, 4.2)


def idle_sessions() -> PlottedSeries:
    return _series("orders", "postgres_sessions_idle_in_transaction", 0.4, 9.0, whole=True)


def _series(service: str, metric: str, before: float, after: float, *, whole: bool = False) -> PlottedSeries:
    noise = random.Random(metric)
    onset = ONSET.timestamp()
    times = tuple(onset - 420 + 5 * step for step in range(120))
    values = []
    for at in times:
        rise = 1 - math.exp(-max(0.0, at - onset) / 28)
        value = (before + (after - before) * rise) * noise.uniform(0.86, 1.14)
        values.append(float(round(value)) if whole else round(value, 4))
    return PlottedSeries(service=service, metric=metric, times=times, values=tuple(values), onset=onset)


DIFF = """@@ async def place(order):
     async with pool.transaction() as tx:
         await tx.execute(RESERVE, order.sku, order.quantity)
+        await payments.authorise(order)  # inside the transaction
         await tx.execute(INSERT_ORDER, order.id)
-    await payments.authorise(order)
"""


def calls() -> list[tuple[str, str, dict[str, Any], dict[str, Any], float]]:
    """(tool call id, tool, arguments, result, milliseconds)"""
    plot = latency()
    onset = ONSET.timestamp()
    return [
        ("c1", "rank_anomalies", {"limit": 8}, {"series_examined": 41, "onset": onset, "anomalies": ANOMALIES}, 84.2),
        (
            "c2",
            "query_metrics",
            {"service": "inventory", "metric": plot.metric, "points": 120},
            {
                "service": "inventory",
                "metric": plot.metric,
                "samples": 120,
                "times": list(plot.times),
                "values": list(plot.values),
                "change_point": {"time": onset, "index": 84, "before": 0.038, "after": 4.1, "p_value": 1e-12},
            },
            21.9,
        ),
        ("c3", "database_activity", {"limit": 20}, {"sessions": 23, "states": STATES, "blockers": BLOCKERS}, 12.4),
        (
            "c4",
            "find_log_patterns",
            {"onset": onset, "service": "inventory"},
            {"onset": onset, "lines_examined": 6120, "patterns": PATTERNS, "left_out": 3},
            143.0,
        ),
        (
            "c5",
            "show_change",
            {"ref": COMMIT},
            {"ref": COMMIT, "title": "Authorise before the order", "diff": DIFF},
            8.1,
        ),
        ("c6", "status_notices", {}, {"error": {"code": "signal_not_configured", "detail": "No status feed."}}, 1.2),
    ]


ANOMALIES = [
    {"service": "inventory", "metric": "inventory_reserve_seconds_p99", "baseline": 0.038, "peak": 4.61, "score": 38.2},
    {"service": "orders", "metric": "postgres_sessions_idle_in_transaction", "baseline": 0, "peak": 10, "score": 22.5},
    {"service": "web", "metric": "http_errors_ratio", "baseline": 0.001, "peak": 0.31, "score": 19.8},
]
STATES = {"active": 15, "idle": 5, "idle in transaction": 3}
BLOCKERS = [
    {
        "pid": 4121,
        "application": "orders",
        "state": "idle in transaction",
        "transaction_age_s": 31.4,
        "waiting": 14,
        "victims": ["inventory"],
        "query": "UPDATE stock SET reserved = reserved + $1 WHERE sku = $2",
    }
]
PATTERNS = [
    {
        "service": "inventory",
        "template": "canceling statement due to lock timeout",
        "before": 0,
        "after": 212,
        "example": "ERROR canceling statement due to lock timeout sku=SKU-0042 waited_ms=2000",
    },
    {"service": "inventory", "template": "reserved <*> of <*>", "before": 4810, "after": 377, "example": "reserved 1"},
]


def events(run_id: str, *, finished: bool = True) -> list[AppendRunEvent]:
    """The whole timeline; without its end, the run stops after the third tool call."""
    begun = FIRED + timedelta(seconds=1)
    made: list[AppendRunEvent] = []
    elapsed = 0.0

    def add(kind: RunEventType, data: dict[str, Any], after_s: float = 0.02) -> None:
        nonlocal elapsed
        elapsed += after_s
        at = begun + timedelta(seconds=elapsed)
        made.append(AppendRunEvent(event_key=f"event-{len(made)}", type=kind, at=at, data=data))

    accepted = {
        "delivery_id": "dlv_1",
        "source": "pagerduty",
        "endpoint_id": "whe_1",
        "event_type": "incident.triggered",
    }
    add(RunEventType.DELIVERY_ACCEPTED, accepted, 0.0)
    reason = "pagerduty_service PSHOP01 belongs to team shop-sre"
    add(RunEventType.DELIVERY_ROUTED, {"team_node_id": "shop-sre", "reason": reason, "matched": {}, "tried": []}, 0.03)
    tools = [tool for _, tool, *_ in calls()]
    started = {"config_hash": CONFIG_HASH, "agent": "planner", "model": "offline", "tools": tools}
    add(RunEventType.RUN_STARTED, started, 0.21)
    for index, (call_id, tool, arguments, result, took_ms) in enumerate(calls()):
        asked = {"model": "offline", "text": "", "tool_calls": [{"tool_call_id": call_id, "tool": tool}], "usage": {}}
        add(RunEventType.MODEL_RESPONDED, asked, 0.6)
        add(RunEventType.TOOL_CALLED, {"tool_call_id": call_id, "tool": tool, "arguments": arguments})
        if not finished and index == 2:
            return made
        returned = {"tool_call_id": call_id, "tool": tool, "result": result, "duration_ms": took_ms}
        add(RunEventType.TOOL_RETURNED, {**returned, "is_error": "error" in result}, took_ms / 1000)
    add(RunEventType.MODEL_RESPONDED, {"model": "offline", "text": "", "tool_calls": [], "usage": {}}, 0.8)
    dropped = {
        "claim": "The payment provider reports an outage",
        "tool_call_id": "c6",
        "reason": "The cited tool call failed.",
    }
    add(RunEventType.CLAIM_DROPPED, dropped)
    add(RunEventType.ANSWER_READY, answer(run_id).model_dump(mode="json"))
    effect = {"effect_key": "slack:answer", "destination": "slack", "target": "#inc-4711"}
    add(RunEventType.EFFECT_INTENDED, effect)
    done = {**effect, "external_id": "1764000000.000100", "url": POST_URL}
    add(RunEventType.EFFECT_DONE, done, 0.31)
    add(RunEventType.RUN_FINISHED, {"status": "succeeded", "error": None, "usage": {}, "duration_s": 9.4})
    return made
