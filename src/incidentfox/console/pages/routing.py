"""Routing: who owns what, and who would get an event, with the reason and everything that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console.backends import backends_of
from incidentfox.console.places import MOST_NODES, read_documents, read_nodes
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.routing import Identifier, IdentifierKind, RoutingLookup
from incidentfox.contracts.tree import Node, NodeKind
from incidentfox.kernel.errors import Invalid, Unprocessable

router = APIRouter()

TEAMS_PER_PAGE = 25

Reader = Annotated[Session, requires_session(Permission.ROUTING_LOOKUP)]
Number = Annotated[int, Query(ge=1, le=10_000)]


@dataclass(frozen=True)
class Field:
    """One field of the question. `listed` is the key of a team's own document that lists such identifiers."""

    kind: IdentifierKind
    label: str
    example: str
    listed: str


FIELDS = (
    Field(IdentifierKind.SERVICE, "Service", "checkout", "services"),
    Field(IdentifierKind.PAGERDUTY_SERVICE, "PagerDuty service", "PABC123", "pagerduty_services"),
    Field(IdentifierKind.GITHUB_REPOSITORY, "GitHub repository", "acme/shop", "github_repositories"),
    Field(IdentifierKind.SLACK_CHANNEL, "Slack channel", "C0123456789", "slack_channels"),
    Field(IdentifierKind.INCIDENTIO_TEAM, "incident.io team", "", "incidentio_teams"),
    Field(IdentifierKind.INCIDENTIO_ALERT_SOURCE, "incident.io alert source", "", "incidentio_alert_sources"),
    Field(IdentifierKind.CUSTOM, "Custom", "cluster: eu-1", "custom"),
)
_LABELS = {field.listed: field.label for field in FIELDS} | {"service_patterns": "Service pattern"}


@router.get("/routing")
async def routing_page(request: Request, session: Reader, page: Number = 1) -> Response:
    """The question, its answer where one was asked, and the identifiers that teams list."""
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
    context |= await _listed(client, session, page)
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


async def _listed(client: ConfigServiceClient, session: Session, page: int) -> dict[str, Any]:
    """A page of the teams with the identifiers that their own documents list; the default team."""
    if not (session.may(Permission.NODES_READ) and session.may(Permission.CONFIG_READ)):
        return {"teams": None}
    nodes, is_cut = await read_nodes(client, session)
    teams = sorted((node for node in nodes if _is_live_team(node)), key=lambda node: node.name.casefold())
    first = (page - 1) * TEAMS_PER_PAGE
    shown = teams[first : first + TEAMS_PER_PAGE]
    documents = await read_documents(client, session, shown)
    root = [node for node in nodes if node.kind is NodeKind.ORG]
    tops = await read_documents(client, session, root)
    return {
        "teams": [(node, _owned(own.document)) for node, own in zip(shown, documents, strict=True)],
        "default_team": _section(tops[0].document).get("default_team") if tops else None,
        "cut_at": MOST_NODES if is_cut else None,
        "earlier": page - 1 if page > 1 else None,
        "later": page + 1 if first + TEAMS_PER_PAGE < len(teams) else None,
    }


def _is_live_team(node: Node) -> bool:
    return node.kind is NodeKind.TEAM and node.archived_at is None


def _owned(document: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """(kind in words, values) of what a team's own document lists."""
    section = _section(document)
    found = [(label, _texts(section.get(key))) for key, label in _LABELS.items() if key != "custom"]
    custom = section.get("custom")
    if isinstance(custom, dict):
        found += [(kind, _texts(values)) for kind, values in sorted(custom.items())]
    return [(label, values) for label, values in found if values]


def _section(document: dict[str, Any]) -> dict[str, Any]:
    section = document.get("routing")
    return section if isinstance(section, dict) else {}


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
