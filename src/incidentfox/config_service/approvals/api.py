"""Routes of change requests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from incidentfox.config_service.approvals import service
from incidentfox.config_service.dependencies import WATCHED, NodePath, Work, org_session, org_work, org_write
from incidentfox.config_service.idempotency import IdempotencyKey, once
from incidentfox.config_service.preconditions import DryRun
from incidentfox.config_service.prepared import Prepared, prepare
from incidentfox.config_service.session import Session
from incidentfox.contracts.change_requests import (
    AddComment,
    ChangeRequest,
    ChangeRequestStatus,
    Comment,
    Decision,
    OpenChangeRequest,
)
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.model import NodeId
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.pagination import Cursor, Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1/orgs/{org_id}", tags=["change requests"], route_class=StrictRoute)

_REQUESTS = "/nodes/{node_id}/change-requests"
_REQUEST = f"{_REQUESTS}/{{request_id}}"

RequestPath = Annotated[str, Path(pattern=r"^crq_[0-9a-hjkmnp-tv-z]{26}$", description="The change request's id.")]
Reading = Annotated[Session, org_session(Permission.CONFIG_READ)]
Commenting = Annotated[Session, org_write(Permission.CONFIG_READ)]
Writing = Annotated[Session, org_write(Permission.CONFIG_WRITE)]
Approving = Annotated[Session, org_write(Permission.CONFIG_APPROVE)]
ApprovingWork = Annotated[Work, org_work(Permission.CONFIG_APPROVE)]
WritingWork = Annotated[Work, org_work(Permission.CONFIG_WRITE)]
ReadingWork = Annotated[Work, org_work(Permission.CONFIG_READ)]
Status = Annotated[ChangeRequestStatus | None, Query(description="Only requests in this state.")]


@router.get("/change-requests")
async def list_all_requests(
    session: Reading,
    node_id: Annotated[NodeId | None, Query(description="Only requests of this node.")] = None,
    status: Status = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ChangeRequest]:
    """The change requests that the caller may see, newest first."""
    return await service.list_requests(session, node_id, status, cursor, limit)


@router.post(
    _REQUESTS,
    status_code=201,
    response_model=ChangeRequest | WritePreview,
    responses={200: {"model": WritePreview, "description": "A preview, or events.", **WATCHED[200]}},
)
async def open_request(
    work: WritingWork,
    node_id: NodePath,
    request: OpenChangeRequest,
    idempotency_key: IdempotencyKey = None,
    dry_run: DryRun = False,
) -> Response:
    """Asks for a change of the node, for somebody else to approve. A preview is a 200."""

    async def ask(session: Session) -> Prepared:
        if dry_run:
            return prepare(await service.preview_opening(session, node_id, request))
        opened = await once(
            session, idempotency_key, request, ChangeRequest, lambda: service.open_request(session, node_id, request)
        )
        return prepare(opened, status=201)

    return await work.answer(ask)


@router.get(_REQUEST)
async def read_request(session: Reading, node_id: NodePath, request_id: RequestPath) -> ChangeRequest:
    """One change request."""
    return await service.require_request(session, node_id, request_id)


@router.get(f"{_REQUEST}/preview", response_model=WritePreview, responses=WATCHED)
async def preview_request(work: ReadingWork, node_id: NodePath, request_id: RequestPath) -> Response:
    """What approving it would do now: what would change in the node's document and for each team."""

    async def look(session: Session) -> Prepared:
        return prepare(await service.preview_request(session, node_id, request_id))

    return await work.answer(look)


@router.post(f"{_REQUEST}/approve", response_model=ChangeRequest, responses=WATCHED)
async def approve_request(
    work: ApprovingWork, node_id: NodePath, request_id: RequestPath, decision: Decision, dry_run: DryRun = False
) -> Response:
    """Approves and applies it, both or neither. Nobody approves their own."""

    async def approve(session: Session) -> Prepared:
        return prepare(await service.approve(session, node_id, request_id, decision))

    return await work.answer(approve, dry_run=dry_run)


@router.post(f"{_REQUEST}/reject")
async def reject_request(
    session: Approving, node_id: NodePath, request_id: RequestPath, decision: Decision
) -> ChangeRequest:
    """Declines it for good."""
    return await service.reject(session, node_id, request_id, decision)


@router.post(f"{_REQUEST}/withdraw")
async def withdraw_request(
    session: Writing, node_id: NodePath, request_id: RequestPath, decision: Decision
) -> ChangeRequest:
    """Takes it back. For who opened it."""
    return await service.withdraw(session, node_id, request_id, decision)


@router.post(f"{_REQUEST}/rebase")
async def rebase_request(session: Writing, node_id: NodePath, request_id: RequestPath) -> ChangeRequest:
    """Binds it to the current version, judged anew. For who opened it."""
    return await service.rebase(session, node_id, request_id)


@router.get(f"{_REQUEST}/comments")
async def list_comments(
    session: Reading, node_id: NodePath, request_id: RequestPath, cursor: Cursor = None, limit: Limit = 50
) -> Page[Comment]:
    """The comments on it, oldest first."""
    return await service.list_comments(session, node_id, request_id, cursor, limit)


@router.post(f"{_REQUEST}/comments", status_code=201)
async def add_comment(session: Commenting, node_id: NodePath, request_id: RequestPath, said: AddComment) -> Comment:
    """Adds a comment. Whoever may read the configuration may comment on a change of it."""
    return await service.comment(session, node_id, request_id, said)
