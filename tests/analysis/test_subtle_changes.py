"""More invented incidents that a change caused: subtler diffs, and decoys that speak of the symptom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.analysis.scenes import GUILTY, Scene


def cache_key() -> Scene:
    s = Scene("feed", "tenant_mismatch_ratio", "feed shows items of other tenants; tenant mismatch on cached item")
    s.measure("feed", "tenant_mismatch_ratio", 0.0, 0.4)
    s.says("feed", "ERROR", "tenant mismatch: cached feed item belongs to another tenant")
    s.deploy(
        "guilty",
        62,
        "perf: shorter cache keys",
        "services/feed/cache.go",
        '-\tkey := fmt.Sprintf("%s:%s", tenantID, itemID)\n+\tkey := itemID\n \treturn c.Get(key)\n',
        "feed",
    )
    s.deploy(
        "decoy",
        66,
        "chore: raise feed cache size",
        "services/feed/config.go",
        "-\tMaxEntries: 5000,\n+\tMaxEntries: 20000,\n",
        "feed",
        69.5,
    )
    return s


def redos() -> Scene:
    s = Scene("intake", "cpu_utilization", "intake cpu pinned, requests time out")
    s.measure("intake", "cpu_utilization", 0.25, 1.0).measure("intake", "http_p99_ms", 40, 9000)
    s.says("intake", "ERROR", "request timed out after 5000ms in validateEmail")
    s.deploy(
        "guilty",
        62,
        "fix: accept plus addresses",
        "services/intake/validate.ts",
        '-const EMAIL = /^[^@]+@[^@]+$/;\n+const EMAIL = new RegExp("^(([a-z0-9]+)+[.+]?)+@([a-z0-9]+)+$");\n',
        "intake",
        ctx="validateEmail",
    )
    s.deploy(
        "decoy",
        66,
        "chore: tune keepalive",
        "services/intake/server.ts",
        "-  keepAliveTimeout: 5000,\n+  keepAliveTimeout: 8000,\n",
        "intake",
        69.5,
    )
    return s


def enum_case() -> Scene:
    s = Scene("ledger", "processing_error_ratio", "ledger rejects events: unknown status partially_refunded")
    s.measure("ledger", "processing_error_ratio", 0.002, 0.35)
    s.says("ledger", "ERROR", "cannot process event: unknown status 'partially_refunded'")
    s.deploy(
        "guilty",
        60,
        "feat: partial refunds",
        "services/refunds/status.py",
        '-    REFUNDED = "refunded"\n+    REFUNDED = "refunded"\n+    PARTIAL = "partially_refunded"\n',
        "refunds",
        69,
    )
    s.deploy(
        "decoy",
        66,
        "refactor: ledger event loop",
        "services/ledger/loop.py",
        "-    for e in events:\n-        apply(e)\n+    apply_all(events)\n",
        "ledger",
        69.4,
    )
    return s


def iam() -> Scene:
    s = Scene("exporter", "upload_error_ratio", "exporter uploads denied")
    s.measure("exporter", "upload_error_ratio", 0.001, 1.0)
    s.says("exporter", "ERROR", "AccessDenied: not authorized to perform s3:PutObject on bucket exports")
    s.deploy(
        "guilty",
        67,
        "chore: least privilege",
        "deploy/exporter/policy.json",
        '-      "s3:PutObject",\n-      "s3:GetObject"\n+      "s3:GetObject"\n',
        "exporter",
        69,
    )
    s.deploy("decoy", 66, "feat: csv header", "services/exporter/csv.go", "+\tw.Write(header)\n", "exporter", 69.3)
    return s


def visibility() -> Scene:
    s = Scene("invoicer", "duplicate_invoice_ratio", "duplicate invoices sent")
    s.measure("invoicer", "duplicate_invoice_ratio", 0.0005, 0.3)
    s.says("invoicer", "WARN", "message received again before ack: duplicate processing, visibility timeout elapsed")
    s.deploy(
        "guilty",
        60,
        "chore: queue settings",
        "pkg/queue/options.go",
        "-\tVisibilityTimeout: 5 * time.Minute,\n+\tVisibilityTimeout: 10 * time.Second,\n",
        "invoicer",
    )
    s.deploy(
        "decoy", 66, "perf: batch receive", "services/invoicer/receive.go", "-\tn := 8\n+\tn := 10\n", "invoicer", 69.4
    )
    return s


def hpa() -> Scene:
    s = Scene("render", "cpu_utilization", "render saturated, latency up")
    s.measure("render", "replicas", 30, 4).measure("render", "cpu_utilization", 0.5, 0.99).measure(
        "render", "http_p99_ms", 120, 4000
    ).quiet("render", "requests_per_second", 900)
    s.says("render", "WARN", "worker queue wait exceeded 2000ms")
    s.deploy(
        "guilty", 66, "chore: save cost", "deploy/render/hpa.yaml", "-  maxReplicas: 40\n+  maxReplicas: 4\n", "render"
    )
    s.deploy(
        "decoy",
        66,
        "feat: webp",
        "services/render/webp.go",
        "+func webp(i image.Image) []byte { return encode(i) }\n",
        "render",
        69.4,
    )
    return s


def alter_lock() -> Scene:
    s = Scene("members", "http_5xx_ratio", "members writes time out: lock timeout")
    s.measure("members", "http_5xx_ratio", 0.003, 0.6).measure("members-db", "lock_waits", 0.5, 80)
    s.says("members", "ERROR", "canceling statement due to lock timeout: UPDATE members SET seen_at")
    s.deploy(
        "guilty",
        67,
        "feat: member tiers",
        "db/migrations/0201_member_tier.sql",
        "+ALTER TABLE members ALTER COLUMN tier TYPE bigint;\n",
        "members-db",
        69.6,
    )
    s.deploy(
        "decoy",
        66,
        "refactor: member repo",
        "services/members/repo.py",
        "-    return self.session.get(Member, id)\n+    return self._get(Member, id)\n",
        "members",
        69.5,
    )
    return s


def cron() -> Scene:
    s = Scene("warehouse", "db_cpu_pct", "warehouse db saturated by rebuild jobs")
    s.measure("warehouse", "db_cpu_pct", 20, 98).measure("warehouse", "active_jobs", 1, 60)
    s.says("warehouse", "WARN", lambda i: f"rebuild-stock job {i} started while previous job still running")
    s.deploy(
        "guilty",
        67,
        "chore: job timing",
        "deploy/warehouse/cronjob.yaml",
        '-  schedule: "0 3 * * *"\n+  schedule: "* * * * *"\n',
        "warehouse",
    )
    s.deploy(
        "decoy", 66, "feat: bins", "services/warehouse/bins.py", "+def bins():\n+    return []\n", "warehouse", 69.4
    )
    return s


def debug_disk() -> Scene:
    s = Scene("proxy", "disk_used_pct", "proxy disk full", fired=92)
    s.measure("proxy", "disk_used_pct", 40, 100, at=45, drift=True).measure(
        "proxy", "log_bytes_per_second", 2e4, 9e6, at=45
    ).measure("proxy", "http_5xx_ratio", 0.002, 0.4, at=88)
    s.says("proxy", "ERROR", "write access.log: no space left on device", at=88)
    s.deploy(
        "guilty",
        43,
        "chore: proxy logging",
        "deploy/proxy/logging.yaml",
        "-  log_level: info\n+  log_level: debug\n",
        "proxy",
        44.5,
    )
    s.deploy("decoy", 84, "feat: proxy header", "services/proxy/header.go", '+\th.Set("X-Proxy", "1")\n', "proxy", 86)
    return s


def endless_loop() -> Scene:
    s = Scene("sync", "cpu_utilization", "sync cpu at 100%")
    s.measure("sync", "cpu_utilization", 0.2, 1.0).measure("sync", "pages_fetched_per_second", 3, 900)
    s.says("sync", "WARN", "fetched page cursor=abc again")
    s.deploy(
        "guilty",
        62,
        "refactor: page loop",
        "services/sync/pages.go",
        '-\tfor cursor != "" {\n'
        "-\t\tpage := fetch(cursor)\n"
        "-\t\tcursor = page.Next\n"
        "-\t}\n"
        "+\tfor {\n"
        "+\t\tpage := fetch(cursor)\n"
        "+\t\tif len(page.Items) == 0 { break }\n"
        "+\t}\n",
        "sync",
    )
    s.deploy(
        "decoy",
        66,
        "chore: bump cursor lib",
        "go.mod",
        "-\texample.org/cursor v0.3.1\n+\texample.org/cursor v0.3.2\n",
        "sync",
        69.4,
    )
    return s


def breaker() -> Scene:
    s = Scene("basket", "http_503_ratio", "basket returns 503: circuit open for stock")
    s.measure("basket", "http_503_ratio", 0.002, 0.8).quiet("stock", "http_p99_ms", 40)
    s.says("basket", "ERROR", "circuit breaker open for stock, failing fast")
    s.deploy(
        "guilty",
        62,
        "chore: breaker defaults",
        "pkg/resilience/breaker.go",
        "-\tFailureThreshold: 0.5,\n+\tFailureThreshold: 0.01,\n",
        "basket",
    )
    s.deploy(
        "decoy",
        66,
        "feat: stock label",
        "services/stock/label.go",
        '+func label() string { return "x" }\n',
        "stock",
        69.4,
    )
    return s


def utc() -> Scene:
    s = Scene("booking", "token_rejected_ratio", "booking rejects tokens issued in the future")
    s.measure("booking", "token_rejected_ratio", 0.001, 0.6)
    s.says("booking", "ERROR", "token rejected: issued_at is in the future (clock or timezone mismatch)")
    s.deploy(
        "guilty",
        62,
        "refactor: time helper",
        "pkg/auth/issue.py",
        "-    issued_at = datetime.now(timezone.utc)\n+    issued_at = datetime.now()\n",
        "booking",
    )
    s.deploy(
        "decoy",
        66,
        "feat: booking notes",
        "services/booking/notes.py",
        "+def note(b):\n+    return b.text\n",
        "booking",
        69.4,
    )
    return s


def cents() -> Scene:
    s = Scene("charge", "amount_mismatch_ratio", "charge amounts do not match orders")
    s.measure("charge", "amount_mismatch_ratio", 0.0001, 0.9)
    s.says("charge", "ERROR", lambda i: f"amount mismatch: order total {i}99.00 charged {i}.99")
    s.deploy(
        "guilty",
        62,
        "refactor: money",
        "services/charge/amount.ts",
        "-  return Math.round(total * 100);\n+  return Math.round(total);\n",
        "charge",
    )
    s.deploy(
        "decoy",
        66,
        "chore: charge log",
        "services/charge/log.ts",
        '-  logger.info("charged", { id });\n+  logger.info("charged", { id, currency });\n',
        "charge",
        69.4,
    )
    return s


def ingress() -> Scene:
    s = Scene("edge", "http_404_ratio", "edge returns 404 for orders routes")
    s.measure("edge", "http_404_ratio", 0.01, 0.7).measure("orders", "requests_per_second", 200, 5)
    s.says("edge", "WARN", "no route found for /api/v1/orders, returning 404")
    s.deploy(
        "guilty",
        67,
        "chore: tidy ingress",
        "deploy/edge/ingress.yaml",
        "-      path: /api/v1/orders\n+      path: /api/orders\n",
        "edge",
    )
    s.deploy("decoy", 66, "feat: orders footer", "services/orders/footer.py", '+FOOTER = "x"\n', "orders", 69.4)
    return s


def msg_size() -> Scene:
    s = Scene("assets", "rpc_error_ratio", "assets rpc fails: message larger than max")
    s.measure("assets", "rpc_error_ratio", 0.001, 0.5)
    s.says(
        "assets",
        "ERROR",
        "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (7340032 vs. 4194304)",
    )
    s.deploy(
        "guilty",
        62,
        "chore: grpc options in one place",
        "pkg/rpc/options.go",
        "-\tgrpc.MaxCallRecvMsgSize(64 << 20),\n+\tgrpc.MaxCallRecvMsgSize(4 << 20),\n",
        "assets",
    )
    s.deploy(
        "decoy",
        66,
        "refactor: asset names",
        "services/assets/names.go",
        "-\treturn a.Name\n+\treturn a.DisplayName()\n",
        "assets",
        69.4,
    )
    return s


def no_await() -> Scene:
    s = Scene("notify", "http_5xx_ratio", "notify fails: client not connected")
    s.measure("notify", "http_5xx_ratio", 0.002, 0.5)
    s.says("notify", "ERROR", "publish failed: client is not connected yet")
    s.deploy(
        "guilty",
        62,
        "refactor: start",
        "services/notify/start.ts",
        "-  await client.connect();\n+  client.connect();\n   await server.listen();\n",
        "notify",
    )
    s.deploy(
        "decoy",
        66,
        "chore: bump mq client",
        "services/notify/package.json",
        '-    "mq": "5.1.0",\n+    "mq": "5.1.1",\n',
        "notify",
        69.4,
    )
    return s


def lower_scan() -> Scene:
    s = Scene("users", "db_query_duration_p99_ms", "users lookup slow, db cpu high")
    s.measure("users", "db_query_duration_p99_ms", 4, 900).measure("users", "db_rows_examined", 1, 900000)
    s.says("users", "WARN", lambda i: f"slow query: SELECT id FROM users WHERE lower(email) = $1 took {800 + i}ms")
    s.deploy(
        "guilty",
        62,
        "fix: case-insensitive login",
        "services/users/repo.go",
        '-\tq := "SELECT id FROM users WHERE email = $1"\n+\tq := "SELECT id FROM users WHERE lower(email) = $1"\n',
        "users",
    )
    s.deploy(
        "decoy",
        66,
        "chore: raise pool",
        "services/users/pool.go",
        "-\tcfg.MaxConns = 20\n+\tcfg.MaxConns = 30\n",
        "users",
        69.4,
    )
    return s


def deadlock() -> Scene:
    s = Scene("transfers", "http_5xx_ratio", "transfers deadlock")
    s.measure("transfers", "http_5xx_ratio", 0.002, 0.3).measure("transfers", "deadlocks_per_minute", 0, 20)
    s.says("transfers", "ERROR", "deadlock detected while locking accounts row; transaction rolled back")
    s.deploy(
        "guilty",
        62,
        "fix: lock both sides",
        "services/transfers/move.py",
        "+    a = session.query(Account).filter_by(id=src).with_for_update().one()\n"
        "+    b = session.query(Account).filter_by(id=dst).with_for_update().one()\n"
        "-    a, b = lock_in_order(session, src, dst)\n",
        "transfers",
    )
    s.deploy(
        "decoy",
        66,
        "feat: transfer memo",
        "services/transfers/memo.py",
        "+def memo(t):\n+    return t.memo\n",
        "transfers",
        69.4,
    )
    return s


def swallow() -> Scene:
    s = Scene("tracker", "panic_count", "tracker crashes on bad user agents")
    s.measure("tracker", "panics_per_minute", 0, 15)
    s.says("tracker", "ERROR", "uncaught SyntaxError: Unexpected token in JSON at position 0 in parseAgent")
    s.deploy(
        "guilty",
        62,
        "refactor: simpler parse",
        "services/tracker/agent.ts",
        "-  try {\n-    return JSON.parse(raw);\n-  } catch (e) {\n-    return {};\n-  }\n+  return JSON.parse(raw);\n",
        "tracker",
        ctx="parseAgent",
    )
    s.deploy(
        "decoy",
        66,
        "chore: tidy types",
        "services/tracker/types.ts",
        "-type A = string\n+type Agent = string\n",
        "tracker",
        69.4,
    )
    return s


CHANGES = (
    (cache_key, "rollback"),
    (redos, "rollback"),
    (enum_case, "rollback"),
    (iam, "config-revert"),
    (visibility, "rollback"),
    (hpa, "config-revert"),
    (alter_lock, "rollback"),
    (cron, "config-revert"),
    (debug_disk, "config-revert"),
    (endless_loop, "rollback"),
    (breaker, "rollback"),
    (utc, "rollback"),
    (cents, "rollback"),
    (ingress, "config-revert"),
    (msg_size, "rollback"),
    (no_await, "rollback"),
    (lower_scan, "rollback"),
    (deadlock, "rollback"),
    (swallow, "rollback"),
)


@pytest.mark.parametrize(("scene", "remediation"), CHANGES, ids=lambda v: getattr(v, "__name__", v))
def test_the_guilty_change_is_named_and_not_the_latest_deploy(scene: Callable[[], Scene], remediation: str) -> None:
    verdict = scene().diagnose()
    assert verdict.enough_evidence
    assert verdict.change == GUILTY, verdict.summary
    assert verdict.remediation == remediation
    assert verdict.confidence >= 0.25
