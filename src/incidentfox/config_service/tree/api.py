"""Routes of the tree."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from incidentfox.config_service.dependencies import WATCHED, NodePath, Work, begin, org_session, org_work
from incidentfox.config_service.idempotency import IdempotencyKey, once
from incidentfox.config_service.preconditions import DryRun, IfMatch, versions_of
from incidentfox.config_service.prepared import Prepared, prepare
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree import reshaping, service
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, Node, Removal, UpdateNode
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Cursor, Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1/orgs", tags=["tree"], route_class=StrictRoute)

Reading = Annotated[Session, org_session(Permission.NODES_READ)]
Writing = Annotated[Session, org_session(Permission.NODES_WRITE)]
WritingWork = Annotated[Work, org_work(Permission.NODES_WRITE)]


@router.post("", status_code=201)
async def create_organisation(
    request: Request,
    response: Response,
    principal: Annotated[Principal, requires(Permission.ORGS_CREATE)],
    organisation: CreateOrganisation,
    idempotency_key: IdempotencyKey = None,
    dry_run: DryRun = False,
) -> Node:
    """Creates an organisation and its root node. For the operator's own key."""
    tenant = Tenant(principal.in_org(organisation.org_id).org_id or organisation.org_id, principal.team_node_id)
    # The tenant is in the body, so the transaction is opened here: it, too, commits before the response is sent.
    async with begin(request, principal, tenant, dry_run=dry_run) as session:
        node = await once(
            session, idempotency_key, organisation, Node, lambda: service.create_organisation(session, organisation)
        )
    return _tagged(response, node)


@router.post("/{org_id}/nodes", status_code=201, responses={200: {"model": WritePreview, "description": "A preview."}})
async def create_node(
    response: Response,
    session: Writing,
    node: CreateNode,
    idempotency_key: IdempotencyKey = None,
    dry_run: DryRun = False,
) -> Node | WritePreview:
    """Creates a unit or team, with its first document where one is given. A preview is a 200."""
    if dry_run:
        response.status_code = 200
        return await reshaping.preview_creation(session, node)
    created = await once(session, idempotency_key, node, Node, lambda: reshaping.create_node(session, node))
    return _tagged(response, created)


@router.get("/{org_id}/nodes")
async def list_nodes(session: Reading, cursor: Cursor = None, limit: Limit = 100) -> Page[Node]:
    """The nodes that the caller may see, by id."""
    return await service.list_nodes(session, cursor, limit)


@router.get("/{org_id}/nodes/{node_id}")
async def read_node(response: Response, session: Reading, node_id: NodePath) -> Node:
    """One node; its version is the ETag."""
    return _tagged(response, await service.require_node(session, node_id))


@router.patch("/{org_id}/nodes/{node_id}", response_model=Node | WritePreview, responses=WATCHED)
async def update_node(
    work: WritingWork,
    node_id: NodePath,
    update: UpdateNode,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> Response:
    """Renames a node, moves it with everything below it, or both. Everything that moves is judged in its new place."""
    change = reshaping.NodeChange(node_id, update, versions_of(if_match))

    async def reshape(session: Session) -> Prepared:
        if dry_run:
            return prepare(await reshaping.preview_update(session, change))
        return _prepared(await reshaping.update_node(session, change))

    return await work.answer(reshape)


@router.post("/{org_id}/nodes/{node_id}/archive")
async def archive_node(
    response: Response, session: Writing, node_id: NodePath, if_match: IfMatch = None, dry_run: DryRun = False
) -> Node | WritePreview:
    """Freezes a unit or team with everything below it: no run, no write, no routing, until it is restored."""
    if dry_run:
        return await reshaping.preview_archiving(session, node_id, versions_of(if_match))
    return _tagged(response, await reshaping.archive_node(session, node_id, versions_of(if_match)))


@router.post("/{org_id}/nodes/{node_id}/restore", response_model=Node | WritePreview, responses=WATCHED)
async def restore_node(
    work: WritingWork, node_id: NodePath, if_match: IfMatch = None, dry_run: DryRun = False
) -> Response:
    """Restores what was archived together with the node, judged anew."""
    versions = versions_of(if_match)

    async def restore(session: Session) -> Prepared:
        if dry_run:
            return prepare(await reshaping.preview_restoring(session, node_id, versions))
        return _prepared(await reshaping.restore_node(session, node_id, versions))

    return await work.answer(restore)


@router.delete("/{org_id}/nodes/{node_id}")
async def delete_node(
    session: Writing, node_id: NodePath, if_match: IfMatch = None, dry_run: DryRun = False
) -> Removal:
    """Deletes a unit or team with everything below it, and says what fell; or, as a dry run, what would."""
    return await reshaping.delete_node(session, node_id, versions_of(if_match), dry_run=dry_run)


def _prepared(node: Node) -> Prepared:
    return prepare(node, f'"{node.version}"')


def _tagged(response: Response, node: Node) -> Node:
    response.headers["ETag"] = f'"{node.version}"'
    return node
