"""Change requests: what somebody wants changed, what it would do now, what was said, and the decision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console import changes
from incidentfox.console.backends import backends_of
from incidentfox.console.documents import json_text
from incidentfox.console.pages.editor import review_context
from incidentfox.console.places import Place, find_place
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.change_requests import AddComment, ChangeRequest, ChangeRequestStatus, Decision, MoveChange
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Failure, Forbidden, Gone, NotFound, Permanent, Unauthenticated

router = APIRouter()

PER_PAGE = 25
_MOST_COMMENTS = 200

Reader = Annotated[Session, requires_session(Permission.CONFIG_READ)]
Writer = Annotated[Session, requires_session(Permission.CONFIG_WRITE)]
Approver = Annotated[Session, requires_session(Permission.CONFIG_APPROVE)]
Filter = Annotated[str, Query(max_length=100)]
OptionalCursor = Annotated[str | None, Query(max_length=512)]
Said = Annotated[str, Form(max_length=8000)]
Seen = Annotated[int, Form(ge=0, le=2_147_483_647)]

_DONE = {
    "opened": "The change request is open. Somebody else has to approve it.",
    "approved": "Approved and applied.",
    "rejected": "Rejected.",
    "withdrawn": "Withdrawn.",
    "rebased": "It now stands on the current version.",
    "commented": "Your comment is on record.",
}


@router.get("/change-requests")
async def requests_page(
    request: Request, session: Reader, status: Filter = "open", node: Filter = "", cursor: OptionalCursor = None
) -> Response:
    """The requests that the person may see, newest first: the open ones unless others are asked for."""
    client = backends_of(request).config_service
    wanted = ChangeRequestStatus(status) if status in set(ChangeRequestStatus) else None
    page = await client.change_requests(
        session.org_id, node_id=node or None, status=wanted, cursor=cursor, limit=PER_PAGE
    )
    context = {
        "requests": page.items,
        "status": wanted,
        "node": node,
        "filters": [(option, _address(option, node)) for option in (*ChangeRequestStatus, None)],
        "older": _address(wanted, node, page.next_cursor) if page.next_cursor else None,
        "newest": _address(wanted, node) if cursor else None,
    }
    return pages_of(request).page(request, "change_requests.html", context)


@router.get("/change-requests/{node_id}/{request_id}")
async def request_page(
    request: Request,
    session: Reader,
    node_id: str,
    request_id: str,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """One request."""
    return await _page(request, session, node_id, request_id, done=_DONE.get(done, ""))


@router.post("/change-requests/{node_id}/{request_id}/approve")
async def approve(
    request: Request, session: Approver, node_id: str, request_id: str, seen: Seen, comment: Said = ""
) -> Response:
    """Approves and applies what was read: not what its author has rebased since."""
    client = backends_of(request).config_service
    current = await client.change_request(session.org_id, node_id, request_id)
    if current.base_version != seen:
        words = "Its author has bound it to a newer version since you read it. Read it again: this is what it does now."
        return await _page(request, session, node_id, request_id, wrong=words, status=409)

    async def decide() -> None:
        await client.approve_change_request(session.org_id, node_id, request_id, _decision(comment))

    return await _acted(request, session, (node_id, request_id), decide(), "approved")


@router.post("/change-requests/{node_id}/{request_id}/reject")
async def reject(request: Request, session: Approver, node_id: str, request_id: str, comment: Said = "") -> Response:
    """Declines it for good."""
    client = backends_of(request).config_service

    async def decide() -> None:
        await client.reject_change_request(session.org_id, node_id, request_id, _decision(comment))

    return await _acted(request, session, (node_id, request_id), decide(), "rejected")


@router.post("/change-requests/{node_id}/{request_id}/withdraw")
async def withdraw(request: Request, session: Writer, node_id: str, request_id: str, comment: Said = "") -> Response:
    """Takes one's own back."""
    client = backends_of(request).config_service

    async def decide() -> None:
        await client.withdraw_change_request(session.org_id, node_id, request_id, _decision(comment))

    return await _acted(request, session, (node_id, request_id), decide(), "withdrawn")


@router.post("/change-requests/{node_id}/{request_id}/rebase")
async def rebase(request: Request, session: Writer, node_id: str, request_id: str) -> Response:
    """Binds one's own to the current version."""
    client = backends_of(request).config_service

    async def decide() -> None:
        await client.rebase_change_request(session.org_id, node_id, request_id)

    return await _acted(request, session, (node_id, request_id), decide(), "rebased")


