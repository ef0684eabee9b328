"""Every SQL statement on routing identifiers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.routing.normal_forms import NormalIdentifier
from incidentfox.config_service.routing.rules import Claim, Question
from incidentfox.config_service.routing.tables import routing_identifiers
from incidentfox.config_service.session import Session
from incidentfox.contracts.routing import IdentifierKind, RouteRule
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.tenancy import ALL_TEAMS
from incidentfox.kernel.tenant import Tenant

_OWNERS = "SELECT kind, name, value, team_node_id FROM config_route_owners($1, $2, $3, $4, $5, $6)"
_KEY_COLUMNS = (routing_identifiers.c.kind, routing_identifiers.c.name, routing_identifiers.c.value)
_KEY = tuple_(*_KEY_COLUMNS)
_RULES = {rule.value: rule for rule in (RouteRule.SERVICE_PATTERN, RouteRule.DEFAULT_TEAM)}


async def identifiers_of(session: Session, team_node_id: str) -> set[NormalIdentifier]:
    """What the team owns now."""
    table = routing_identifiers
    statement = select(*_KEY_COLUMNS).where(table.c.org_id == session.org_id, table.c.team_node_id == team_node_id)
    return {_normal(row) for row in await session.connection.execute(statement)}


async def release(session: Session, team_node_id: str, identifiers: Collection[NormalIdentifier]) -> None:
    """Gives identifiers of the team up."""
    table = routing_identifiers
    await session.connection.execute(
        delete(table).where(table.c.org_id == session.org_id, table.c.team_node_id == team_node_id, _among(identifiers))
    )


async def take(session: Session, team_node_id: str, claims: Collection[Claim]) -> set[NormalIdentifier]:
    """Takes what is free and returns what was taken: the rest has an owner already, says the primary key."""
    table = routing_identifiers
    rows = [
        {
            "org_id": session.org_id,
            "kind": claim.identifier.kind,
            "name": claim.identifier.name,
            "value": claim.identifier.value,
            "team_node_id": team_node_id,
            "given": claim.given,
        }
        for claim in claims
    ]
    statement = insert(table).values(rows).on_conflict_do_nothing().returning(*_KEY_COLUMNS)
    return {_normal(row) for row in await session.connection.execute(statement)}


async def owners_of(session: Session, identifiers: Collection[NormalIdentifier]) -> dict[NormalIdentifier, str]:
    """Who owns each of these, in the whole organisation."""
    table = routing_identifiers
    owner = table.c.team_node_id
    statement = select(*_KEY_COLUMNS, owner).where(table.c.org_id == session.org_id, _among(identifiers))
    return {_normal(row): row.team_node_id for row in await session.connection.execute(statement)}


async def owners(database: Database, tenant: Tenant, question: Question) -> dict[NormalIdentifier, str]:
    """Who owns what an event asks about, and every pattern that may match one of its services.

    One round trip: the function binds its transaction to the tenant and reads under row-level security.
    """
    asked = list(question.identifiers)
    rows = await database.fetch(
        _OWNERS,
        tenant.org_id,
        tenant.team_node_id or ALL_TEAMS,
        [identifier.kind.value for identifier in asked],
        [identifier.name for identifier in asked],
        [identifier.value for identifier in asked],
        list(question.prefixes),
    )
    return {_normal(row): row["team_node_id"] for row in rows}


def _among(identifiers: Collection[NormalIdentifier]) -> ColumnElement[bool]:
    return _KEY.in_([(identifier.kind.value, identifier.name, identifier.value) for identifier in identifiers])


def _normal(row: Any) -> NormalIdentifier:
    kind, name, value = row[:3]
    return NormalIdentifier(_RULES.get(kind) or IdentifierKind(kind), name, value)
