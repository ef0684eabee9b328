"""Opens, discusses and decides change requests; an approved one is applied in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping

from incidentfox.config_service.approvals import store
from incidentfox.config_service.approvals.rules import judge_author, judge_base, judge_open, judge_second_eyes
from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.configuration.refusals import as_failure
from incidentfox.config_service.configuration.store import current_version
from incidentfox.config_service.configuration.writing import Approval, DocumentChange, preview, write
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.reshaping import NodeChange, preview_update, update_node
from incidentfox.config_service.tree.service import require_live, require_node
from incidentfox.config_service.tree.store import lock_tree
from incidentfox.contracts.change_requests import (
    AddComment,
    Change,
    ChangeRequest,
    ChangeRequestStatus,
    Comment,
    Decision,
    MoveChange,
    OpenChangeRequest,
    PatchChange,
)
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tree import Node, NodeKind, UpdateNode
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, NotFound, Unprocessable
from incidentfox.kernel.ids import new_id, require_id
from incidentfox.kernel.web.pagination import decode_cursor, page

NEEDS_APPROVAL = "approval_required"


async def open_request(session: Session, node_id: str, request: OpenChangeRequest) -> ChangeRequest:
    """Opens a request, bound to the version of this moment.

    Raises what the write itself would raise, but for the approval that it asks for: a change that could never be
    applied is refused now and not to the approver.
    """
    await lock_tree(session)
    node = require_live(await require_node(session, node_id))
    session.require_writable(node_id)
    base = await _version(session, node, request.change)
    await _require_applicable(session, node_id, request.change, base)
    opened = await store.insert_request(session, node_id, new_id("crq"), request, base)
    detail = {"title": opened.title, "kind": opened.change.kind, "base_version": base}
    await _record(session, "change_request.opened", node, opened, detail)
    return opened


async def preview_opening(session: Session, node_id: str, request: OpenChangeRequest) -> WritePreview:
    """What the change would do, and whether it could be asked for."""
    node = require_live(await require_node(session, node_id))
    session.require_writable(node_id)
    return await _preview(session, node_id, request.change, await _version(session, node, request.change))


async def require_request(session: Session, node_id: str, request_id: str) -> ChangeRequest:
    """The request; NotFound when the node has none with this id for the caller."""
    return await _require(session, node_id, request_id, lock=False)


async def list_requests(
    session: Session, node_id: str | None, status: ChangeRequestStatus | None, cursor: str | None, limit: int
) -> Page[ChangeRequest]:
    """A page of requests, newest first."""
    before = decode_cursor(cursor)
    if before is not None:
        require_id(before, "crq")
    found = await store.newest_requests(session, node_id, status, before, limit + 1)
    return page(found, limit, lambda request: request.request_id)


async def preview_request(session: Session, node_id: str, request_id: str) -> WritePreview:
    """What approving the request would do now, and to whom."""
    request = await _require(session, node_id, request_id, lock=False)
    return await _preview(session, node_id, request.change, request.base_version)


async def approve(session: Session, node_id: str, request_id: str, decision: Decision) -> ChangeRequest:
    """Agrees to a request and applies it, both or neither.

    Raises Forbidden for the author, Gone for an expired request, Conflict for one that is decided or stale, and
    whatever the write raises, approval apart: then the request stays open.
    """
    await lock_tree(session)
    node, request = await _require_open(session, node_id, request_id)
    author = await store.identity(session, request.created_by)
    judge_second_eyes(author, await store.identity(session, session.principal.subject))
    judge_base(request, await _version(session, node, request.change))
    version = await _apply(session, node, request)
    outcome = store.Outcome(ChangeRequestStatus.APPLIED, decision.comment, version)
    applied = await store.decide(session, request_id, outcome)
    detail = {"author": request.created_by, "applied_version": version, "comment": decision.comment}
    await _record(session, "change_request.approved", node, applied, detail)
    return applied


async def reject(session: Session, node_id: str, request_id: str, decision: Decision) -> ChangeRequest:
    """Declines a request for good."""
    node, request = await _require_open(session, node_id, request_id)
    outcome = store.Outcome(ChangeRequestStatus.REJECTED, decision.comment)
    rejected = await store.decide(session, request_id, outcome)
    detail = {"author": request.created_by, "comment": decision.comment}
    await _record(session, "change_request.rejected", node, rejected, detail)
    return rejected


async def withdraw(session: Session, node_id: str, request_id: str, decision: Decision) -> ChangeRequest:
    """Takes one's own request back."""
    node, request = await _require_open(session, node_id, request_id)
    await _require_author(session, request)
    withdrawn = await store.decide(session, request_id, store.Outcome(ChangeRequestStatus.WITHDRAWN, decision.comment))
    await _record(session, "change_request.withdrawn", node, withdrawn, {"comment": decision.comment})
    return withdrawn


