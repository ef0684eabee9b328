"""The editor of a node's own document: write, review what it does to whom, save; or ask somebody else to agree.

Nothing is kept between the steps: each form carries the draft and the version that it was written against.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console import changes
from incidentfox.console.backends import backends_of
from incidentfox.console.documents import Draft, Trouble, carried, excerpt, json_text, placed, read_draft
from incidentfox.console.failures import as_refusal
from incidentfox.console.places import Place, find_place
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.change_requests import Decision, OpenChangeRequest, ReplaceChange
from incidentfox.contracts.configuration import ConfigurationVersion
from incidentfox.contracts.explanation import Refusal, WritePreview
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Conflict, Failure, Forbidden, Invalid, PreconditionFailed, TooLarge, Unprocessable

router = APIRouter()

MAX_FORM_BYTES = 4 * 1024 * 1024
"""Room for a document of 1 MiB, indented and quoted. The Config Service says kindly what is too large."""

BODY_LIMITS = dict.fromkeys(("/edit", "/preview", "/save", "/ask", "/carry"), MAX_FORM_BYTES)

NEEDS_APPROVAL = "approval_required"
_STALE = "version_conflict"
_REFUSED = (Invalid, Unprocessable, Conflict, TooLarge)

Writer = Annotated[Session, requires_session(Permission.CONFIG_WRITE)]


@dataclass(frozen=True)
class Sent:
    """The form of every step: the draft, the version it was written against, and what it is for."""

    document: str
    base: int
    title: str


async def read_form(request: Request) -> Sent:
    """Reads the form; by hand, because a document may be larger than forms are by default."""
    form = await request.form(max_part_size=MAX_FORM_BYTES)
    base = str(form.get("base", ""))
    if not (base.isascii() and base.isdigit() and len(base) <= 9):
        raise Invalid("The form does not say which version the draft was written against. Open the editor again.")
    return Sent(str(form.get("document", "")), int(base), str(form.get("title", "")).strip())


Form = Annotated[Sent, Depends(read_form)]


@dataclass(frozen=True)
class Desk:
    """What every step works with."""

    request: Request
    client: ConfigServiceClient
    session: Session
    place: Place

    @property
    def node_id(self) -> str:
        """The node whose document is written."""
        return self.place.node.node_id

    async def current(self) -> ConfigurationVersion:
        """The document as it is now."""
        return await self.client.configuration(self.session.org_id, self.node_id)


@dataclass(frozen=True)
class Typing:
    """A draft, the version it was written against, and what is to be said about it."""

    text: str
    base: int
    troubles: tuple[Trouble, ...] = ()
    notice: str = ""
    clashes: tuple[str, ...] = ()
    theirs: dict[str, Any] | None = None


async def open_desk(request: Request, session: Session, node_id: str) -> Desk:
    """The desk for a node that the person may write; Forbidden otherwise."""
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    if not place.may(session, Permission.CONFIG_WRITE):
        why = "it is archived" if place.node.archived_at else "your session reaches another part of the tree only"
        raise Forbidden(f"You cannot write the configuration of {node_id!r}: {why}.", code="outside_of_own_team")
    return Desk(request, client, session, place)


@router.get("/configuration/{node_id}/edit")
async def edit_page(request: Request, session: Writer, node_id: str) -> Response:
    """The editor with the current document."""
    desk = await open_desk(request, session, node_id)
    own = await desk.current()
    return _editor(desk, Typing(json_text(own.document), own.version))


@router.post("/configuration/{node_id}/edit")
async def edit_again(request: Request, session: Writer, node_id: str, sent: Form) -> Response:
    """The editor with a draft: the way back from the review."""
    return _editor(await open_desk(request, session, node_id), Typing(sent.document, sent.base))


@router.post("/configuration/{node_id}/preview")
async def preview(request: Request, session: Writer, node_id: str, sent: Form) -> Response:
    """What the draft would change and for whom; or the editor with what is wrong. Nothing is written."""
    desk = await open_desk(request, session, node_id)
    draft, base = await asyncio.to_thread(read_draft, sent.document), sent.base
    if draft.document is None:
        return _editor(desk, Typing(draft.text, base, draft.troubles), 422)
    try:
        found = await desk.client.preview_put(session.org_id, node_id, draft.document, if_match=base)
    except _REFUSED as failure:
        return _refused(desk, draft, base, failure)
    return await _reviewed(desk, draft, base, found)


@router.post("/configuration/{node_id}/save")
async def save(request: Request, session: Writer, node_id: str, sent: Form) -> Response:
    """Writes the draft as a new version, if nobody wrote one since."""
    desk = await open_desk(request, session, node_id)
    draft, base = await asyncio.to_thread(read_draft, sent.document), sent.base
    if draft.document is None:
        return _editor(desk, Typing(draft.text, base, draft.troubles), 422)
    try:
        saved = await desk.client.put_configuration(session.org_id, node_id, draft.document, if_match=base)
    except PreconditionFailed:
        return await _met(desk, draft, base)
    except _REFUSED as failure:
        if failure.code == NEEDS_APPROVAL:  # demanded since the review
            found = await desk.client.preview_put(session.org_id, node_id, draft.document, if_match=base)
            return await _reviewed(desk, draft, base, found)
        return _refused(desk, draft, base, failure)
    return RedirectResponse(f"/configuration/{node_id}/history?saved={saved.version}", status_code=303)


@router.post("/configuration/{node_id}/carry")
async def carry(request: Request, session: Writer, node_id: str, sent: Form) -> Response:
    """The editor with the draft's changes made to the version that somebody else has written in the meantime."""
    desk = await open_desk(request, session, node_id)
    draft, base = await asyncio.to_thread(read_draft, sent.document), sent.base
    if draft.document is None:
        return _editor(desk, Typing(draft.text, base, draft.troubles), 422)
    before = await desk.client.configuration(session.org_id, node_id, version=base)
    own = await desk.current()
    merged, clashes = carried(before.document, draft.document, own.document)
    notice = f"Your changes now stand on version {own.version}. Review them again."
    return _editor(desk, Typing(json_text(merged), own.version, notice=notice, clashes=clashes))


