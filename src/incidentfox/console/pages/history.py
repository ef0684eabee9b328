"""The versions of a node's own document: who wrote what when, any two compared, and the way back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from incidentfox.console import changes
from incidentfox.console.backends import backends_of
from incidentfox.console.documents import json_text
from incidentfox.console.pages.editor import open_desk, review_context
from incidentfox.console.places import find_place
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Conflict, PreconditionFailed, Unprocessable

router = APIRouter()

PER_PAGE = 30
_MOST_VERSION = 2_147_483_647

Reader = Annotated[Session, requires_session(Permission.CONFIG_READ)]
Writer = Annotated[Session, requires_session(Permission.CONFIG_WRITE)]
Number = Annotated[int, Query(ge=0, le=_MOST_VERSION)]
FormNumber = Annotated[int, Form(ge=0, le=_MOST_VERSION)]


@router.get("/configuration/{node_id}/history")
async def history_page(
    request: Request,
    session: Reader,
    node_id: str,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
    saved: Annotated[int | None, Query(ge=0, le=_MOST_VERSION)] = None,
) -> Response:
    """The versions, newest first."""
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    page = await client.configuration_versions(session.org_id, node_id, cursor=cursor, limit=PER_PAGE)
    current = page.items[0].version if cursor is None and page.items else None
    if current is None:
        current = (await client.configuration(session.org_id, node_id)).version
    context = {
        "place": place,
        "may_edit": place.may(session, Permission.CONFIG_WRITE),
        "tab": "history",
        "versions": page.items,
        "current": current,
        "older": page.next_cursor,
        "is_first": cursor is None,
        "saved": saved if saved == current else None,
    }
    return pages_of(request).page(request, "history.html", context)


@router.get("/configuration/{node_id}/diff")
async def diff_page(
    request: Request,
    session: Reader,
    node_id: str,
    older: Annotated[int, Query(alias="from", ge=0, le=_MOST_VERSION)],
    newer: Annotated[int, Query(alias="to", ge=0, le=_MOST_VERSION)],
) -> Response:
    """What changed between any two versions."""
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    diff = await client.configuration_diff(session.org_id, node_id, older, newer)
    context = {
        "place": place,
        "may_edit": place.may(session, Permission.CONFIG_WRITE),
        "tab": "history",
        "older": older,
        "newer": newer,
        "own_changes": changes.shown(diff.changes),
    }
    return pages_of(request).page(request, "diff.html", context)


@router.get("/configuration/{node_id}/rollback")
async def rollback_page(request: Request, session: Writer, node_id: str, version: Number) -> Response:
    """What returning to an earlier version would do, to be confirmed."""
    return await _review(request, session, node_id, version)


@router.post("/configuration/{node_id}/rollback")
async def roll_back(request: Request, session: Writer, node_id: str, version: FormNumber, base: FormNumber) -> Response:
    """Writes the earlier document again as a new version, if nobody wrote one since it was reviewed."""
    desk = await open_desk(request, session, node_id)
    try:
        written = await desk.client.roll_back_configuration(session.org_id, node_id, version, if_match=base)
    except PreconditionFailed:
        words = "Somebody wrote a new version in the meantime. This is what returning would undo now."
        return await _review(request, session, node_id, version, words, 412)
    except (Unprocessable, Conflict) as failure:
        return await _review(request, session, node_id, version, "It was not written.", failure.status)
    return RedirectResponse(f"/configuration/{node_id}/history?saved={written.version}", status_code=303)


async def _review(
    request: Request, session: Session, node_id: str, version: int, missing: str = "", status: int = 200
) -> Response:
    desk = await open_desk(request, session, node_id)
    own = await desk.current()
    earlier = await desk.client.configuration(session.org_id, node_id, version=version)
    found = await desk.client.preview_rollback(session.org_id, node_id, version, if_match=own.version)
    context = {
        "place": desk.place,
        "draft": json_text(earlier.document),
        "base": own.version,
        "missing": missing,
        "title": f"Return to version {version}",
        "restores": version,
        **review_context(found),
    }
    return pages_of(request).page(request, "review.html", context, status)
