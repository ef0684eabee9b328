"""Routes of the tree."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from incidentfox.config_service.dependencies import NodePath, begin, org_session
from incidentfox.config_service.idempotency import IdempotencyKey, once
from incidentfox.config_service.session import Session
from incidentfox.config_service.strict_json import StrictRoute
from incidentfox.config_service.tree import service
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, Node
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Cursor, Limit

router = APIRouter(prefix="/api/v1/orgs", tags=["tree"], route_class=StrictRoute)


@router.post("", status_code=201)
async def create_organisation(
    request: Request,
    response: Response,
    principal: Annotated[Principal, requires(Permission.ORGS_CREATE)],
    organisation: CreateOrganisation,
    idempotency_key: IdempotencyKey = None,
) -> Node:
    """Creates an organisation and its root node. For the operator's own key."""
    tenant = Tenant(principal.in_org(organisation.org_id).org_id or organisation.org_id, principal.team_node_id)
    # The tenant is in the body, so the transaction is opened here: it, too, commits before the response is sent.
    async with begin(request, principal, tenant) as session:
        node = await once(
            session, idempotency_key, organisation, Node, lambda: service.create_organisation(session, organisation)
        )
    return _tagged(response, node)


@router.post("/{org_id}/nodes", status_code=201)
async def create_node(
    response: Response,
    session: Annotated[Session, org_session(Permission.NODES_WRITE)],
    node: CreateNode,
    idempotency_key: IdempotencyKey = None,
) -> Node:
    """Creates a unit or team."""
    created = await once(session, idempotency_key, node, Node, lambda: service.create_node(session, node))
    return _tagged(response, created)


@router.get("/{org_id}/nodes")
async def list_nodes(
    session: Annotated[Session, org_session(Permission.NODES_READ)], cursor: Cursor = None, limit: Limit = 100
) -> Page[Node]:
    """The nodes that the caller may see, by id."""
    return await service.list_nodes(session, cursor, limit)


@router.get("/{org_id}/nodes/{node_id}")
async def read_node(
    response: Response, session: Annotated[Session, org_session(Permission.NODES_READ)], node_id: NodePath
) -> Node:
    """One node; its version is the ETag."""
    return _tagged(response, await service.require_node(session, node_id))


def _tagged(response: Response, node: Node) -> Node:
    response.headers["ETag"] = f'"{node.version}"'
    return node
