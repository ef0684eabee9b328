"""Claims identifiers for a team when its configuration is saved, and looks an event's owner up."""

from __future__ import annotations

from incidentfox.config_service.routing import store
from incidentfox.config_service.routing.rules import choose, claims, normalise
from incidentfox.config_service.session import Session
from incidentfox.contracts.configuration import RoutingConfiguration
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.routing import Route, RoutingLookup
from incidentfox.kernel.errors import Conflict, Unprocessable


async def claim_identifiers(session: Session, team_node_id: str, routing: RoutingConfiguration) -> None:
    """Makes the team own exactly what its configuration lists.

    Raises Unprocessable for values that are no identifiers and Conflict, naming the owner, for those of another team.
    """
    wanted, errors = claims(routing)
    if errors:
        raise Unprocessable("Some identifiers are malformed.", code="invalid_identifier", errors=errors)
    owned = await store.identifiers_of(session, team_node_id)
    released = owned - {claim.identifier for claim in wanted}
    if released:
        await store.release(session, team_node_id, released)
    missing = [claim for claim in wanted if claim.identifier not in owned]
    if not missing:
        return
    taken = await store.take(session, team_node_id, missing)
    refused = [claim for claim in missing if claim.identifier not in taken]
    if refused:
        owners = await store.owners(session, [claim.identifier for claim in refused])
        found = [
            FieldError(
                pointer=claim.pointer,
                message=f"{claim.given!r} belongs to the team {owners.get(claim.identifier, 'of another writer')!r}.",
            )
            for claim in refused
        ]
        raise Conflict(f"An identifier has one owner. {found[0].message}", code="identifier_taken", errors=found)


async def lookup(session: Session, request: RoutingLookup) -> Route:
    """Whose event is this? At most one team, and why."""
    normal = {
        found
        for identifier in request.identifiers
        if (found := normalise(identifier.kind, identifier.value, identifier.name)) is not None
    }
    return choose(request.identifiers, await store.owners(session, normal))
