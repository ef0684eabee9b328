"""`incidentfox audit …`: what happened, who did it."""

from __future__ import annotations

from typing import Annotated

import typer

from incidentfox.cli.output import Json, print_items
from incidentfox.cli.session import Session, call
from incidentfox.contracts.audit import AuditEvent
from incidentfox.contracts.page import Page

app = typer.Typer(help="The append-only audit events of the organisation.")


@app.command("list")
def list_events(
    action: Annotated[str | None, typer.Option(help="Only this action, e.g. configuration.updated.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: Json = False,
) -> None:
    """List audit events, newest first."""

    async def fetch(session: Session) -> Page[AuditEvent]:
        return await session.config_service.audit_events(session.org_id, action=action, limit=limit)

    print_items(
        call(fetch).items,
        (
            ("AT", lambda event: f"{event.at:%Y-%m-%d %H:%M:%S}"),
            ("ACTION", lambda event: event.action),
            ("TARGET", lambda event: event.target),
            ("ACTOR", lambda event: event.actor),
            ("CORRELATION", lambda event: event.correlation_id),
        ),
        as_json=as_json,
        empty="No audit events.",
    )
