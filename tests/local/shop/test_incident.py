"""The whole scenario, for real: healthy shop, innocent deploys, the guilty one, alert, roll-back, healthy second start.

One run in a hurry (pace 0.2); every test looks at what it left behind.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from incidentfox.agent.telemetry.openmetrics import read_series
from incidentfox.agent.telemetry.postgres import read_sessions
from incidentfox.agent.telemetry.records import read_changes, read_logs, read_spans
from incidentfox.analysis.signals import Changes, DatabaseSession, LogRecord, Series, Span
from incidentfox.kernel.errors import Unauthenticated
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.local.processes import Supervisor, orphans
from incidentfox.local.shop.database import SHOP_ROLES, ShopDatabase, prepare_shop_database
from incidentfox.local.shop.scenario import Shop, ShopConfig, Stage
from incidentfox.orchestrator.webhooks.source import Action
from incidentfox.orchestrator.webhooks.sources.pagerduty import SOURCE

pytestmark = pytest.mark.anyio

SECRET = "lDQHScfUeXUKaQRNF"
PASSWORDS = {role: f"pw-{role}" for role in SHOP_ROLES}


@dataclass
class Receiver:
    """Takes webhooks; the first one it turns away, as a product that is just restarting would."""

    url: str = ""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    turned_away: list[bytes] = field(default_factory=list)

    def events(self, kind: str) -> list[tuple[dict[str, str], bytes]]:
        return [one for one in self.received if json.loads(one[1])["event"]["event_type"] == kind]


@dataclass
class Seen:
    """What the incident left behind."""

    stages: list[Stage]
    alert: dict[str, Any]
    guilty_sha: str
    sessions: list[DatabaseSession]
    series: list[Series]
    logs: list[LogRecord]
    spans: list[Span]
    changes: Changes
    receiver: Receiver
    resolved: dict[str, Any]
    left_running: dict[str, int]
    second_start: list[Series]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if kept.turned_away:
                kept.received.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(202)
            else:
                kept.turned_away.append(body)
                self.send_response(503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.url = f"http://127.0.0.1:{server.server_port}/webhooks/pagerduty/whe_1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept
        server.shutdown()


@pytest.fixture(scope="module")
async def seen(cluster: EmbeddedPostgres, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("shop")
    database = await asyncio.to_thread(prepare_shop_database, cluster.superuser_url(), PASSWORDS)
    config = ShopConfig(
        folder, database, free_ports("web", "orders", "inventory", "monitor"), receiver.url, SECRET, pace=0.2
    )
    stages: list[Stage] = []
    supervisor = Supervisor(folder / "processes.json")
    shop = Shop(config, supervisor, stages.append)
    try:
        await shop.start()
        alert = await shop.break_it()
        sessions = await eventually_blocked(database)
        feeds = await read_feeds(shop)
        await until(lambda: bool(receiver.events("incident.triggered")))
        await shop.roll_back()
        await until(lambda: bool(receiver.events("incident.resolved")), 30.0)
        resolved = json.loads(receiver.events("incident.resolved")[0][1])["event"]
    finally:
        await shop.stop()
    left_running = orphans(folder / "processes.json")
    return Seen(
        stages, alert, shop.guilty.sha, sessions, *feeds, receiver, resolved, left_running, await start_again(config)
    )


async def start_again(config: ShopConfig) -> list[Series]:
    """A second start on the same data: what its monitor says after some traffic."""
    shop = Shop(config, Supervisor(config.run_dir / "processes.json"), lambda _: None)
    try:
        await shop.start()
        for _ in range(100):
            series = (await read_feeds(shop))[0]
            served = next((s for s in series if (s.service, s.metric) == ("inventory", "request_rate")), None)
            if served is not None and sum(served.values) > 10:
                return series
            await asyncio.sleep(0.2)
        pytest.fail("the second shop serves nobody")
    finally:
        await shop.stop()


async def read_feeds(shop: Shop) -> tuple[list[Series], list[LogRecord], list[Span], Changes]:
    """The four feeds, read with the agent's own readers."""
    async with httpx2.AsyncClient(base_url=shop.url("monitor"), timeout=10.0) as http:
        metrics, logs, traces, changes = [
            await http.get(path, params={"since": 0}) for path in ("/metrics", "/logs", "/traces", "/changes")
        ]
    changed = changes.json()
    return (
        read_series(metrics.text, "metrics"),
        read_logs((json.loads(line) for line in logs.text.splitlines()), "logs"),
        read_spans((json.loads(line) for line in traces.text.splitlines()), "traces"),
        read_changes(changed["commits"], changed["deploys"], changed["flags"], ()),
    )


async def eventually_blocked(database: ShopDatabase) -> list[DatabaseSession]:
    for _ in range(100):
        sessions = await read_sessions(database.monitor_url)
        if any(session.blocked_by for session in sessions):
            return sessions
        await asyncio.sleep(0.1)
    pytest.fail("nobody waits for a lock")


async def until(condition: Any, seconds: float = 15.0) -> None:
    for _ in range(int(seconds * 10)):
        if condition():
            return
        await asyncio.sleep(0.1)
    pytest.fail("not in time")


def free_ports(*names: str) -> dict[str, int]:
    probes = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: int(probe.getsockname()[1]) for name, probe in probes.items()}
    for probe in probes.values():
        probe.close()
    return ports


