"""Every SQL statement on routing identifiers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from incidentfox.config_service.routing.normal_forms import NormalIdentifier
from incidentfox.config_service.routing.rules import Claim, Question
from incidentfox.config_service.routing.tables import routing_identifiers
from incidentfox.config_service.session import Session
from incidentfox.contracts.routing import IdentifierKind, RouteRule

_KEY = tuple_(routing_identifiers.c.kind, routing_identifiers.c.name, routing_identifiers.c.value)
_RULES = {rule.value: rule for rule in (RouteRule.SERVICE_PATTERN, RouteRule.DEFAULT_TEAM)}


async def identifiers_of(session: Session, team_node_id: str) -> set[NormalIdentifier]:
    """What the team owns now."""
    table = routing_identifiers
    statement = select(table).where(table.c.org_id == session.org_id, table.c.team_node_id == team_node_id)
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
    statement = insert(table).values(rows).on_conflict_do_nothing().returning(table.c.kind, table.c.name, table.c.value)
    return {_normal(row) for row in await session.connection.execute(statement)}


async def owners_of(session: Session, identifiers: Collection[NormalIdentifier]) -> dict[NormalIdentifier, str]:
    """Who owns each of these, in the whole organisation."""
    return await _owners(session, _among(identifiers))


async def owners(session: Session, question: Question) -> dict[NormalIdentifier, str]:
    """Who owns what an event asks about, and every pattern that may match one of its services."""
    table = routing_identifiers.c
    patterns = (table.kind == RouteRule.SERVICE_PATTERN) & table.name.in_(question.prefixes)
    return await _owners(session, or_(_among(question.identifiers), patterns))


async def _owners(session: Session, which: ColumnElement[bool]) -> dict[NormalIdentifier, str]:
    table = routing_identifiers
    statement = select(table).where(table.c.org_id == session.org_id, which)
    return {_normal(row): row.team_node_id for row in await session.connection.execute(statement)}


def _among(identifiers: Collection[NormalIdentifier]) -> ColumnElement[bool]:
    return _KEY.in_([(identifier.kind.value, identifier.name, identifier.value) for identifier in identifiers])


def _normal(row: Row[Any]) -> NormalIdentifier:
    return NormalIdentifier(_RULES.get(row.kind) or IdentifierKind(row.kind), row.name, row.value)
