"""Claims identifiers for a team when its configuration is saved, and looks an event's owner up."""

from __future__ import annotations

from incidentfox.config_service.routing import store
from incidentfox.config_service.routing.rules import (
    DEFAULT_TEAM,
    Claim,
    choose,
    claim_of_default,
    claims,
    place,
    place_in,
    question,
)
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.store import node
from incidentfox.contracts.configuration import RoutingConfiguration
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.routing import OwnedIdentifier, Route, RoutingLookup
from incidentfox.contracts.tree import NodeKind
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.errors import Conflict, Unprocessable
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.pagination import decode_cursor, page


async def claim_identifiers(session: Session, team_node_id: str, routing: RoutingConfiguration) -> None:
    """Makes the team own exactly what its effective configuration lists.

    Raises Unprocessable for values that are no identifiers and Conflict, naming the owner, for those of another team.
    """
    wanted, errors = claims(routing)
    if errors:
        raise Unprocessable("Some identifiers are malformed.", code="invalid_identifier", errors=errors)
    owned = await store.identifiers_of(session, team_node_id)
    released = owned - {claim.identifier for claim in wanted} - {DEFAULT_TEAM}  # the organisation's to take away
    if released:
        await store.release(session, team_node_id, released)
    missing = [claim for claim in wanted if claim.identifier not in owned]
    if missing:
        await _take(session, team_node_id, missing)


async def claim_default_team(session: Session, before: str | None, after: str | None) -> None:
    """Makes `after` the organisation's default team in place of `before`; None: nobody. Called where both differ.

    Raises Unprocessable for what is not a team of the organisation that is in service.
    """
    if after is not None:
        found = await node(session, after)
        if found is None or found.kind is not NodeKind.TEAM or found.archived_at is not None:
            message = f"{after!r} is not a team of this organisation that is in service."
            error = FieldError(pointer="/routing/default_team", message=message)
            raise Unprocessable(message, code="unknown_default_team", errors=[error])
    if before is not None:
        await store.release(session, before, [DEFAULT_TEAM])
    if after is not None:
        await _take(session, after, [claim_of_default(after)])


async def lookup(database: Database, tenant: Tenant, request: RoutingLookup) -> Route:
    """Whose event is this? At most one team, and why."""
    return choose(request.identifiers, await store.owners(database, tenant, question(request.identifiers)))


async def list_identifiers(
    session: Session, wanted: store.Wanted, cursor: str | None, limit: int
) -> Page[OwnedIdentifier]:
    """A page of who owns what, as far as the caller reaches."""
    after = decode_cursor(cursor)
    found = await store.identifiers_after(session, wanted, place_in(after) if after is not None else None, limit + 1)
    return page(found, limit, place)


async def _take(session: Session, team_node_id: str, wanted: list[Claim]) -> None:
    taken = await store.take(session, team_node_id, wanted)
    refused = [claim for claim in wanted if claim.identifier not in taken]
    if refused:
        owners = await store.owners_of(session, [claim.identifier for claim in refused])
        found = [
            FieldError(
                pointer=claim.pointer,
                message=f"{claim.given!r} belongs to the team {owners.get(claim.identifier, 'of another writer')!r}.",
            )
            for claim in refused
        ]
        raise Conflict(f"An identifier has one owner. {found[0].message}", code="identifier_taken", errors=found)
