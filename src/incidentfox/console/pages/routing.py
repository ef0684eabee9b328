"""Routing: who owns what, and who would get an event, with the reason and everything that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from incidentfox.console.backends import backends_of
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.routing import Identifier, IdentifierKind, OwnedKind, RoutingLookup
from incidentfox.kernel.errors import Invalid, Unprocessable

router = APIRouter()

PER_PAGE = 50

Reader = Annotated[Session, requires_session(Permission.ROUTING_LOOKUP)]


@dataclass(frozen=True)
class Field:
    """One field of the question."""

    kind: IdentifierKind
    label: str
    example: str


FIELDS = (
    Field(IdentifierKind.SERVICE, "Service", "checkout"),
    Field(IdentifierKind.PAGERDUTY_SERVICE, "PagerDuty service", "PABC123"),
    Field(IdentifierKind.GITHUB_REPOSITORY, "GitHub repository", "acme/shop"),
    Field(IdentifierKind.SLACK_CHANNEL, "Slack channel", "C0123456789"),
    Field(IdentifierKind.INCIDENTIO_TEAM, "incident.io team", ""),
    Field(IdentifierKind.INCIDENTIO_ALERT_SOURCE, "incident.io alert source", ""),
    Field(IdentifierKind.CUSTOM, "Custom", "cluster: eu-1"),
)
OWNED = {OwnedKind(field.kind.value): field.label for field in FIELDS} | {
    OwnedKind.SERVICE_PATTERN: "Service pattern",
    OwnedKind.DEFAULT_TEAM: "Default team",
}
"""The kinds of the list, in words."""


@router.get("/routing")
async def routing_page(request: Request, session: Reader) -> Response:
    """The question, its answer where one was asked, and every identifier with its owner."""
    client = backends_of(request).config_service
    asked = {field.kind.value: request.query_params.get(field.kind.value, "").strip()[:2000] for field in FIELDS}
    context: dict[str, Any] = {"fields": FIELDS, "asked": asked, "route": None, "wrong": ""}
    status = 200
    try:
        identifiers = _identifiers(asked)
        if identifiers:
            context["route"] = await client.who_would_get(session.org_id, RoutingLookup(identifiers=identifiers))
    except ValidationError:
        context["wrong"] = "An identifier has 1 to 512 characters, and an event 64 identifiers at most."
        status = 422
    except (Invalid, Unprocessable) as failure:
        context["wrong"], status = failure.detail, failure.status
    context |= await _owned(request, session)
    if context["list_wrong"]:
        status = 422
    return pages_of(request).page(request, "routing.html", context, status)


def _identifiers(asked: dict[str, str]) -> tuple[Identifier, ...]:
    """What was typed: several of a kind are separated by commas; a custom one says its kind before a colon."""
    found = []
    for field in FIELDS:
        for part in filter(None, (text.strip() for text in asked[field.kind.value].split(","))):
            if field.kind is IdentifierKind.CUSTOM:
                name, separator, value = part.partition(":")
                if not separator:
                    raise Invalid("A custom identifier is written as its kind, a colon and the value: cluster: eu-1.")
                found.append(Identifier(kind=field.kind, value=value.strip(), name=name.strip()))
            else:
                found.append(Identifier(kind=field.kind, value=part))
    return tuple(found)


async def _owned(request: Request, session: Session) -> dict[str, Any]:
    """A page of who owns what, as far as the person reaches; and the default team."""
    client = backends_of(request).config_service
    typed = {name: request.query_params.get(name, "").strip()[:63] for name in ("kind", "team")}
    cursor = request.query_params.get("cursor") or None
    context: dict[str, Any] = {"kinds": OWNED, "typed": typed, "owned": (), "more": None, "list_wrong": ""}
    anything = await client.who_would_get(session.org_id, RoutingLookup(identifiers=()))
    context["default_team"] = anything.team_node_id
    context["first"] = _address(typed) if cursor else None
    if typed["kind"] and typed["kind"] not in set(OwnedKind):
        return {**context, "list_wrong": "There is no such kind of identifier."}
    kind = OwnedKind(typed["kind"]) if typed["kind"] else None
    try:
        page = await client.owned_identifiers(
            session.org_id, kind=kind, team=typed["team"] or None, cursor=cursor, limit=PER_PAGE
        )
    except (Invalid, Unprocessable) as failure:
        is_cursor = failure.code == "invalid_cursor"
        wrong = failure.detail if is_cursor else "The id of a team has lower-case letters, digits and hyphens."
        return {**context, "list_wrong": wrong}
    more = _address(typed, page.next_cursor) if page.next_cursor else None
    return {**context, "owned": page.items, "more": more}


def _address(typed: dict[str, str], cursor: str = "") -> str:
    query = {name: value for name, value in {**typed, "cursor": cursor}.items() if value}
    return f"/routing{f'?{urlencode(query)}' if query else ''}#owners"
