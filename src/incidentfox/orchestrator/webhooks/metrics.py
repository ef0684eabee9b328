"""Metrics of the door, served at `/metrics` of the API process."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

DELIVERIES = Counter(
    "incidentfox_webhook_deliveries_total",
    "Webhook deliveries by outcome (accepted, repeated, ignored, limited, refused) and, for the last three, reason.",
    ("source", "outcome", "reason"),
)
ACCEPT_SECONDS = Histogram(
    "incidentfox_webhook_accept_seconds",
    "Time from the arrival of a delivery's request to its acknowledgement, for those accepted.",
    ("source",),
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
