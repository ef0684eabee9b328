"""The tree with what each node says itself, and the page of one node: what is in force there, and who set it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from incidentfox.console import origins
from incidentfox.console.backends import backends_of
from incidentfox.console.outline import matching, outline
from incidentfox.console.places import MOST_NODES, find_place, read_documents, read_nodes
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.configuration import ConfigurationVersion
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import NotFound, Unprocessable

router = APIRouter()

PER_PAGE = 50
_POLICIES = "policies"
_DONE = {
    "created": "It is created.",
    "renamed": "It is renamed.",
    "moved": "It is moved, with everything below it.",
    "archived": "It is archived, with everything below it.",
    "restored": "It is restored, with what was archived together with it.",
    "deleted": "What stood below is deleted. Its runs, audit events and the history of its documents stay.",
}

Reader = Annotated[Session, requires_session(Permission.CONFIG_READ)]
Words = Annotated[str, Query(max_length=200)]
Number = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/configuration")
async def tree_page(request: Request, session: Reader, q: Words = "", page: Number = 1) -> Response:
    """The tree, or the nodes whose name or id holds the words."""
    client = backends_of(request).config_service
    nodes, is_cut = await read_nodes(client, session)
    branches = matching(outline(nodes), q) if q.strip() else outline(nodes)
    first = (page - 1) * PER_PAGE
    shown = branches[first : first + PER_PAGE]
    documents = await read_documents(client, session, [branch.node for branch in shown])
    context = {
        "rows": [
            {"branch": branch, "own": own, "says": says(own), "demands": demands(own)}
            for branch, own in zip(shown, documents, strict=True)
        ],
        "q": q.strip(),
        "may_create": session.may(Permission.NODES_WRITE) and session.team_node_id is None,
        "total": len(branches),
        "first": first,
        "cut_at": MOST_NODES if is_cut else None,
        "earlier": _address(q, page - 1) if page > 1 else None,
        "later": _address(q, page + 1) if first + PER_PAGE < len(branches) else None,
    }
    return pages_of(request).page(request, "tree.html", context)


@router.get("/configuration/{node_id}")
async def node_page(
    request: Request,
    session: Reader,
    node_id: str,
    show: Annotated[str, Query(max_length=10)] = "set",
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """What is in force at a node: each value with who set it, what it overrode and what judges it."""
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    chosen: origins.Shown = "here" if show == "here" else "all" if show == "all" else "set"
    context: dict[str, Any] = {
        "place": place,
        "may_edit": place.may(session, Permission.CONFIG_WRITE),
        "tab": "effective",
        "show": chosen,
        "done": _DONE.get(done, ""),
        "refused": None,
        "effective": None,
        "groups": [],
        "counts": {},
    }
    try:
        explained = await client.explained(session.org_id, node_id)
    except Unprocessable as failure:  # what is stored does not satisfy this release's schema: say so, show the rest
        context["refused"] = failure
    else:
        context["effective"] = explained
        context["groups"] = origins.groups(explained.values, chosen, node_id)
        context["counts"] = origins.count(explained.values, node_id)
    return pages_of(request).page(request, "node.html", context)


@router.get("/configuration/{node_id}/document")
async def document_page(
    request: Request, session: Reader, node_id: str, version: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    """The node's own document: the current version, or an earlier one."""
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    own = await client.configuration(session.org_id, node_id, version=version)
    current = own if version is None else await client.configuration(session.org_id, node_id)
    if version is not None and version > current.version:
        raise NotFound(f"{node_id!r} has no version {version}.", code="version_not_found")
    context = {
        "place": place,
        "may_edit": place.may(session, Permission.CONFIG_WRITE),
        "tab": "document",
        "own": own,
        "is_current": own.version == current.version,
        "demands": demands(own),
    }
    return pages_of(request).page(request, "document.html", context)


def says(own: ConfigurationVersion) -> list[str]:
    """What a node's own document speaks about: its first keys."""
    return sorted(key for key in own.document if key != _POLICIES)


def demands(own: ConfigurationVersion) -> list[tuple[str, list[tuple[str, str]]]]:
    """What a node demands of everything below it: (path, [(words, tone), …])."""
    declared = own.document.get(_POLICIES)
    if not isinstance(declared, dict):
        return []
    return [(path, origins.declared(policy)) for path, policy in sorted(declared.items())]


def _address(q: str, page: int) -> str:
    query = {name: value for name, value in (("q", q.strip()), ("page", page if page > 1 else "")) if value}
    return f"/configuration?{urlencode(query)}" if query else "/configuration"
