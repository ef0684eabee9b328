"""Every SQL statement on routing identifiers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.routing.normal_forms import NormalIdentifier
from incidentfox.config_service.routing.rules import Claim, Question
from incidentfox.config_service.routing.tables import routing_identifiers
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.tables import node_ancestry
from incidentfox.contracts.routing import IdentifierKind, OwnedIdentifier, OwnedKind, RouteRule
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.tenancy import ALL_TEAMS
from incidentfox.kernel.tenant import Tenant

_OWNERS = "SELECT kind, name, value, team_node_id FROM config_route_owners($1, $2, $3, $4, $5, $6)"
_KEY_COLUMNS = (routing_identifiers.c.kind, routing_identifiers.c.name, routing_identifiers.c.value)
_KEY = tuple_(*_KEY_COLUMNS)
_RULES = {rule.value: rule for rule in (RouteRule.SERVICE_PATTERN, RouteRule.DEFAULT_TEAM)}


@dataclass(frozen=True)
class Wanted:
    """Which identifiers a list is about; None: all."""

    kind: OwnedKind | None = None
    team_node_id: str | None = None


async def identifiers_of(session: Session, team_node_id: str) -> set[NormalIdentifier]:
    """What the team owns now."""
    table = routing_identifiers
    statement = select(*_KEY_COLUMNS).where(table.c.org_id == session.org_id, table.c.team_node_id == team_node_id)
    return {_normal(row) for row in await session.connection.execute(statement)}


async def identifiers_after(
    session: Session, wanted: Wanted, after: tuple[str, str, str] | None, limit: int
) -> list[OwnedIdentifier]:
    """Who owns what, by kind, name and normal form; a credential that is bound to a node sees what is owned there and
    below. The database itself would show it the directory of the whole organisation.
    """
    table, bound_to = routing_identifiers, session.tenant.team_node_id
    statement = select(table).where(table.c.org_id == session.org_id)
    if bound_to is not None:
        inside = select(node_ancestry.c.node_id).where(
            node_ancestry.c.org_id == session.org_id, node_ancestry.c.ancestor_id == bound_to
        )
        statement = statement.where(table.c.team_node_id.in_(inside))
    if wanted.kind is not None:
        statement = statement.where(table.c.kind == wanted.kind)
    if wanted.team_node_id is not None:
        statement = statement.where(table.c.team_node_id == wanted.team_node_id)
    if after is not None:
        statement = statement.where(after < _KEY)
    rows = await session.connection.execute(statement.order_by(*_KEY_COLUMNS).limit(limit))
    return [_owned(row) for row in rows]


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


def _owned(row: Any) -> OwnedIdentifier:
    kind = OwnedKind(row.kind)
    return OwnedIdentifier(
        kind=kind,
        name=row.name if kind is OwnedKind.CUSTOM else None,
        value=row.value,
        given=row.given,
        team_node_id=row.team_node_id,
        created_at=row.created_at,
    )


def _normal(row: Any) -> NormalIdentifier:
    kind, name, value = row[:3]
    return NormalIdentifier(_RULES.get(kind) or IdentifierKind(kind), name, value)
