"""The shop's monitor as a process: `python -m incidentfox.local.shop.monitor`. Scrapes, remembers, alerts.

    GET /metrics?since=   OpenMetrics with timestamps, one point a second (history.py)
    GET /logs?since=      NDJSON of all services, oldest first
    GET /traces?since=    NDJSON of all services' spans
    GET /changes?since=   {"commits": […], "deploys": […], "flags": []}
    GET /alerts           {"alerts": […]}, newest last
    GET /readyz

`since` is in Unix seconds. What it tells of Postgres (sessions that idle in a transaction, that wait for a lock, the
longest transaction) it attributes to the service that opened the session, by its application name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx2
import uvicorn
from prometheus_client import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from incidentfox.local.shop.alerting import Alert, Courier, Rule, RuleState, webhook_body
from incidentfox.local.shop.calls import once_more
from incidentfox.local.shop.changes import read_changes
from incidentfox.local.shop.history import KEPT_S, History, Sample, from_metrics, parse_exposition
from incidentfox.local.shop.settings import MonitorSettings
from incidentfox.local.shop.telemetry import record_time

_SCRAPE_S = 1.0
_KEPT_LINES = 60_000

_SESSIONS = """
SELECT substr(application_name, 6) AS service,
       count(*)::float8 AS open,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%')::float8 AS idle_in_transaction,
       count(*) FILTER (WHERE wait_event_type = 'Lock')::float8 AS waiting,
       coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS longest
FROM pg_stat_activity
WHERE datname = current_database() AND application_name IN ('shop-web', 'shop-orders', 'shop-inventory')
GROUP BY application_name
"""
_SESSION_METRICS = {
    "open": ("db_sessions", "Sessions in Postgres."),
    "idle_in_transaction": ("db_sessions_idle_in_transaction", "Sessions that hold a transaction and do nothing."),
    "waiting": ("db_sessions_waiting_for_lock", "Sessions that wait for another's lock."),
    "longest": ("db_longest_transaction_seconds", "Age of the oldest open transaction."),
}


class Feed:
    """The lines of one kind (logs or traces) of all services, as they were collected."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lines: deque[tuple[float, bytes]] = deque(maxlen=_KEPT_LINES)
        self._offsets: dict[str, int] = {}

    async def collect(self, http: httpx2.AsyncClient, service: str, url: str) -> None:
        """Takes over what `service` has written since the last time."""
        params = {"offset": self._offsets.get(service, 0)}
        answer = await once_more(lambda: http.get(url + self.path, params=params))
        if answer.is_success:
            self._offsets[service] = int(answer.headers["x-next-offset"])
            self._lines.extend((record_time(json.loads(line)), line) for line in answer.content.splitlines())

    def since(self, moment: float) -> bytes:
        """NDJSON, oldest first."""
        return b"".join(line + b"\n" for at, line in sorted(self._lines) if at >= moment)


class Monitor:
    """Watches the services and serves what it saw."""

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings
        self._history = History()
        self._logs, self._traces = Feed("/logs"), Feed("/traces")
        self._alerts: list[Alert] = []
        rule = Rule(settings.alert_service, settings.alert_threshold_ms, settings.alert_for_s)
        self._rule = RuleState(rule)
        self._courier: Courier | None = None
        if settings.webhook_url is not None and settings.webhook_secret is not None:
            self._courier = Courier(settings.webhook_url, settings.webhook_secret.get_secret_value(), _say)
        routes = [
            Route("/metrics", self._serve_metrics),
            Route("/logs", self._serve_logs),
            Route("/traces", self._serve_traces),
            Route("/changes", self._serve_changes),
            Route("/alerts", self._serve_alerts),
            Route("/readyz", self._serve_readyz),
        ]
        self.app = Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._watch())]
        if self._courier is not None:
            tasks.append(asyncio.create_task(self._courier.run()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        limits = httpx2.Limits(max_keepalive_connections=0)  # a deploy would close kept ones under us
        loop = asyncio.get_running_loop()
        async with httpx2.AsyncClient(timeout=2.0, limits=limits) as http:
            database = await asyncpg.create_pool(self._settings.database_url.get_secret_value(), min_size=1, max_size=1)
            while True:
                began = loop.time()
                await self._look(http, database)
                await asyncio.sleep(max(0.0, began + _SCRAPE_S - loop.time()))

    async def _look(self, http: httpx2.AsyncClient, database: asyncpg.Pool) -> None:
        now = time.time()
        watched = (self._scrape(http, service, url) for service, url in self._settings.targets.items())
        sessions, *scraped = await asyncio.gather(_session_metrics(database), *watched)
        self._history.add(now, sessions, *scraped)
        settings = self._settings
        p99_s = self._history.p99(
            settings.alert_service, "http_server_request_duration_seconds", settings.alert_window_s
        )
        changed = self._rule.judge(now, None if p99_s is None else p99_s * 1000)
        if changed is not None:
            self._announce(changed)

    async def _scrape(self, http: httpx2.AsyncClient, service: str, url: str) -> dict[tuple[str, str], list[Sample]]:
        try:
            answer = await once_more(lambda: http.get(f"{url}/metrics"))
            await self._logs.collect(http, service, url)
            await self._traces.collect(http, service, url)
        except httpx2.TransportError as error:
            _say(f"{service} was not scraped: {type(error).__name__}")
            return {}
        return parse_exposition(answer.text, service) if answer.is_success else {}

    def _announce(self, alert: Alert) -> None:
        self._alerts = [known for known in self._alerts if known.incident_id != alert.incident_id] + [alert]
        _say(f"{'resolved' if alert.resolved_at else 'firing'}: {alert.summary}")
        if self._courier is not None:
            self._courier.post(webhook_body(alert, self._settings.pagerduty_service_id, len(self._alerts)))

    async def _serve_metrics(self, request: Request) -> Response:
        text = await asyncio.to_thread(self._history.exposition, _since(request))
        return Response(text, media_type="application/openmetrics-text; version=1.0.0; charset=utf-8")

    async def _serve_logs(self, request: Request) -> Response:
        return Response(self._logs.since(_since(request)), media_type="application/x-ndjson")

    async def _serve_traces(self, request: Request) -> Response:
        return Response(self._traces.since(_since(request)), media_type="application/x-ndjson")

    async def _serve_changes(self, request: Request) -> Response:
        since = float(request.query_params.get("since", "0"))
        return JSONResponse(read_changes(self._settings.changes_file, since))

    async def _serve_alerts(self, _: Request) -> Response:
        return JSONResponse({"alerts": [asdict(alert) for alert in self._alerts]})

    async def _serve_readyz(self, _: Request) -> Response:
        return JSONResponse({"status": "ready"})


async def _session_metrics(database: asyncpg.Pool) -> dict[tuple[str, str], list[Sample]]:
    try:
        rows = await database.fetch(_SESSIONS, timeout=2.0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        _say(f"Postgres was not asked: {type(error).__name__}")
        return {}
    metrics = []
    for column, (name, help_text) in _SESSION_METRICS.items():
        metric = Metric(name, help_text, "gauge")
        for row in rows:
            metric.add_sample(name, {"service": row["service"]}, row[column])
        metrics.append(metric)
    return from_metrics(metrics)


def _since(request: Request) -> float:
    return float(request.query_params.get("since", time.time() - KEPT_S))


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """Serves until SIGTERM."""
    settings = MonitorSettings()
    app: Any = Monitor(settings).app
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
