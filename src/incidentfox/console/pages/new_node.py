"""A new unit or team: typed, reviewed, created. Nothing is written before the review is confirmed.

Nothing is kept between the steps: each form carries what was typed, and a key that makes sending it twice harmless.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from incidentfox.console.backends import backends_of
from incidentfox.console.documents import Draft, Trouble, excerpt, json_text, placed, read_draft
from incidentfox.console.failures import as_refusal
from incidentfox.console.places import Place, find_place
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.explanation import Refusal
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.errors import Conflict, Forbidden, Invalid, TooLarge, Unprocessable
from incidentfox.kernel.ids import new_id

router = APIRouter()

KINDS = (
    (NodeKind.TEAM, "A team", "has an agent of its own, and nothing below it"),
    (NodeKind.UNIT, "A unit", "holds teams and further units"),
)

_FIELDS = frozenset({"kind", "name", "node_id"})
_TAKEN = "node_exists"
_REFUSED = (Invalid, Unprocessable, Conflict, TooLarge)
_WORDS = {
    "kind": "Choose what it is.",
    "name": "Give it a name of 1 to 200 characters, as people know it.",
    "node_id": "An id has lower-case letters, digits and hyphens: at most 63, and no hyphen at either end.",
}

Shaper = Annotated[Session, requires_session(Permission.NODES_WRITE)]
Text = Annotated[str, Form()]


@dataclass(frozen=True)
class Typed:
    """The form of every step. `key` is the idempotency key of the creation that it leads to."""

    kind: str
    name: str
    node_id: str
    document: str
    key: str


def read_form(
    kind: Text = "",
    name: Text = "",
    node_id: Annotated[str, Form(alias="id")] = "",
    document: Text = "",
    key: Annotated[str, Form(pattern=r"^[!-~]{8,200}$")] = "",
) -> Typed:
    """Reads the form; what it says is judged later, so that it can be shown again with what is wrong."""
    return Typed(kind, name.strip(), node_id.strip(), document, key or new_id("idk"))


Sent = Annotated[Typed, Depends(read_form)]


@dataclass(frozen=True)
class Wrong:
    """What stands in the way: beside which field of the form, in the document, or about the whole."""

    fields: dict[str, str] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    whole: str = ""
    status: int = 422


@router.get("/configuration/{parent_id}/create")
async def create_page(request: Request, session: Shaper, parent_id: str) -> Response:
    """The empty form."""
    place = await _parent(request, session, parent_id)
    return _form(request, place, Typed(NodeKind.TEAM, "", "", "", new_id("idk")))


@router.post("/configuration/{parent_id}/create")
async def create_again(request: Request, session: Shaper, parent_id: str, sent: Sent) -> Response:
    """The form with what was typed: the way back from the review."""
    return _form(request, await _parent(request, session, parent_id), sent)


@router.post("/configuration/{parent_id}/create/review")
async def review(request: Request, session: Shaper, parent_id: str, sent: Sent) -> Response:
    """What would be created; or the form with what is wrong. Nothing is written."""
    place = await _parent(request, session, parent_id)
    asked, sent, wrong, draft = await _asked(parent_id, sent)
    if asked is None:
        return _form(request, place, sent, wrong)
    try:
        found = await backends_of(request).config_service.preview_creation(session.org_id, asked)
    except _REFUSED as failure:
        return _form(request, place, sent, _wrong([as_refusal(failure)], draft))
    if found.refusals:
        return _form(request, place, sent, _wrong(found.refusals, draft))
    context = {
        "place": place,
        "asked": asked,
        "typed": sent,
        "first": json_text(asked.configuration) if asked.configuration else "",
    }
    return pages_of(request).page(request, "create_review.html", context)


@router.post("/configuration/{parent_id}/create/confirm")
async def create(request: Request, session: Shaper, parent_id: str, sent: Sent) -> Response:
    """Creates it. The form's key makes a second sending answer as the first did."""
    place = await _parent(request, session, parent_id)
    asked, sent, wrong, draft = await _asked(parent_id, sent)
    if asked is None:
        return _form(request, place, sent, wrong)
    try:
        made = await backends_of(request).config_service.create_node(session.org_id, asked, idempotency_key=sent.key)
    except _REFUSED as failure:
        return _form(request, place, replace(sent, key=new_id("idk")), _wrong([as_refusal(failure)], draft))
    return RedirectResponse(f"/configuration/{made.node_id}?done=created", status_code=303)


def slug(name: str) -> str:
    """An id made from a name: its letters and digits in lower case, hyphens between the words."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")


async def _asked(parent_id: str, typed: Typed) -> tuple[CreateNode | None, Typed, Wrong, Draft]:
    """The request that the form stands for, or what is wrong with it; the form has its id by then."""
    typed = replace(typed, node_id=typed.node_id or slug(typed.name))
    draft = await asyncio.to_thread(read_draft, typed.document)
    wrong = Wrong(troubles=draft.troubles)
    asked = None
    try:
        asked = CreateNode(
            node_id=typed.node_id,
            parent_id=parent_id,
            kind=NodeKind(typed.kind) if typed.kind in (NodeKind.TEAM, NodeKind.UNIT) else NodeKind.ORG,
            name=typed.name,
            configuration=draft.document or None,
        )
    except ValidationError as error:
        named = {str(found["loc"][0]) for found in error.errors(include_input=False)} & _FIELDS
        if not typed.node_id:
            named -= {"node_id"} if "name" in named else set()  # a name is all that is missing
        wrong = replace(wrong, fields={name: _WORDS[name] for name in named})
    if asked is not None and asked.kind is NodeKind.ORG:
        wrong = replace(wrong, fields={"kind": _WORDS["kind"]})
    return (None if wrong.fields or wrong.troubles else asked), typed, wrong, draft


def _wrong(refusals: Sequence[Refusal], draft: Draft) -> Wrong:
    """Each refusal beside the field that it names; what names none of the form's is about the document."""
    fields: dict[str, str] = {}
    others: list[FieldError] = []
    whole: list[str] = []
    for refusal in refusals:
        if refusal.code == _TAKEN:
            fields["node_id"] = refusal.detail
        elif not refusal.errors:
            whole.append(refusal.detail)
        for error in refusal.errors:
            name = error.pointer.removeprefix("/")
            if name in _FIELDS:
                fields[name] = error.message
            elif name == "parent_id":
                whole.append(error.message)
            else:
                others.append(error)
    return Wrong(fields, placed(others, draft.lines), " ".join(whole), refusals[0].status)


async def _parent(request: Request, session: Session, parent_id: str) -> Place:
    """The node to create below; Forbidden when this person creates nothing there."""
    place = await find_place(backends_of(request).config_service, session, parent_id)
    if not place.may_shape(session):
        raise Forbidden("Only an administrator of the whole organisation changes the tree.", code="outside_of_own_team")
    if place.node.kind is NodeKind.TEAM:
        raise Unprocessable(f"{parent_id!r} is a team, and teams have nothing below them.", code="invalid_node")
    if place.node.archived_at is not None:
        raise Conflict(f"{parent_id!r} is archived. Restore it first.", code="node_archived")
    return place


def _form(request: Request, place: Place, typed: Typed, wrong: Wrong | None = None) -> Response:
    lines = typed.document.replace("\r\n", "\n").split("\n")
    troubles = [(trouble, excerpt(lines, trouble.line)) for trouble in wrong.troubles] if wrong else []
    context = {"place": place, "typed": typed, "kinds": KINDS, "wrong": wrong or Wrong(), "troubles": troubles}
    return pages_of(request).page(request, "create.html", context, wrong.status if wrong else 200)