@router.post("/configuration/{node_id}/ask")
async def ask(
    request: Request,
    session: Writer,
    node_id: str,
    sent: Form,
) -> Response:
    """Opens a change request for the draft, bound to the version that it was written against."""
    desk = await open_desk(request, session, node_id)
    draft, base = await asyncio.to_thread(read_draft, sent.document), sent.base
    if draft.document is None:
        return _editor(desk, Typing(draft.text, base, draft.troubles), 422)
    if not 0 < len(sent.title) <= 200:
        found = await desk.client.preview_put(session.org_id, node_id, draft.document, if_match=base)
        return await _reviewed(
            desk, draft, base, found, "Say in a few words what the change is for, in 200 characters at most."
        )
    if (await desk.current()).version != base:
        return await _met(desk, draft, base)
    asked = OpenChangeRequest(title=sent.title, change=ReplaceChange(document=draft.document))
    try:
        opened = await desk.client.open_change_request(session.org_id, node_id, asked)
    except _REFUSED as failure:
        return _refused(desk, draft, base, failure)
    if opened.base_version != base:
        # Somebody wrote between the two calls: the request would undo what its author has not seen.
        said = Decision(comment="Withdrawn at once: the document was changed while this was asked for.")
        await desk.client.withdraw_change_request(session.org_id, node_id, opened.request_id, said)
        return await _met(desk, draft, base)
    return RedirectResponse(f"/change-requests/{node_id}/{opened.request_id}?done=opened", status_code=303)


def review_context(found: WritePreview) -> dict[str, Any]:
    """What a review shows of a preview: the change of the document, and of each team."""
    return {
        "own_changes": changes.shown(found.changes),
        "affected": found.affected_teams,
        "teams": [(effect.team_node_id, changes.shown(effect.changes)) for effect in found.teams],
        "approval": next((refusal for refusal in found.refusals if refusal.code == NEEDS_APPROVAL), None),
        "refusals": [refusal for refusal in found.refusals if refusal.code != NEEDS_APPROVAL],
    }


async def _reviewed(desk: Desk, draft: Draft, base: int, found: WritePreview, missing: str = "") -> Response:
    if any(refusal.code == _STALE for refusal in found.refusals):
        return await _met(desk, draft, base)
    others = [refusal for refusal in found.refusals if refusal.code != NEEDS_APPROVAL]
    if others:
        typing = Typing(draft.text, base, placed(_errors(others), draft.lines), _details(others))
        return _editor(desk, typing, others[0].status)
    if not found.changes:
        return _editor(desk, Typing(draft.text, base, notice="This is what the document says already."))
    context = {
        "place": desk.place,
        "draft": json_text(draft.document),
        "base": base,
        "missing": missing,
        "title": "",
        "restores": None,
        **review_context(found),
    }
    return pages_of(desk.request).page(desk.request, "review.html", context, 422 if missing else 200)


async def _met(desk: Desk, draft: Draft, base: int) -> Response:
    """Somebody else has written in the meantime: says who, and what."""
    own = await desk.current()
    diff = await desk.client.configuration_diff(desk.session.org_id, desk.node_id, base, own.version)
    theirs = {"version": own, "changes": changes.shown(diff.changes)}
    return _editor(desk, Typing(draft.text, base, theirs=theirs), 412)


def _refused(desk: Desk, draft: Draft, base: int, failure: Failure) -> Response:
    typing = Typing(draft.text, base, placed(failure.errors, draft.lines), _details([as_refusal(failure)]))
    return _editor(desk, typing, failure.status)


def _details(refusals: list[Refusal]) -> str:
    """What is wrong, where no field says it."""
    return " ".join(refusal.detail for refusal in refusals if not refusal.errors)


def _errors(refusals: list[Refusal]) -> list[Any]:
    return [error for refusal in refusals for error in refusal.errors]


def _editor(desk: Desk, typing: Typing, status: int = 200) -> Response:
    lines = typing.text.split("\n")
    context = {
        "place": desk.place,
        "typing": typing,
        "troubles": [(trouble, excerpt(lines, trouble.line)) for trouble in typing.troubles],
        "rows": min(max(len(lines) + 2, 12), 32),
    }
    return pages_of(desk.request).page(desk.request, "edit.html", context, status)
