"""Metrics of dispatch, served at `/metrics` of the worker."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

DISPATCHED = Counter("incidentfox_deliveries_settled_total", "Deliveries that reached their end.", ("status",))
HOP_SECONDS = Histogram(
    "incidentfox_delivery_hop_seconds",
    "Time from the acceptance of a delivery to the agent having its run.",
    ("source",),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 15, 60, 300),
)
STEP_RETRIES = Counter("incidentfox_dispatch_step_failures_total", "Steps that will be tried again.", ("step", "code"))
