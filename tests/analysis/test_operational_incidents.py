"""Invented incidents that no commit caused, and quiet ones that nothing explains.

Some stand beside a change that speaks of the same thing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.analysis.scenes import MINUTE, START, Scene

from incidentfox.analysis.signals import StatusNotice


def expired_certificate() -> Scene:
    s = Scene("gateway", "upstream_error_ratio", "gateway cannot call vault")
    s.measure("gateway", "upstream_error_ratio", 0.003, 0.95).measure("web", "http_5xx_ratio", 0.004, 0.5)
    s.says("gateway", "ERROR", "x509: certificate has expired or is not yet valid: current time is after notAfter")
    s.commit(
        "decoy",
        66,
        "refactor: one http client",
        "services/gateway/client.go",
        "@@ services/gateway/client.go @@\n"
        "-\tc := http.Client{Timeout: 5 * time.Second}\n"
        "+\tc := newClient(5 * time.Second)\n",
        to="gateway",
        live=69,
    )
    return s


def lost_node() -> Scene:
    s = Scene("cart", "http_5xx_ratio", "cart errors, several pods gone")
    s.measure("cart", "http_5xx_ratio", 0.003, 0.3).measure("cart", "pods_pending", 0, 4).measure(
        "profile", "http_5xx_ratio", 0.003, 0.2
    )
    s.says("kubernetes", "WARN", "node worker-17 status is now: NodeNotReady, kubelet stopped posting node status")
    s.says("cart", "ERROR", "connection refused by peer cart-7d9f on worker-17")
    s.commit(
        "decoy",
        66,
        "feat: cart badge",
        "services/cart/badge.go",
        "@@ services/cart/badge.go @@\n+func badge() int { return 1 }\n",
        to="cart",
        live=69,
    )
    return s


def crowd() -> Scene:
    s = Scene("tickets", "http_server_duration_p99_ms", "tickets slow and shedding load")
    s.measure("tickets", "requests_per_second", 300, 4200).measure(
        "tickets", "http_server_duration_p99_ms", 90, 4000, at=71
    )
    s.measure("tickets", "cpu_utilization", 0.3, 0.99, at=71)
    s.says("tickets", "WARN", "queue full, request shed: overload", at=71)
    s.commit(
        "decoy",
        66,
        "feat: seat colours",
        "services/tickets/seats.go",
        "@@ services/tickets/seats.go @@\n+func colour(s Seat) string { return s.Tier }\n",
        to="tickets",
        live=69,
    )
    return s


def provider_down() -> Scene:
    s = Scene("payments", "charge_error_ratio", "charges fail at the card processor")
    s.measure("payments", "charge_error_ratio", 0.005, 0.8).measure("checkout", "http_5xx_ratio", 0.004, 0.5)
    s.says("payments", "ERROR", "POST https://api.cardworks.com/v2/charge returned 503 Service Unavailable")
    s.notices.append(StatusNotice(START + MINUTE * 71, "Cardworks API", "major outage", "Elevated errors on charges"))
    s.commit(
        "decoy",
        66,
        "refactor: charge types",
        "services/payments/types.py",
        "@@ services/payments/types.py @@\n-Amount = int\n+Money = int\n",
        to="payments",
        live=69,
    )
    return s


def full_disk() -> Scene:
    s = Scene("archive", "write_error_ratio", "archive writes fail")
    s.measure("archive", "disk_used_pct", 55, 100, at=20, drift=True).measure(
        "archive", "write_error_ratio", 0.001, 0.9
    )
    s.says("archive", "ERROR", "write /data/seg-91: no space left on device")
    s.commit(
        "decoy",
        66,
        "feat: archive labels",
        "services/archive/labels.go",
        "@@ services/archive/labels.go @@\n+var labels = map[string]string{}\n",
        to="archive",
        live=69,
    )
    return s


def lost_primary() -> Scene:
    s = Scene("accounts", "write_error_ratio", "accounts cannot write")
    s.measure("accounts", "write_error_ratio", 0.001, 0.97).measure("accounts-db", "replication_lag_seconds", 0.2, 400)
    s.says("accounts", "ERROR", "cannot execute UPDATE in a read-only transaction: primary is unavailable")
    s.says("accounts-db", "ERROR", "replica promoted failed: no leader, quorum lost")
    s.commit(
        "decoy",
        66,
        "chore: log account id",
        "services/accounts/log.py",
        '@@ services/accounts/log.py @@\n+    logger.info("account %s", id)\n',
        to="accounts",
        live=69,
    )
    return s


def revoked_key() -> Scene:
    s = Scene("uploader", "upload_error_ratio", "uploads refused")
    s.measure("uploader", "upload_error_ratio", 0.002, 1.0)
    s.says("uploader", "ERROR", "ExpiredToken: the provided access key has expired")
    s.commit(
        "decoy",
        66,
        "feat: upload hints",
        "services/uploader/hints.ts",
        '@@ services/uploader/hints.ts @@\n+export const hint = "Drop a file";\n',
        to="uploader",
        live=69,
    )
    return s


def poisoned_batch() -> Scene:
    s = Scene("importer", "import_error_ratio", "importer stuck, backlog rising")
    s.measure("importer", "import_error_ratio", 0.004, 0.99).measure("importer", "queue_depth", 20, 30000, drift=True)
    s.says(
        "importer",
        "ERROR",
        "cannot parse record: malformed payload, row_id=88213 source=supplier-feed; will be redelivered",
        n=30,
    )
    s.commit(
        "decoy",
        66,
        "refactor: parser names",
        "services/importer/parse.py",
        "@@ services/importer/parse.py @@\n"
        "-def p(row):\n"
        "-    return Row(int(row[0]), row[1])\n"
        "+def parse(row):\n"
        "+    return Row(int(row[0]), row[1])\n",
        to="importer",
        live=69,
    )
    return s


def flapping_alert() -> Scene:
    s = Scene("profile", "http_p99_ms", "profile p99 above 100 ms")
    s.quiet("profile", "http_p99_ms", 80).quiet("profile", "http_5xx_ratio", 0.004).chatter("profile", "served profile")
    s.commit(
        "decoy",
        66,
        "chore: shorter timeout",
        "services/profile/client.go",
        "@@ services/profile/client.go @@\n-\tTimeout: 10 * time.Second,\n+\tTimeout: 1 * time.Second,\n",
        to="profile",
        live=69,
    )
    return s


def unexplained_slowness() -> Scene:
    s = Scene("reports", "http_p99_ms", "reports p99 high")
    s.measure("reports", "http_p99_ms", 200, 900).chatter("reports", "rendered report")
    s.commit(
        "decoy",
        66,
        "docs: report formats",
        "docs/reports.md",
        "@@ docs/reports.md @@\n+CSV and PDF.\n",
        to="reports",
        live=69,
    )
    return s


def unrelated_restyle() -> Scene:
    s = Scene("reports", "http_p99_ms", "reports p99 high")
    s.measure("reports", "http_p99_ms", 200, 900)
    s.says("reports", "WARN", lambda i: f"render took {800 + i}ms")
    s.commit(
        "decoy",
        66,
        "feat: new palette",
        "web/src/theme.ts",
        '@@ web/src/theme.ts @@\n-  accent: "#123456",\n+  accent: "#654321",\n',
        to="web",
        live=69,
    )
    return s


def expired_certificate_beside_a_tls_change() -> Scene:
    s = expired_certificate()
    s.deploy(
        "d2",
        60,
        "chore: tls floor",
        "services/gateway/tls.go",
        "-\tMinVersion: tls.VersionTLS11,\n+\tMinVersion: tls.VersionTLS12,\n",
        "gateway",
        68,
    )
    return s


def lost_node_beside_a_smaller_memory_request() -> Scene:
    s = lost_node()
    s.deploy(
        "d2",
        60,
        "chore: cart resources",
        "deploy/cart/values.yaml",
        "-    memory: 768Mi\n+    memory: 512Mi\n",
        "cart",
        68,
    )
    return s


def crowd_beside_a_smaller_pool() -> Scene:
    s = crowd()
    s.deploy(
        "d2",
        60,
        "chore: pool idle",
        "services/tickets/db.go",
        "-\tMaxIdleConns: 20,\n+\tMaxIdleConns: 10,\n",
        "tickets",
        68,
    )
    return s


def provider_down_beside_a_shorter_timeout() -> Scene:
    s = provider_down()
    s.deploy(
        "d2",
        60,
        "chore: client timeout",
        "services/payments/client.go",
        "-\tTimeout: 10 * time.Second,\n+\tTimeout: 8 * time.Second,\n",
        "payments",
        68,
    )
    return s


def provider_down_beside_a_retry_refactor() -> Scene:
    s = provider_down()
    s.notices.clear()
    s.deploy(
        "d2",
        60,
        "refactor: charge retry",
        "services/payments/retry.py",
        "-    for attempt in range(3):\n+    for attempt in range(RETRIES):\n+RETRIES = 3\n",
        "payments",
        68,
    )
    return s


def poisoned_batch_beside_a_parser_refactor() -> Scene:
    s = poisoned_batch()
    s.deploy(
        "d2",
        60,
        "refactor: parse errors",
        "services/importer/errors.py",
        '-        raise ValueError("malformed payload")\n+        raise MalformedPayload("malformed payload")\n',
        "importer",
        68,
    )
    return s


def full_disk_beside_a_log_line() -> Scene:
    s = full_disk()
    s.deploy(
        "d2",
        60,
        "chore: log segment",
        "services/archive/write.py",
        '+    logger.debug("segment written")\n',
        "archive",
        68,
    )
    return s


def lost_primary_beside_a_pool_setting() -> Scene:
    s = lost_primary()
    s.deploy(
        "d2",
        60,
        "chore: pool recycle",
        "services/accounts/db.py",
        "-    pool_recycle=1800,\n+    pool_recycle=900,\n",
        "accounts",
        68,
    )
    return s


OPERATIONAL = (
    (expired_certificate, "rotate-cert"),
    (lost_node, "reschedule"),
    (crowd, "scale"),
    (provider_down, "escalate-upstream"),
    (full_disk, "scale"),
    (lost_primary, "failover"),
    (revoked_key, "rotate-cert"),
    (poisoned_batch, "purge-bad-data"),
    (expired_certificate_beside_a_tls_change, "rotate-cert"),
    (lost_node_beside_a_smaller_memory_request, "reschedule"),
    (crowd_beside_a_smaller_pool, "scale"),
    (provider_down_beside_a_shorter_timeout, "escalate-upstream"),
    (provider_down_beside_a_retry_refactor, "escalate-upstream"),
    (poisoned_batch_beside_a_parser_refactor, "purge-bad-data"),
    (full_disk_beside_a_log_line, "scale"),
    (lost_primary_beside_a_pool_setting, "failover"),
)
QUIET = (flapping_alert, unexplained_slowness, unrelated_restyle)


@pytest.mark.parametrize(("scene", "remediation"), OPERATIONAL, ids=lambda v: getattr(v, "__name__", v))
def test_an_operational_cause_blames_no_commit(scene: Callable[[], Scene], remediation: str) -> None:
    verdict = scene().diagnose()
    assert verdict.enough_evidence, verdict.summary
    assert verdict.change is None, verdict.summary
    assert verdict.remediation == remediation
    assert verdict.confidence >= 0.3


@pytest.mark.parametrize("scene", QUIET, ids=lambda v: v.__name__)
def test_silence_where_nothing_explains(scene: Callable[[], Scene]) -> None:
    verdict = scene().diagnose()
    assert not verdict.enough_evidence, verdict.summary
    assert verdict.change is None
    assert verdict.remediation is None
    assert verdict.confidence <= 0.25
