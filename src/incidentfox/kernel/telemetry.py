"""OpenTelemetry traces and Prometheus metrics of the services themselves.

Traces follow a webhook across processes by the W3C `traceparent` header; they are exported only where an OTLP
endpoint is set, since a laptop has no collector. Metrics are always served at `/metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from opentelemetry import context, propagate, trace
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

REQUESTS = Counter("incidentfox_http_requests_total", "HTTP requests served.", ("service", "method", "route", "status"))
REQUEST_SECONDS = Histogram(
    "incidentfox_http_request_duration_seconds",
    "Time to serve an HTTP request, in seconds.",
    ("service", "method", "route"),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_NO_SPAN = nullcontext(trace.INVALID_SPAN)


def configure_telemetry(service: str, otlp_endpoint: str | None) -> None:
    """Called once by each process. Without an endpoint no spans are made; a caller's `traceparent` still travels on."""
    if not otlp_endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"incidentfox-{service}"}))
    exporter = OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


@cache
def tracer() -> trace.Tracer:
    """The tracer of this process."""
    return trace.get_tracer("incidentfox")


def request_span(name: str, headers: Mapping[str, str]) -> AbstractContextManager[trace.Span]:
    """The span round a request that is served, under its caller's. Nothing where spans go nowhere and none was sent."""
    if isinstance(tracer(), trace.ProxyTracer) and "traceparent" not in headers:
        return _NO_SPAN
    return tracer().start_as_current_span(name, context=remote_context(headers), kind=trace.SpanKind.SERVER)


def trace_headers() -> dict[str, str]:
    """The headers that carry the current span to the next service."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def remote_context(headers: Mapping[str, str]) -> context.Context:
    """The caller's span, from its headers."""
    return propagate.extract(dict(headers)) if "traceparent" in headers else context.Context()


def metrics_page() -> tuple[bytes, str]:
    """The body and content type of `/metrics`."""
    return generate_latest(), CONTENT_TYPE_LATEST