def values(seen: list[Series], service: str, metric: str) -> tuple[float, ...]:
    return next(series.values for series in seen if (series.service, series.metric) == (service, metric))


async def test_the_webhook_is_signed_and_says_what_fired(seen: Seen) -> None:
    headers, body = seen.receiver.events("incident.triggered")[0]
    SOURCE.verify(headers, body, [SECRET], now=0.0)
    with pytest.raises(Unauthenticated):
        SOURCE.verify(headers, body + b" ", [SECRET], now=0.0)
    event = SOURCE.parse(headers, body)
    assert event.action is Action.TRIGGER
    assert {identifier.value for identifier in event.identifiers} == {"PSHOP01", "web"}
    assert event.alert is not None
    assert (event.alert.service, event.alert.metric) == ("web", "http_server_duration_p99_ms")
    assert event.alert.observed is not None
    assert event.alert.observed > 1000


async def test_a_webhook_that_was_turned_away_comes_again_with_the_same_id(seen: Seen) -> None:
    assert seen.receiver.turned_away == [body for _, body in seen.receiver.events("incident.triggered")]


async def test_the_incident_is_resolved_by_the_roll_back(seen: Seen) -> None:
    assert seen.resolved["data"]["id"] == seen.alert["incident_id"]
    assert seen.resolved["data"]["status"] == "resolved"


async def test_the_alert_is_not_raised_for_the_guilty_service(seen: Seen) -> None:
    assert seen.alert["service"] == "web"
    assert next(deploy.service for deploy in seen.changes.deploys if deploy.sha == seen.guilty_sha) == "inventory"


async def test_the_guilty_deploy_is_neither_the_first_nor_the_last(seen: Seen) -> None:
    shas = [deploy.sha for deploy in seen.changes.deploys]
    assert len(shas) == 4
    assert shas.index(seen.guilty_sha) == 2
    failing = min(record.time for record in seen.logs if record.severity == "ERROR")
    assert seen.changes.deploys[2].time < failing


async def test_the_change_feed_holds_the_commit_with_its_true_diff(seen: Seen) -> None:
    commit = next(commit for commit in seen.changes.commits if commit.sha == seen.guilty_sha)
    assert commit.diff is not None
    assert "-    async with shop.pool.acquire(timeout=2.0) as connection, connection.transaction():" in commit.diff
    assert {deploy.sha for deploy in seen.changes.deploys} <= {commit.sha for commit in seen.changes.commits}


async def test_postgres_shows_who_holds_the_lock(seen: Seen) -> None:
    holders = {session.pid: session for session in seen.sessions if session.state == "idle in transaction"}
    assert {session.application for session in holders.values()} == {"shop-inventory"}
    blockers = {pid for session in seen.sessions for pid in session.blocked_by}
    assert blockers & holders.keys()
    assert all("UPDATE stock" in session.query for session in holders.values())


async def test_the_error_travels_up_the_chain(seen: Seen) -> None:
    failed = {record.service for record in seen.logs if record.severity == "ERROR"}
    assert failed == {"web", "orders", "inventory"}
    assert any("canceling statement due to lock timeout" in record.message for record in seen.logs)


async def test_a_trace_runs_from_the_customer_to_the_statement(seen: Seen) -> None:
    by_id = {span.span_id: span for span in seen.spans}
    waiting = next(s for s in seen.spans if s.name == "UPDATE shop" and s.status == "ERROR" and s.parent_id in by_id)
    path, span = [waiting.service], waiting
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        path.append(f"{span.service} {span.kind}")
    assert path == [
        "inventory",
        "inventory SERVER",
        "orders CLIENT",
        "orders SERVER",
        "web CLIENT",
        "web SERVER",
    ]
    assert waiting.duration_ms > 1900


async def test_metrics_tell_before_from_after(seen: Seen) -> None:
    assert values(seen.series, "inventory", "db_sessions_idle_in_transaction")[-1] >= 1
    assert values(seen.series, "orders", "db_sessions_idle_in_transaction")[-1] == 0
    assert max(values(seen.series, "web", "http_server_duration_p99_ms")[:4]) < 1000
    assert max(values(seen.series, "web", "http_server_duration_p99_ms")) > 1000
    assert values(seen.series, "inventory", "http_5xx_ratio")[0] == 0


async def test_innocent_deploys_lose_no_request(seen: Seen) -> None:
    guilty_at = seen.changes.deploys[2].time
    assert [record for record in seen.logs if record.time < guilty_at and record.severity == "ERROR"] == []
    versions = [record.message for record in seen.logs if record.message.endswith("started")]
    assert "web 5.3.0 started" in versions, "records of both instances are kept"


async def test_stages_are_told_in_order(seen: Seen) -> None:
    assert [stage.name for stage in seen.stages] == ["started", *["deploy"] * 4, "alert", "deploy", "rollback"]


async def test_nothing_is_left_running(seen: Seen) -> None:
    assert seen.left_running == {}


async def test_a_second_start_begins_healthy(seen: Seen) -> None:
    assert max(values(seen.second_start, "web", "http_5xx_ratio")) == 0
    assert max(values(seen.second_start, "inventory", "db_sessions_waiting_for_lock")) == 0
