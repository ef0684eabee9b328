"""Invented incidents in which place, time and demand decide, beside changes whose words are nearer to the symptom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.analysis.scenes import GUILTY, Scene

TIMEOUT_TUNED = "-  const DELAY_MS = 600;\n+  const DELAY_MS = 200;\n"


def vendor_overload() -> Scene:
    """Two code bases call the same vendor; only one of them was deployed."""
    s = Scene("chat", "model_request_error_ratio", "chat: model requests fail, answers time out")
    s.measure("chat", "model_request_error_ratio", 0.003, 0.4).measure("summaries", "summary_failure_ratio", 0.004, 0.5)
    s.measure("helpdesk", "assistant_fallbacks_per_minute", 1, 70, at=71)
    s.says("chat", "ERROR", 'model call failed: 529 {"type": "overloaded_error"} http.server=api.vendor.example')
    s.says("summaries", "ERROR", "POST https://api.vendor.example/v1/messages failed: 529 overloaded")
    s.fails("helpdesk", "chat", error="529 overloaded").fails("summaries", error="529 overloaded")
    s.deploy("decoy", 50, "helpdesk: show typing sooner, retry earlier", "web/retry.ts", TIMEOUT_TUNED, "helpdesk", 60)
    return s


def vendor_limit() -> Scene:
    s = Scene("address", "geocode_failure_ratio", "address: geocoding fails, 503 to callers")
    s.measure("address", "geocode_failure_ratio", 0.002, 0.3).measure("address", "maps_responses_429", 0.1, 2400)
    s.says("address", "ERROR", "GET https://geo.maps.example/v1/search answered 429, plan=starter limit=600")
    s.fails("orders", "address", error="429 from the maps provider")
    s.deploy(
        "decoy", 30, "sql: backfill country", "db/migrations/7.sql",
        "+ALTER TABLE address_cache ALTER COLUMN country SET NOT NULL;\n", "address", 40,
    )  # fmt: skip
    return s


def failing_disk() -> Scene:
    s = Scene("edge", "upstream_error_ratio", "edge: a third of upstream calls fail")
    s.measure("edge", "upstream_error_ratio", 0.001, 0.35).measure("index", "query_error_ratio", 0.001, 0.34)
    s.measure("node-agent", "disk_io_errors_total", 0, 50, at=66)
    s.says("node-agent", "WARN", "kernel: critical medium error, dev nvme1n1, sector 119023", at=66)
    s.says("index", "ERROR", "segment read failed: Input/output error (os error 5) pod=index-2")
    s.fails("edge", "index", error="os error 5")
    s.deploy(
        "decoy", 60, "index: rework error handling of flush", "index/src/flush.rs",
        "-Err(e) => return Err(FlushError::Io(e)),\n+file.sync().map_err(FlushError::Io)?;\n", "index", 67,
    )  # fmt: skip
    return s


def flooded_by_a_flag() -> Scene:
    """The callee drowns, its own index was dropped an hour ago, and the caller's traffic is flat."""
    s = Scene("stock", "latency_p99_ms", "stock: slow, connection pool exhausted")
    s.measure("stock", "requests_per_second", 500, 3600).measure("stock", "latency_p99_ms", 20, 5000)
    s.measure("listing", "page_latency_p95_ms", 190, 3300, at=71).quiet("listing", "requests_per_second", 60)
    s.says("stock", "ERROR", "pool timed out while waiting for an open connection, query cancelled")
    s.fails("listing", "stock", error="pool timed out while waiting for an open connection")
    s.deploy(
        "guilty", 5, "listing: show stock on cards", "listing/cards.py",
        '+    if flags.enabled("live_stock"):\n+        for card in cards:\n'
        "+            card.level = stock.get_level(card.sku)\n",
        "listing", 10,
    )  # fmt: skip
    s.switch("live_stock", "listing", "5%->100%", 69)
    s.deploy(
        "decoy", 8, "stock: drop an unused index", "db/migrations/12.sql",
        "+DROP INDEX IF EXISTS reservations_note_idx;\n", "stock", 12,
    )  # fmt: skip
    return s


def hourly_batch_meets_a_smaller_limit() -> Scene:
    """The earliest departure is an hourly job of long ago; the limit was lowered well after it."""
    s = Scene("thumbs", "http_5xx_ratio", "thumbs: pods restarting")
    s.measure("sync", "batch_images", 0.5, 1800, at=15).measure("thumbs", "http_5xx_ratio", 0.002, 0.5)
    s.measure("thumbs", "memory_limit_bytes", 1.61e9, 0.805e9, at=40)
    s.says("kube-events", "WARN", "container thumbs terminated: reason=OOMKilled exitCode=137")
    s.says("thumbs", "ERROR", "worker killed, out of memory")
    s.deploy(
        "guilty", 30, "chore: right-size by VPA targets", "helm/thumbs/values.yaml",
        "-    memory: 1536Mi\n+    memory: 768Mi\n", "thumbs", 39,
    )  # fmt: skip
    s.deploy("decoy", 60, "thumbs: fix leak of handles", "thumbs/read.ts", "-  await f.close();\n", "gallery", 69)
    return s


