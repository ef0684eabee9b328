"""`incidentfox incident …` and `incidentfox delivery …`: what came in."""

from __future__ import annotations

from typing import Annotated

import typer

from incidentfox.cli.output import Json, age, print_items
from incidentfox.cli.session import Session, call
from incidentfox.contracts.page import Page
from incidentfox.contracts.webhooks import Delivery, Incident

app = typer.Typer(help="Incidents, as their sources tell them.")
deliveries = typer.Typer(help="Accepted webhook deliveries and what became of them.")

Limit = Annotated[int, typer.Option(min=1, max=200)]


@app.command("list")
def list_incidents(limit: Limit = 20, as_json: Json = False) -> None:
    """List incidents, newest first."""

    async def fetch(session: Session) -> Page[Incident]:
        return await session.orchestrator.incidents(session.org_id, limit=limit)

    print_items(
        call(fetch).items,
        (
            ("INCIDENT", lambda incident: incident.incident_id),
            ("STATUS", lambda incident: incident.status),
            ("TEAM", lambda incident: incident.team_node_id),
            ("AGE", lambda incident: age(incident.opened_at)),
            ("RUN", lambda incident: incident.run_id),
            ("TITLE", lambda incident: incident.title),
        ),
        as_json=as_json,
        empty="No incidents.",
    )


@deliveries.command("list")
def list_deliveries(limit: Limit = 20, as_json: Json = False) -> None:
    """List accepted deliveries, newest first."""

    async def fetch(session: Session) -> Page[Delivery]:
        return await session.orchestrator.deliveries(session.org_id, limit=limit)

    print_items(
        call(fetch).items,
        (
            ("DELIVERY", lambda delivery: delivery.delivery_id),
            ("STATUS", lambda delivery: delivery.status),
            ("EVENT", lambda delivery: f"{delivery.source} {delivery.event_type}"),
            ("TEAM", lambda delivery: delivery.team_node_id),
            ("AGE", lambda delivery: age(delivery.received_at)),
            ("RUN", lambda delivery: delivery.run_id),
            ("REASON", lambda delivery: delivery.reason),
        ),
        as_json=as_json,
        empty="No deliveries.",
    )
