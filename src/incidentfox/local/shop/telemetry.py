"""What a service of the shop tells about itself: log records, spans and metrics.

Records and spans are appended to NDJSON files that both instances of a service share while a deploy hands over, in the
form of a recorded incident (`timestamp, service, severity_text, msg, trace_id` and `trace_id, span_id, parent_id,
service, name, kind, start, duration_ms, status, error`). Traces are carried by `traceparent`
(www.w3.org/TR/trace-context). Metrics have OpenTelemetry's names in Prometheus' spelling.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FEED_BYTES = 8_000_000


@dataclass
class Span:
    """One operation in flight. `fail` marks it as an error."""

    name: str
    kind: str
    trace_id: str
    parent_id: str | None
    attributes: dict[str, Any]
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    started_at: float = field(default_factory=time.time)
    error: str | None = None

    def fail(self, error: str) -> None:
        """Marks the span as failed."""
        self.error = error

    @property
    def traceparent(self) -> str:
        """What is sent to the next service."""
        return f"00-{self.trace_id}-{self.span_id}-01"


_current: ContextVar[Span | None] = ContextVar("shop_span", default=None)


def current_span() -> Span | None:
    """The innermost span of the running task."""
    return _current.get()


class Telemetry:
    """The records, spans and metrics of one service process."""

    def __init__(self, service: str, version: str, folder: Path) -> None:
        self.service = service
        self.version = version
        self.registry = CollectorRegistry()
        self._logs = logs_file(folder, service).open("ab", buffering=0)
        self._spans = spans_file(folder, service).open("ab", buffering=0)
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self.registry)
        self.requests = Histogram(
            "http_server_request_duration_seconds",
            "Duration of the requests that were served.",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.active = Gauge("http_server_active_requests", "Requests in flight.", registry=self.registry)
        self.statements = Histogram(
            "db_client_operation_duration_seconds", "Duration of SQL.", buckets=BUCKETS, registry=self.registry
        )
        self.statement_errors = Counter(
            "db_client_operation_errors", "SQL that failed.", ("error_type",), registry=self.registry
        )

    def log(self, severity: str, message: str, **fields: Any) -> None:
        """Writes one record, with the trace it belongs to."""
        span = _current.get()
        record = {
            "timestamp": iso(time.time()),
            "service": self.service,
            "severity_text": severity,
            "msg": message,
            "trace_id": span.trace_id if span else None,
            "span_id": span.span_id if span else None,
            "version": self.version,
            **fields,
        }
        self._logs.write(_line(record))

    @contextlib.contextmanager
    def span(self, name: str, kind: str, traceparent: str | None = None, **attributes: Any) -> Iterator[Span]:
        """Times a block. Its parent is the remote caller's span, else the task's current one."""
        span = self._child(name, kind, traceparent, attributes)
        token = _current.set(span)
        began = time.perf_counter()
        try:
            yield span
        except BaseException as error:
            span.fail(span.error or f"{type(error).__name__}: {error}")
            raise
        finally:
            _current.reset(token)
            self._write_span(span, time.perf_counter() - began)

    def finished(self, name: str, kind: str, duration_s: float, error: str | None, **attributes: Any) -> None:
        """Records an operation that somebody else has timed, as a child of the current span."""
        span = self._child(name, kind, None, attributes)
        span.started_at -= duration_s
        span.error = error
        self._write_span(span, duration_s)

    def _child(self, name: str, kind: str, traceparent: str | None, attributes: dict[str, Any]) -> Span:
        remote = parse_traceparent(traceparent)
        outer = _current.get()
        if remote is not None:
            return Span(name, kind, remote[0], remote[1], attributes)
        if outer is not None:
            return Span(name, kind, outer.trace_id, outer.span_id, attributes)
        return Span(name, kind, secrets.token_hex(16), None, attributes)

    def _write_span(self, span: Span, duration_s: float) -> None:
        record = {
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "parent_id": span.parent_id,
            "service": self.service,
            "name": span.name,
            "kind": span.kind,
            "start": iso(span.started_at),
            "duration_ms": round(duration_s * 1000, 3),
            "status": "ERROR" if span.error else "OK",
            "error": span.error,
            "attributes": span.attributes | {"service.version": self.version},
        }
        self._spans.write(_line(record))


def parse_traceparent(value: str | None) -> tuple[str, str] | None:
    """(trace id, span id) of a `traceparent` header; None when it is absent or malformed."""
    parts = (value or "").split("-")
    if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
        return None
    return parts[1], parts[2]


def logs_file(folder: Path, service: str) -> Path:
    """Where the records of a service are."""
    return folder / f"{service}.logs.ndjson"


def spans_file(folder: Path, service: str) -> Path:
    """Where the spans of a service are."""
    return folder / f"{service}.spans.ndjson"


def read_feed(path: Path, since: float, offset: int | None) -> tuple[bytes, int]:
    """Whole lines of a feed, and the offset after them.

    With `offset` everything behind that byte, for a collector that must miss nothing; else what the last
    megabytes hold of `since` (Unix seconds; a span counts by its start).
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _FEED_BYTES) if offset is None else min(offset, size)
        file.seek(start)
        content = file.read(_FEED_BYTES)
    content = content[: content.rfind(b"\n") + 1]
    end = start + len(content)
    if offset is None:
        lines = content.splitlines(keepends=True)[1 if start else 0 :]
        content = b"".join(line for line in lines if record_time(json.loads(line)) >= since)
    return content, end


def record_time(record: Mapping[str, Any]) -> float:
    """When a record was made, or a span began; Unix seconds."""
    return datetime.fromisoformat(record.get("timestamp") or record["start"]).timestamp()


def iso(moment: float) -> str:
    """Unix seconds as RFC 3339 with microseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps({key: value for key, value in record.items() if value is not None}).encode() + b"\n"