@router.post("/change-requests/{node_id}/{request_id}/comments")
async def comment(request: Request, session: Reader, node_id: str, request_id: str, comment: Said = "") -> Response:
    """Adds a comment."""
    client = backends_of(request).config_service

    async def say() -> None:
        said = AddComment(text=comment)
        await client.comment_on_change_request(session.org_id, node_id, request_id, said.text)

    return await _acted(request, session, (node_id, request_id), say(), "commented")


def _decision(comment: str) -> Decision:
    return Decision(comment=comment if comment.strip() else None)


async def _acted(
    request: Request, session: Session, which: tuple[str, str], action: Awaitable[None], done: str
) -> Response:
    """The page again after an action, or with the reason why it was not taken."""
    node_id, request_id = which
    try:
        await action
    except (Unauthenticated, NotFound):
        raise
    except ValidationError:
        words = "A comment holds 1 to 4000 characters."
        return await _page(request, session, node_id, request_id, wrong=words, status=422)
    except Permanent as failure:
        return await _page(request, session, node_id, request_id, wrong=failure, status=failure.status)
    return RedirectResponse(f"/change-requests/{node_id}/{request_id}?done={done}", status_code=303)


async def _page(
    request: Request,
    session: Session,
    node_id: str,
    request_id: str,
    *,
    done: str = "",
    wrong: Failure | str = "",
    status: int = 200,
) -> Response:
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    asked, comments = await asyncio.gather(
        client.change_request(session.org_id, node_id, request_id),
        client.change_request_comments(session.org_id, node_id, request_id, limit=_MOST_COMMENTS),
    )
    context: dict[str, Any] = {
        "place": place,
        "asked": asked,
        "comments": comments.items,
        "has_more_comments": comments.next_cursor is not None,
        "done": done,
        "wrong": wrong,
        "change_text": json_text(asked.change.model_dump(mode="json", exclude={"kind"})),
        **await _effect(client, session, asked),
        **_rights(place, session, asked),
    }
    return pages_of(request).page(request, "change_request.html", context, status)


async def _effect(client: ConfigServiceClient, session: Session, asked: ChangeRequest) -> dict[str, Any]:
    """What approving would do now, or what it did; nothing for a request that came to nothing."""
    if asked.status is not ChangeRequestStatus.OPEN:
        return {"effect": None, "stale": None, "did": await _what_it_did(client, session, asked)}
    try:
        found = await client.preview_change_request(session.org_id, asked.node_id, asked.request_id)
    except (Forbidden, Gone):
        return {"effect": None, "stale": None, "did": None}
    effect = review_context(found)
    stale = next((refusal for refusal in effect["refusals"] if refusal.code == "version_conflict"), None)
    return {"effect": effect, "stale": stale, "did": None}


async def _what_it_did(
    client: ConfigServiceClient, session: Session, asked: ChangeRequest
) -> list[changes.ShownChange] | None:
    version = asked.applied_version
    if not version or isinstance(asked.change, MoveChange):
        return None
    diff = await client.configuration_diff(session.org_id, asked.node_id, version - 1, version)
    return changes.shown(diff.changes)


def _rights(place: Place, session: Session, asked: ChangeRequest) -> dict[str, Any]:
    """What the person may do. Whose request it is, is known for people; of shared tokens the service alone knows."""
    is_open = asked.status is ChangeRequestStatus.OPEN
    is_mine = asked.created_by == session.subject
    may_write = place.may(session, Permission.CONFIG_WRITE)
    return {
        "is_open": is_open,
        "is_mine": is_mine,
        "may_decide": is_open and not is_mine and place.may(session, Permission.CONFIG_APPROVE),
        "may_withdraw": is_open and is_mine and may_write,
        "may_rebase": is_open and is_mine and may_write and asked.change.kind != "replace",
        "is_move": isinstance(asked.change, MoveChange),
    }


def _address(status: ChangeRequestStatus | None, node: str, cursor: str | None = None) -> str:
    query = {"status": status.value if status else "all", "node": node, "cursor": cursor or ""}
    if status is ChangeRequestStatus.OPEN:
        del query["status"]
    filled = {name: value for name, value in query.items() if value}
    return f"/change-requests?{urlencode(filled)}" if filled else "/change-requests"