async def rebase(session: Session, node_id: str, request_id: str) -> ChangeRequest:
    """Binds one's own request to the current version, judged anew.

    Raises Conflict for one that replaces the whole document: applied to a newer version, it would undo what came since.
    """
    await lock_tree(session)
    node, request = await _require_open(session, node_id, request_id)
    await _require_author(session, request)
    base = await _version(session, node, request.change)
    if base == request.base_version:
        return request
    if not isinstance(request.change, PatchChange | MoveChange):
        raise Conflict(
            "A whole document cannot be rebased: it would undo what came since. Open a new request from the current"
            " version.",
            code="change_request_stale",
        )
    await _require_applicable(session, node_id, request.change, base)
    rebased = await store.rebase(session, request_id, base)
    detail = {"from_version": request.base_version, "to_version": base}
    await _record(session, "change_request.rebased", node, rebased, detail)
    return rebased


async def comment(session: Session, node_id: str, request_id: str, said: AddComment) -> Comment:
    """Adds a comment, also to a request that is decided."""
    node = await require_node(session, node_id)
    request = await _require(session, node_id, request_id, lock=False)
    added = Comment(
        comment_id=new_id("cmt"),
        request_id=request_id,
        text=said.text,
        created_at=utc_now(),
        created_by=session.principal.subject,
    )
    await store.insert_comment(session, node_id, added)
    await _record(session, "change_request.commented", node, request, {"comment_id": added.comment_id})
    return added


async def list_comments(
    session: Session, node_id: str, request_id: str, cursor: str | None, limit: int
) -> Page[Comment]:
    """A page of the comments on a request, oldest first."""
    after = decode_cursor(cursor)
    if after is not None:
        require_id(after, "cmt")
    await _require(session, node_id, request_id, lock=False)
    return page(
        await store.comments_after(session, request_id, after, limit + 1), limit, lambda comment: comment.comment_id
    )


async def _require(session: Session, node_id: str, request_id: str, *, lock: bool) -> ChangeRequest:
    found = await store.request(session, node_id, require_id(request_id, "crq"), lock=lock)
    if found is None:
        raise NotFound(f"{node_id!r} has no change request {request_id} here for you.", code="change_request_not_found")
    return found


async def _require_open(session: Session, node_id: str, request_id: str) -> tuple[Node, ChangeRequest]:
    node = await require_node(session, node_id)
    session.require_writable(node_id)
    request = await _require(session, node_id, request_id, lock=True)
    judge_open(request)
    return node, request


async def _require_author(session: Session, request: ChangeRequest) -> None:
    author = await store.identity(session, request.created_by)
    judge_author(author, await store.identity(session, session.principal.subject))


async def _version(session: Session, node: Node, change: Change) -> int:
    """The version that such a change is bound to: the node's own for a move, else its document's."""
    if isinstance(change, MoveChange):
        return node.version
    return (await current_version(session, node.node_id)).version


async def _require_applicable(session: Session, node_id: str, change: Change, base: int) -> None:
    shown = await _preview(session, node_id, change, base)
    if shown.refusals:
        raise as_failure(shown.refusals[0])
    if not isinstance(change, MoveChange) and not shown.changes:
        message = "This changes nothing in the node's document."
        raise Unprocessable(message, code="nothing_to_change", errors=[FieldError(pointer="/change", message=message)])


async def _preview(session: Session, node_id: str, change: Change, base: int) -> WritePreview:
    if isinstance(change, MoveChange):
        return await preview_update(session, _move(node_id, change, base), approved=True)
    return await preview(session, _document_change(node_id, change, base), approved=True)


async def _apply(session: Session, node: Node, request: ChangeRequest) -> int:
    approval = Approval(request.request_id, request.created_by)
    if isinstance(request.change, MoveChange):
        move = _move(node.node_id, request.change, request.base_version)
        return (await update_node(session, move, approval)).version
    change = _document_change(node.node_id, request.change, request.base_version)
    return (await write(session, change, approval)).version


def _document_change(node_id: str, change: Change, base: int) -> DocumentChange:
    if isinstance(change, PatchChange):
        return DocumentChange(node_id, change.patch, merges=True, if_match=frozenset({base}))
    assert not isinstance(change, MoveChange), "a move changes no document"
    return DocumentChange(node_id, change.document, merges=False, if_match=frozenset({base}))


def _move(node_id: str, change: MoveChange, base: int) -> NodeChange:
    return NodeChange(node_id, UpdateNode(parent_id=change.parent_id), frozenset({base}))


async def _record(
    session: Session, action: str, node: Node, request: ChangeRequest, detail: Mapping[str, object]
) -> None:
    team = node.node_id if node.kind is NodeKind.TEAM else None
    after = content_hash(request.change.model_dump(mode="json"))
    await record(
        session,
        Fact(action, request.request_id, team, after_hash=after, detail={"node_id": node.node_id, **detail}),
    )
