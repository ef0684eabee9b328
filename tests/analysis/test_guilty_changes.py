"""Invented incidents that a change caused, against decoys: the whole analysis end to end.

They guard against rules that fit the recorded incidents only.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.analysis.scenes import GUILTY, MINUTE, START, Scene

from incidentfox.analysis.signals import FlagChange


def memory_leak() -> Scene:
    s = Scene("media", "memory_rss_bytes", "media pods restarting: OOMKilled", fired=92)
    s.measure("media", "memory_rss_bytes", 4e8, 2e9, at=40, drift=True).measure("media", "restarts_total", 1, 4, at=88)
    s.measure("edge", "http_5xx_ratio", 0.004, 0.2, at=88).chatter("media", "resized image")
    s.says("media", "ERROR", "container terminated: OOMKilled (exit code 137), heap exhausted", at=88, n=6)
    s.commit(
        "guilty",
        35,
        "feat: remember thumbnails",
        "services/media/thumbs.go",
        "@@ services/media/thumbs.go @@ func (s *Store) Thumb(id string) []byte {\n"
        "+\ts.thumbs[id] = render(id)\n"
        "+\treturn s.thumbs[id]\n"
        "-\treturn render(id)\n",
        to="media",
    )
    s.commit(
        "decoy",
        84,
        "fix: header of media page",
        "services/media/page.go",
        '@@ services/media/page.go @@\n-\tw.Header().Set("X-A", "1")\n+\tw.Header().Set("X-A", "2")\n',
        to="media",
    )
    return s


def retry_storm() -> Scene:
    s = Scene("ledger", "requests_per_second", "ledger overloaded, 503 to callers")
    s.measure("ledger", "requests_per_second", 200, 1900).measure("ledger", "http_5xx_ratio", 0.003, 0.5)
    s.measure("billing", "http_client_retries_per_second", 2, 900)
    s.says("billing", "WARN", lambda i: f"call to ledger failed, retry attempt {i % 9 + 1} without backoff", n=40)
    s.says("ledger", "ERROR", "rejecting request: overload, 503")
    s.commit(
        "guilty",
        60,
        "chore: make ledger client more resilient",
        "services/billing/client.py",
        "@@ services/billing/client.py @@ class LedgerClient:\n"
        "-    max_attempts = 2\n"
        "+    max_attempts = 12\n"
        "-    sleep(backoff(attempt))\n",
        to="billing",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "refactor: split ledger handler",
        "services/ledger/handler.py",
        "@@ services/ledger/handler.py @@\n"
        "-    return reply(post(entry))\n"
        "+    result = post(entry)\n"
        "+    return reply(result)\n",
        to="ledger",
        live=69.5,
    )
    return s


def memory_limit_config() -> Scene:
    s = Scene("search", "pod_restarts", "search pods crash looping")
    s.measure("search", "pod_restarts_per_minute", 0.1, 6).measure("search", "http_5xx_ratio", 0.004, 0.6)
    s.says("search", "ERROR", "Back-off restarting failed container search: OOMKilled, memory limit reached")
    s.commit(
        "guilty",
        66,
        "chore: right-size search",
        "deploy/search/values.yaml",
        "@@ deploy/search/values.yaml @@\n resources:\n   limits:\n-    memory: 2Gi\n+    memory: 128Mi\n",
        to="search",
    )
    s.commit(
        "decoy",
        67,
        "feat: sort by date",
        "services/search/sort.go",
        "@@ services/search/sort.go @@\n+\tsort.Slice(r, func(i, j int) bool { return r[i].At < r[j].At })\n",
        to="search",
    )
    return s


def dropped_index() -> Scene:
    s = Scene("orders", "db_query_duration_p99_ms", "orders queries slow")
    s.measure("orders", "db_query_duration_p99_ms", 12, 2400).measure("orders", "db_cpu_pct", 20, 97)
    s.says(
        "orders",
        "WARN",
        lambda i: f"slow query: SELECT * FROM order_lines WHERE customer_id=$1 took {2000 + i}ms seq scan",
    )
    s.commit(
        "guilty",
        62,
        "chore: remove unused objects",
        "db/migrations/0117_cleanup.sql",
        "@@ db/migrations/0117_cleanup.sql @@\n+DROP INDEX order_lines_customer_id_idx;\n",
        to="orders",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "feat: order notes",
        "services/orders/notes.py",
        "@@ services/orders/notes.py @@\n+def add_note(order, text):\n+    order.notes = text\n",
        to="orders",
        live=69.5,
    )
    return s


def flag_wakes_code() -> Scene:
    s = Scene("pricing", "http_5xx_ratio", "pricing errors: division by zero in tier discount")
    s.measure("pricing", "http_5xx_ratio", 0.003, 0.4).quiet("pricing", "http_p99_ms", 80)
    s.says("pricing", "ERROR", "ZeroDivisionError: division by zero in tier_discount for basket")
    s.commit(
        "guilty",
        10,
        "feat: tiered discounts",
        "services/pricing/tiers.py",
        "@@ services/pricing/tiers.py @@\n"
        '+    if flags.enabled("tiered_discounts"):\n'
        "+        return total / len(tier_discount(basket))\n",
        to="pricing",
        live=15,
    )
    s.commit(
        "decoy",
        66,
        "refactor: tidy pricing imports",
        "services/pricing/app.py",
        "@@ services/pricing/app.py @@\n-import os, sys\n+import os\n+import sys\n",
        to="pricing",
    )
    s.flags.append(FlagChange(START + MINUTE * 69.5, "tiered_discounts", "pricing", "off->on", "dev"))
    return s


def wrong_audience() -> Scene:
    s = Scene("gateway", "http_401_ratio", "gateway rejects most tokens with 401")
    s.measure("gateway", "http_401_ratio", 0.01, 0.9).measure("web", "login_failures_per_minute", 2, 300)
    s.says("gateway", "ERROR", "jwt rejected: invalid audience, expected shop-api-v2")
    s.commit(
        "guilty",
        64,
        "refactor: auth settings",
        "services/gateway/auth.ts",
        '@@ services/gateway/auth.ts @@\n-  audience: "shop-api",\n+  audience: "shop-api-v2",\n',
        to="gateway",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "chore: bump jwt library",
        "services/gateway/package.json",
        '@@ services/gateway/package.json @@\n-    "jwt-lib": "9.0.1",\n+    "jwt-lib": "9.0.2",\n',
        to="gateway",
        live=69,
    )
    return s


def missing_setting() -> Scene:
    s = Scene("mailer", "pod_ready_ratio", "mailer not ready after rollout")
    s.measure("mailer", "pod_ready_ratio", 1.0, 0.0).measure("mailer", "restarts_per_minute", 0.05, 5)
    s.says("mailer", "FATAL", "startup failed: KeyError: 'MAIL_REGION' is not configured")
    s.commit(
        "guilty",
        66,
        "feat: regional relays",
        "services/mailer/main.py",
        "@@ services/mailer/main.py @@\n"
        '+    region = os.environ["MAIL_REGION"]\n'
        "-    relay = Relay()\n"
        "+    relay = Relay(region)\n",
        to="mailer",
        live=69,
    )
    s.commit(
        "decoy",
        67,
        "docs: mailer runbook",
        "docs/mailer.md",
        "@@ docs/mailer.md @@\n+Restart with care.\n",
        to="mailer",
        live=69.2,
    )
    return s


def per_item_queries() -> Scene:
    s = Scene("catalog", "http_server_duration_p99_ms", "catalog listing slow")
    s.measure("catalog", "http_server_duration_p99_ms", 90, 3000).measure(
        "postgres", "db_queries_per_second", 300, 9000
    )
    s.says("catalog", "WARN", lambda i: f"listing took {2000 + i}ms, 812 queries in one request")
    s.commit(
        "guilty",
        63,
        "refactor: readable listing",
        "services/catalog/listing.py",
        "@@ services/catalog/listing.py @@ def listing(page):\n"
        "-    prices = repo.prices_for_all(ids)\n"
        "+    for item in items:\n"
        "+        item.price = repo.find_price(item.id)\n",
        to="catalog",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "feat: footer links",
        "web/src/footer.tsx",
        "@@ web/src/footer.tsx @@\n+  <a href='/about'>About</a>\n",
        to="web",
        live=69.5,
    )
    return s


def descriptor_leak() -> Scene:
    s = Scene("webhook", "open_fds", "webhook: too many open files", fired=90)
    s.measure("webhook", "open_fds", 200, 60000, at=45, drift=True).measure(
        "webhook", "http_5xx_ratio", 0.002, 0.7, at=86
    )
    s.says("webhook", "ERROR", "dial: socket: too many open files", at=86)
    s.commit(
        "guilty",
        40,
        "refactor: shorter post",
        "services/webhook/post.go",
        "@@ services/webhook/post.go @@ func post(u string) error {\n"
        " \tresp, err := client.Do(req)\n"
        "-\tdefer resp.Body.Close()\n"
        "-\treturn check(resp, err)\n"
        "+\treturn check(resp, err)\n",
        to="webhook",
    )
    s.commit(
        "decoy",
        82,
        "feat: webhook names",
        "services/webhook/names.go",
        "@@ services/webhook/names.go @@\n+func name(h Hook) string { return h.Label }\n",
        to="webhook",
    )
    return s


def poll_too_much() -> Scene:
    s = Scene("indexer", "consumer_lag", "indexer consumer lag rising")
    s.measure("indexer", "consumer_lag", 50, 90000, drift=True).measure("indexer", "rebalances_per_minute", 0.02, 4)
    s.says("indexer", "WARN", "consumer left the group: max.poll.interval exceeded, rebalance in progress")
    s.commit(
        "guilty",
        64,
        "perf: bigger bites",
        "services/indexer/consumer.yaml",
        "@@ services/indexer/consumer.yaml @@\n-max_poll_records: 200\n+max_poll_records: 20000\n",
        to="indexer",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "chore: rename a log field",
        "services/indexer/log.go",
        '@@ services/indexer/log.go @@\n-\tlog.Info("done", "n", n)\n+\tlog.Info("done", "count", n)\n',
        to="indexer",
        live=69.5,
    )
    return s


def wrong_port() -> Scene:
    s = Scene("checkout", "upstream_error_ratio", "checkout cannot reach tax")
    s.measure("checkout", "upstream_error_ratio", 0.004, 1.0).quiet("tax", "http_p99_ms", 30)
    s.says("checkout", "ERROR", "dial tcp 10.1.4.7:8081: connect: connection refused calling tax")
    s.commit(
        "guilty",
        67,
        "chore: tidy endpoints",
        "deploy/checkout/endpoints.yaml",
        "@@ deploy/checkout/endpoints.yaml @@\n"
        "-tax_url: http://tax.internal:8080\n"
        "+tax_url: http://tax.internal:8081\n",
        to="checkout",
    )
    s.commit(
        "decoy",
        67,
        "feat: tax labels",
        "services/tax/labels.py",
        "@@ services/tax/labels.py @@\n+LABELS = {}\n",
        to="tax",
    )
    return s


def lost_mutex() -> Scene:
    s = Scene("session", "panic_count", "session panics")
    s.measure("session", "panics_per_minute", 0, 20).measure("edge", "http_5xx_ratio", 0.004, 0.3)
    s.says("session", "ERROR", "fatal error: concurrent map read and map write in session.Registry")
    s.commit(
        "guilty",
        61,
        "perf: cheaper registry",
        "services/session/registry.go",
        "@@ services/session/registry.go @@ func (r *Registry) Put(k string, v Session) {\n"
        "-\tr.mu.Lock()\n"
        "-\tdefer r.mu.Unlock()\n"
        " \tr.m[k] = v\n",
        to="session",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "feat: session age label",
        "services/session/label.go",
        "@@ services/session/label.go @@\n+func age(s Session) string { return s.Born.String() }\n",
        to="session",
        live=69.5,
    )
    return s


def limiter_lowered() -> Scene:
    s = Scene("api", "http_429_ratio", "api refuses requests with 429")
    s.measure("api", "http_429_ratio", 0.001, 0.7).quiet("api", "requests_per_second", 800)
    s.says("api", "WARN", "rate limit exceeded for tenant, returning 429 Too Many Requests")
    s.commit(
        "guilty",
        64,
        "chore: limiter defaults",
        "pkg/limiter/defaults.go",
        "@@ pkg/limiter/defaults.go @@\n-const DefaultRatePerSecond = 2000\n+const DefaultRatePerSecond = 200\n",
        to="api",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "refactor: route table",
        "services/api/routes.go",
        '@@ services/api/routes.go @@\n-\tr.Get("/a", a)\n-\tr.Get("/b", b)\n+\tr.Get("/b", b)\n+\tr.Get("/a", a)\n',
        to="api",
        live=69.5,
    )
    return s


def tls_floor() -> Scene:
    s = Scene("partner-api", "tls_handshake_failures", "partners fail to connect: tls handshake failure")
    s.measure("partner-api", "tls_handshake_failures_per_minute", 0.2, 120)
    s.says(
        "partner-api",
        "ERROR",
        "tls: handshake failure: client offered only unsupported versions, protocol version not supported",
    )
    s.commit(
        "guilty",
        65,
        "chore: harden listener",
        "services/partner/server.go",
        "@@ services/partner/server.go @@\n-\tMinVersion: tls.VersionTLS12,\n+\tMinVersion: tls.VersionTLS13,\n",
        to="partner-api",
        live=69,
    )
    s.commit(
        "decoy",
        66,
        "feat: partner names",
        "services/partner/names.go",
        "@@ services/partner/names.go @@\n+func names() []string { return nil }\n",
        to="partner-api",
        live=69.5,
    )
    return s


CHANGES = (
    (memory_leak, "rollback"),
    (retry_storm, "rollback"),
    (memory_limit_config, "config-revert"),
    (dropped_index, "rollback"),
    (flag_wakes_code, "feature-flag-disable"),
    (wrong_audience, "rollback"),
    (missing_setting, "roll-forward"),
    (per_item_queries, "rollback"),
    (descriptor_leak, "rollback"),
    (poll_too_much, "config-revert"),
    (wrong_port, "config-revert"),
    (lost_mutex, "rollback"),
    (limiter_lowered, "rollback"),
    (tls_floor, "rollback"),
)


@pytest.mark.parametrize(("scene", "remediation"), CHANGES, ids=lambda v: getattr(v, "__name__", v))
def test_the_guilty_change_is_named_and_not_the_latest_deploy(scene: Callable[[], Scene], remediation: str) -> None:
    verdict = scene().diagnose()
    assert verdict.enough_evidence
    assert verdict.change == GUILTY, verdict.summary
    assert verdict.remediation == remediation
    assert verdict.confidence >= 0.3