def bigger_polls() -> Scene:
    """The gauge went from the old value of one edit to its new one; the other edit removes a check."""
    s = Scene("settle", "consumer_lag", "settle: lag rising, commits stopped")
    s.measure("settle", "records_per_poll", 200, 2500).measure("settle", "consumer_lag", 11_000, 60_000)
    s.says("settle", "ERROR", "offset commit failed: the consumer is not part of an active group, poll timeout expired")
    s.deploy(
        "guilty", 60, "values of the perf environment", "config/settle.yml",
        "-  max-poll-records: 200\n+  max-poll-records: 2500\n-  connect-timeout: 2s\n+  connect-timeout: 1s\n",
        "settle", 69.8,
    )  # fmt: skip
    s.deploy(
        "decoy", 40, "rework revocation in the consumer", "settle/Consumer.java",
        "-if (!done.isEmpty()) {\n-  commit(done);\n-}\n+commit(done);\n", "settle", 60,
    )  # fmt: skip
    return s


def retyped_field() -> Scene:
    """Two consumers reject what the producer sends; one of them was deployed at the onset."""
    s = Scene("ledger", "decode_failure_ratio", "ledger cannot decode invoice events")
    s.measure("ledger", "decode_failure_ratio", 0.001, 0.9).measure("tax", "events_rejected_per_min", 0.1, 260)
    s.says("ledger", "ERROR", "json: cannot unmarshal string into Go struct field Invoice.total of type int64")
    s.says("tax", "ERROR", 'rejecting event: invalid type: string "859.93", expected i64')
    s.fails("billing", "ledger", error="cannot unmarshal string").fails("billing", "tax", error="expected i64")
    s.deploy(
        "guilty", 60, "billing: use the Money helper", "billing/src/types.ts",
        "-  total: number;\n+  total: string;\n", "billing", 66,
    )  # fmt: skip
    s.deploy(
        "decoy", 62, "ledger: restructure decoding", "ledger/decode.go",
        "-\terr := json.Unmarshal(b, &ev)\n"
        "+\tif err := json.Unmarshal(b, &ev); err != nil {\n+\t\treturn ev, err\n+\t}\n",
        "ledger", 69.8,
    )  # fmt: skip
    return s


def renamed_variable() -> Scene:
    s = Scene("accounts", "otp_failure_ratio", "accounts rejects one-time codes")
    s.measure("accounts", "otp_failure_ratio", 0.04, 0.9).measure("redis", "redis_connected_clients", 212, 147)
    s.says("accounts", "WARN", "otp rejected reason=no_pending_code")
    s.deploy(
        "guilty", 60, "follow platform naming", "envs/prod/common.yaml",
        "-CACHE_URL: rediscache://redis:6379/3\n+REDIS_CACHE_URL: rediscache://redis:6379/3\n", "accounts", 69.2,
    )  # fmt: skip
    s.deploy(
        "decoy", 40, "otp: constant-time compare", "accounts/otp.py",
        "-    return code == pending\n+    return compare_digest(code, pending)\n", "accounts", 56,
    )  # fmt: skip
    return s


NONE = (
    (vendor_overload, "escalate-upstream"),
    (vendor_limit, "escalate-upstream"),
    (failing_disk, "reschedule"),
)
CHANGES = (
    (flooded_by_a_flag, "feature-flag-disable"),
    (hourly_batch_meets_a_smaller_limit, "config-revert"),
    (bigger_polls, "config-revert"),
    (retyped_field, "rollback"),
    (renamed_variable, "config-revert"),
)


@pytest.mark.parametrize(("scene", "remediation"), NONE, ids=lambda v: getattr(v, "__name__", v))
def test_no_change_is_blamed_for_what_lies_outside(scene: Callable[[], Scene], remediation: str) -> None:
    verdict = scene().diagnose()
    assert verdict.enough_evidence, verdict.summary
    assert (verdict.change, verdict.remediation) == (None, remediation), verdict.summary


@pytest.mark.parametrize(("scene", "remediation"), CHANGES, ids=lambda v: getattr(v, "__name__", v))
def test_the_change_that_accounts_for_it_is_named(scene: Callable[[], Scene], remediation: str) -> None:
    verdict = scene().diagnose()
    assert verdict.change == GUILTY, verdict.summary
    assert verdict.remediation == remediation
