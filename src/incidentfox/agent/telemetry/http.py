"""Telemetry of a live system over plain HTTP, and of its Postgres.

Each source is a URL of the team's configuration that answers `GET …?since=<Unix seconds>`:

* metrics: OpenMetrics text with timestamps (`openmetrics.py` says what becomes of it);
* logs and traces: NDJSON, one record or span a line, in the form of a recorded incident;
* changes: one JSON object `{commits, deploys, flags}` (and, where known, `notices`).

Every read has a limit of size and of time. What was read is kept for the run. The URLs are a tenant's: none is followed
to an address where only the host's own secrets are (`kernel/egress.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx2

from incidentfox.agent.telemetry.openmetrics import read_series
from incidentfox.agent.telemetry.postgres import read_sessions
from incidentfox.agent.telemetry.protocol import NoSuchSignal, Signal, Window
from incidentfox.agent.telemetry.records import (
    json_document,
    json_lines,
    read_changes,
    read_logs,
    read_notices,
    read_spans,
)
from incidentfox.analysis.signals import (
    Changes,
    DatabaseSession,
    LogPattern,
    LogRecord,
    Series,
    Span,
    StatusNotice,
)
from incidentfox.contracts.configuration import TelemetryIntegration
from incidentfox.kernel.egress import check_address, check_url
from incidentfox.kernel.errors import Permanent, TooLarge, Unavailable
from incidentfox.kernel.tls import trust

MAX_BYTES = 32 * 1024 * 1024
"""The most that one source may send for one run."""
READ_TIMEOUT_S = 15.0
CHANGES_LOOKBACK_S = 86_400.0
"""Changes are read at least a day back: a harmful one may sleep for hours before its symptom shows."""

Value = TypeVar("Value")


class SourceRefused(Permanent):
    """A telemetry source answered with a client error; the URL in the configuration is probably wrong."""

    default_code = "telemetry_refused"


class HttpTelemetry:
    """The live backend. `database_url` fetches the secret when (and only if) the database is asked."""

    def __init__(
        self,
        integration: TelemetryIntegration,
        window: Window,
        database_url: Callable[[], Awaitable[str]],
        *,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self._integration = integration
        self._window = window
        self._database_url = database_url
        timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=3.0)
        self._http = http or httpx2.AsyncClient(timeout=timeout, verify=trust())
        self._kept: dict[str, Any] = {}

    async def available(self) -> frozenset[Signal]:
        """The signals that have a URL."""
        found = {signal for signal in Signal if self._url(signal)}
        if self._integration.database_url is not None:
            found.add(Signal.DATABASE)
        return frozenset(found)

    async def metrics(self) -> Sequence[Series]:
        """Derived series within the window."""

        async def read() -> list[Series]:
            text = await self._get(Signal.METRICS, self._window.start)
            return await asyncio.to_thread(self._clipped_series, text)

        return await self._once("metrics", read)

    async def logs(self) -> Sequence[LogRecord]:
        """Records within the window."""

        async def read() -> list[LogRecord]:
            text = await self._get(Signal.LOGS, self._window.start)
            records = await asyncio.to_thread(lambda: read_logs(json_lines(text, "the log feed"), "the log feed"))
            return [record for record in records if self._window.start <= record.time <= self._window.end]

        return await self._once("logs", read)

    async def patterns(self) -> Sequence[LogPattern]:
        """The live feed does not count signatures."""
        return ()

    async def traces(self) -> Sequence[Span]:
        """Spans that started within the window."""

        async def read() -> list[Span]:
            text = await self._get(Signal.TRACES, self._window.start)
            spans = await asyncio.to_thread(lambda: read_spans(json_lines(text, "the span feed"), "the span feed"))
            return [span for span in spans if self._window.start <= span.start <= self._window.end]

        return await self._once("traces", read)

    async def changes(self) -> Changes:
        """Changes up to the end of the window, at least a day back."""

        async def read() -> Changes:
            since = min(self._window.start, self._window.end - CHANGES_LOOKBACK_S)
            document = json_document(await self._get(Signal.CHANGES, since), "the change feed") or {}
            found = read_changes(
                document.get("commits") or [],
                document.get("deploys") or [],
                document.get("flags") or [],
                read_notices(document.get("notices"), "the status feed"),
            )
            until = self._window.end
            return Changes(
                commits=tuple(commit for commit in found.commits if commit.time <= until),
                deploys=tuple(deploy for deploy in found.deploys if deploy.time <= until),
                flags=tuple(flag for flag in found.flags if flag.time <= until),
                notices=found.notices,
            )

        return await self._once("changes", read)

    async def database(self) -> Sequence[DatabaseSession]:
        """Sessions as they are now; asked anew each time."""
        if self._integration.database_url is None:
            raise NoSuchSignal(Signal.DATABASE)
        return await read_sessions(await self._database_url())

    async def notices(self) -> Sequence[StatusNotice]:
        """The change feed may carry a status feed."""
        return (await self.changes()).notices

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    def _url(self, signal: Signal) -> str | None:
        urls = {
            Signal.METRICS: self._integration.metrics_url,
            Signal.LOGS: self._integration.logs_url,
            Signal.TRACES: self._integration.traces_url,
            Signal.CHANGES: self._integration.changes_url,
        }
        return urls.get(signal)

    def _clipped_series(self, text: str) -> list[Series]:
        start, end = self._window.start, self._window.end
        clipped = []
        for series in read_series(text, "the metrics feed"):
            kept = [(t, v) for t, v in zip(series.times, series.values, strict=True) if start <= t <= end]
            if kept:
                times, values = zip(*kept, strict=True)
                clipped.append(Series(series.service, series.metric, times, values))
        return clipped

    async def _once(self, key: str, read: Callable[[], Awaitable[Value]]) -> Value:
        if key not in self._kept:
            self._kept[key] = await read()
        value: Value = self._kept[key]
        return value

    async def _get(self, signal: Signal, since: float) -> str:
        url = self._url(signal)
        if url is None:
            raise NoSuchSignal(signal)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await check_url(url)
                async with self._http.stream("GET", url, params={"since": f"{since:.3f}"}) as response:
                    return await _text(signal, response)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise Unavailable(f"The source of {signal} did not answer ({type(error).__name__}).") from error


async def _text(signal: Signal, response: httpx2.Response) -> str:
    # A name may lead elsewhere the second time it is asked; nothing of the answer has been read yet.
    check_address(str(response.extensions["network_stream"].get_extra_info("server_addr")[0]))
    if response.is_client_error:
        raise SourceRefused(f"The source of {signal} answered {response.status_code}.")
    if not response.is_success:
        raise Unavailable(f"The source of {signal} answered {response.status_code}.")
    received = bytearray()
    async for chunk in response.aiter_bytes():
        received += chunk
        if len(received) > MAX_BYTES:
            raise TooLarge(f"The source of {signal} sent more than {MAX_BYTES} bytes.")
    return received.decode("utf-8", "replace")
