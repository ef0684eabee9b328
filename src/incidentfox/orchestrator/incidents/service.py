"""Correlates deliveries with incidents. Called by dispatch inside its transaction; never commits."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.ids import new_id
from incidentfox.orchestrator.deliveries.store import correlate_delivery, load_delivery
from incidentfox.orchestrator.incidents import store
from incidentfox.orchestrator.incidents.rules import decide
from incidentfox.orchestrator.webhooks.source import IncidentRef, ParsedEvent


@dataclass(frozen=True)
class Correlation:
    """What a delivery comes to: its incident, and the run that it starts or the reason why it starts none."""

    incident_id: str
    run_id: str | None
    reason: str | None


def run_id_of(delivery_id: str) -> str:
    """The id of the run that a delivery may start: derived, so that however often it is tried there is one run."""
    return "run_" + delivery_id.removeprefix("dlv_")


async def correlate(
    connection: AsyncConnection, delivery_id: str, event: ParsedEvent, incident: IncidentRef, team_node_id: str | None
) -> Correlation:
    """Puts the event on its incident's record and decides. The second time it repeats what was decided the first."""
    stored = await load_delivery(connection, delivery_id, lock=True)
    if stored is None:
        raise NotFound(f"There is no delivery {delivery_id}.", code="delivery_not_found")
    delivery = stored.delivery
    if delivery.incident_id is not None:
        return Correlation(delivery.incident_id, delivery.run_id, delivery.reason)
    key = store.IncidentKey(delivery.org_id, delivery.endpoint_id, delivery.source, incident.external_id)
    locked = await store.lock_incident(connection, key, new_id("inc"), event.occurred_at)
    decision = decide(locked.state, event.action, event.occurred_at, routed=team_node_id is not None)
    run_id = run_id_of(delivery_id) if decision.starts_run else None
    team = team_node_id or locked.team_node_id
    event_row = {
        "delivery_id": delivery_id,
        "org_id": delivery.org_id,
        "team_node_id": team,
        "incident_id": locked.incident_id,
        "event_type": event.event_type,
        "action": event.action,
        "occurred_at": event.occurred_at,
    }
    await store.insert_event(connection, event_row)
    changes = {
        "team_node_id": team,
        "status": decision.state.status,
        "status_at": decision.state.status_at,
        "resolved_at": decision.state.resolved_at,
        "reopened_at": decision.state.reopened_at,
        "run_triggered_at": decision.state.run_triggered_at,
        "opened_at": event.occurred_at,
        **({"title": incident.title} if incident.title else {}),
        **({"url": incident.url} if incident.url else {}),
        **({"run_id": run_id} if run_id else {}),
    }
    await store.update_incident(connection, locked.incident_id, changes)
    noted = {
        "incident_id": locked.incident_id,
        "team_node_id": team_node_id,
        "run_id": run_id,
        "reason": decision.reason,
    }
    await correlate_delivery(connection, delivery_id, noted)
    return Correlation(locked.incident_id, run_id, decision.reason)
