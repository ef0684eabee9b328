"""Pure rules of dispatch: what an event becomes for the audit, for the run and for its timeline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from incidentfox.contracts.audit import AppendAuditEvent
from incidentfox.contracts.events import AppendRunEvent, RunEventType
from incidentfox.contracts.routing import Route
from incidentfox.contracts.runs import CreateRun, RunInput
from incidentfox.contracts.webhooks import Delivery
from incidentfox.orchestrator.webhooks.source import ParsedEvent

PROMPT = "Find the root cause of this alert, with the evidence for it."


def audit_event(delivery: Delivery, route: Route) -> AppendAuditEvent:
    """The routing decision as it goes on record, before anything runs. One per delivery, whatever it says."""
    return AppendAuditEvent(
        event_key=f"delivery.route/{delivery.delivery_id}",
        team_node_id=route.team_node_id,
        action="delivery.routed" if route.team_node_id else "delivery.unrouted",
        target=delivery.delivery_id,
        correlation_id=delivery.correlation_id,
        detail={
            "endpoint_id": delivery.endpoint_id,
            "source": delivery.source,
            "delivery_key": delivery.delivery_key,
            "event_type": delivery.event_type,
            "received_at": delivery.received_at.isoformat(),
            **_routing(route),
        },
    )


@dataclass(frozen=True)
class RunIds:
    """The run to be created and the incident it is for."""

    run_id: str
    incident_id: str


def new_run(
    delivery: Delivery, event: ParsedEvent, ids: RunIds, team_node_id: str, timeline: tuple[AppendRunEvent, ...]
) -> CreateRun:
    """The run that a trigger starts."""
    return CreateRun(
        run_id=ids.run_id,
        team_node_id=team_node_id,
        input=RunInput(prompt=PROMPT, alert=event.alert, reply_to=event.reply_to, recording_id=event.recording_id),
        source=delivery.source,
        delivery_id=delivery.delivery_id,
        incident_id=ids.incident_id,
        correlation_id=delivery.correlation_id,
        timeline=timeline,
    )


def first_events(delivery: Delivery, route: Route, routed_at: datetime) -> tuple[AppendRunEvent, ...]:
    """The head of the run's timeline: how it came about."""
    accepted = AppendRunEvent(
        event_key="delivery.accepted",
        type=RunEventType.DELIVERY_ACCEPTED,
        at=delivery.received_at,
        data={
            "delivery_id": delivery.delivery_id,
            "source": delivery.source,
            "endpoint_id": delivery.endpoint_id,
            "event_type": delivery.event_type,
            "received_at": delivery.received_at.isoformat(),
        },
    )
    routed = AppendRunEvent(
        event_key="delivery.routed",
        type=RunEventType.DELIVERY_ROUTED,
        at=routed_at,
        data={"team_node_id": route.team_node_id, **_routing(route)},
    )
    return accepted, routed


def _routing(route: Route) -> dict[str, object]:
    return {
        "reason": route.reason,
        "matched": route.matched.model_dump(mode="json") if route.matched else None,
        "rule": route.rule,
        "pattern": route.pattern,
        "tried": [attempt.model_dump(mode="json", exclude_none=True) for attempt in route.tried],
    }
