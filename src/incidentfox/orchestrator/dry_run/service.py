"""What would become of a delivery, up to the point where it would be recorded."""

from __future__ import annotations

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.routing import RoutingLookup
from incidentfox.contracts.webhooks import DryRunDelivery, DryRunResult
from incidentfox.kernel.clock import Clock
from incidentfox.kernel.errors import NotFound
from incidentfox.orchestrator.webhooks.source import Action, ParsedEvent, sources


async def dry_run(
    config_service: ConfigServiceClient, org_id: str, source_name: str, delivery: DryRunDelivery, clock: Clock
) -> DryRunResult:
    """Parses the payload with the source's own parser and looks its route up. No signature is asked for.

    Raises NotFound for an unknown source and Invalid for a payload that the source would refuse.
    """
    source = sources().get(source_name)
    if source is None:
        raise NotFound(f"There is no source {source_name!r}. Known: {', '.join(sources())}.", code="unknown_source")
    given = {name.lower(): value for name, value in delivery.headers.items()}
    event = source.parse({**source.assumed_headers(clock()), **given}, delivery.body.encode())
    if event.action is Action.IGNORE:
        return _result(source_name, event)
    route = await config_service.lookup_route(org_id, RoutingLookup(identifiers=event.identifiers))
    starts_run = event.action is Action.TRIGGER and route.team_node_id is not None
    return _result(source_name, event).model_copy(update={"route": route, "starts_run": starts_run})


def _result(source_name: str, event: ParsedEvent) -> DryRunResult:
    incident = event.incident
    return DryRunResult(
        source=source_name,
        event_type=event.event_type,
        action=event.action,
        ignored_because=event.reason,
        occurred_at=event.occurred_at,
        external_id=incident.external_id if incident is not None else None,
        title=incident.title if incident is not None else "",
        identifiers=event.identifiers,
    )
