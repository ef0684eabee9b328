"""Renaming, moving, archiving, restoring and deleting a node: each is reviewed first, and confirmed with the version
of the node that was reviewed, so that whoever was slower is told so and undoes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console import changes
from incidentfox.console.backends import backends_of
from incidentfox.console.failures import as_refusal
from incidentfox.console.outline import outline
from incidentfox.console.places import Place, find_place, read_nodes
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.change_requests import Decision, MoveChange, OpenChangeRequest
from incidentfox.contracts.explanation import Refusal, WritePreview
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tree import Node, NodeKind, Removal, UpdateNode
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, Forbidden, PreconditionFailed, Unprocessable

router = APIRouter()

NEEDS_APPROVAL = "approval_required"
MOST_CHOICES = 200

Step = Literal["rename", "move", "archive", "restore", "delete"]

_REFUSED = (Conflict, Unprocessable)
_BAD_NAME = "A name has 1 to 200 characters."

Shaper = Annotated[Session, requires_session(Permission.NODES_WRITE)]
Text = Annotated[str, Query(max_length=1000)]
Typed = Annotated[str, Form(max_length=1000)]
Base = Annotated[int, Form(ge=0, le=999_999_999)]


@dataclass(frozen=True)
class Desk:
    """A node whose place in the tree the person may change."""

    request: Request
    client: ConfigServiceClient
    session: Session
    place: Place

    @property
    def node(self) -> Node:
        """The node as it is now."""
        return self.place.node


@dataclass(frozen=True)
class Review:
    """What a step would do, to be confirmed. `refusals`: why it would not be done."""

    step: Step
    refusals: Sequence[Refusal] = ()
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """What is to be said above a review, because a confirmation did not go through."""

    notice: str = ""
    refusal: Refusal | None = None
    status: int = 200
    typed: str = ""


async def open_desk(request: Request, session: Session, node_id: str) -> Desk:
    """The desk for a node; Forbidden for whoever does not administer the whole organisation."""
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    if not place.may_shape(session):
        raise Forbidden("Only an administrator of the whole organisation changes the tree.", code="outside_of_own_team")
    return Desk(request, client, session, place)


@router.get("/configuration/{node_id}/manage")
async def manage_page(request: Request, session: Shaper, node_id: str) -> Response:
    """What can be done to the node, each as a form that leads to its review."""
    return await _manage(await open_desk(request, session, node_id), {})


@router.get("/configuration/{node_id}/rename")
async def rename_page(request: Request, session: Shaper, node_id: str, name: Text = "") -> Response:
    """What the new name would change."""
    return await _review_name(await open_desk(request, session, node_id), name, Said())


@router.post("/configuration/{node_id}/rename")
async def rename(request: Request, session: Shaper, node_id: str, name: Typed = "", base: Base = 0) -> Response:
    """Gives the node another name."""
    desk = await open_desk(request, session, node_id)
    wanted = _new_name(name)
    if wanted is None:
        return await _manage(desk, {"name": _BAD_NAME}, name=name)
    said = await _attempt(desk.client.update_node(session.org_id, node_id, wanted, if_match=base))
    return _done(desk, "renamed") if said is None else await _review_name(await _again(desk), name, said)


@router.get("/configuration/{node_id}/move")
async def move_page(request: Request, session: Shaper, node_id: str, parent: Text = "") -> Response:
    """What the node and everything below it would come to in another place."""
    return await _review_move(await open_desk(request, session, node_id), parent, Said())


@router.post("/configuration/{node_id}/move")
async def move(request: Request, session: Shaper, node_id: str, parent: Typed = "", base: Base = 0) -> Response:
    """Moves the node with everything below it."""
    desk = await open_desk(request, session, node_id)
    wanted = _new_parent(parent)
    if wanted is None:
        return await _manage(desk, {"parent_id": _no_parent(parent)}, parent=parent)
    said = await _attempt(desk.client.update_node(session.org_id, node_id, wanted, if_match=base))
    return _done(desk, "moved") if said is None else await _review_move(await _again(desk), parent, said)


@router.post("/configuration/{node_id}/move/ask")
async def ask_to_move(
    request: Request, session: Shaper, node_id: str, parent: Typed = "", base: Base = 0, title: Typed = ""
) -> Response:
    """Opens a change request for a move that needs somebody else's agreement, bound to the version reviewed."""
    desk = await open_desk(request, session, node_id)
    wanted = _new_parent(parent)
    if wanted is None or wanted.parent_id is None:
        return await _manage(desk, {"parent_id": _no_parent(parent)}, parent=parent)
    if desk.node.version != base:
        return await _review_move(desk, parent, _outrun())
    if not 0 < len(title.strip()) <= 200:
        words = "Say in a few words what the move is for, in 200 characters at most."
        return await _review_move(desk, parent, Said(words, status=422, typed=title))
    asked = OpenChangeRequest(title=title, change=MoveChange(parent_id=wanted.parent_id))
    try:
        opened = await desk.client.open_change_request(session.org_id, node_id, asked)
    except _REFUSED as failure:
        return await _review_move(desk, parent, Said(refusal=as_refusal(failure), status=failure.status, typed=title))
    if opened.base_version != base:
        # Somebody wrote between the two calls: the request would stand on what its author has not seen.
        said = Decision(comment="Withdrawn at once: the node was changed while this was asked for.")
        await desk.client.withdraw_change_request(session.org_id, node_id, opened.request_id, said)
        return await _review_move(await _again(desk), parent, _outrun())
    return RedirectResponse(f"/change-requests/{node_id}/{opened.request_id}?done=opened", status_code=303)


@router.get("/configuration/{node_id}/archive")
async def archive_page(request: Request, session: Shaper, node_id: str) -> Response:
    """What would stand still."""
    return await _review_archiving(await open_desk(request, session, node_id), Said())


@router.post("/configuration/{node_id}/archive")
async def archive(request: Request, session: Shaper, node_id: str, base: Base = 0) -> Response:
    """Archives the node with everything below it."""
    desk = await open_desk(request, session, node_id)
    said = await _attempt(desk.client.archive_node(session.org_id, node_id, if_match=base))
    return _done(desk, "archived") if said is None else await _review_archiving(await _again(desk), said)


@router.get("/configuration/{node_id}/restore")
async def restore_page(request: Request, session: Shaper, node_id: str) -> Response:
    """What would run again."""
    return await _review_restoring(await open_desk(request, session, node_id), Said())


@router.post("/configuration/{node_id}/restore")
async def restore(request: Request, session: Shaper, node_id: str, base: Base = 0) -> Response:
    """Restores what was archived together with the node."""
    desk = await open_desk(request, session, node_id)
    said = await _attempt(desk.client.restore_node(session.org_id, node_id, if_match=base))
    return _done(desk, "restored") if said is None else await _review_restoring(await _again(desk), said)


@router.get("/configuration/{node_id}/delete")
async def delete_page(request: Request, session: Shaper, node_id: str) -> Response:
    """What would fall."""
    return await _review_deletion(await open_desk(request, session, node_id), Said())


@router.post("/configuration/{node_id}/delete")
async def delete(
    request: Request, session: Shaper, node_id: str, base: Base = 0, seen: Typed = "", typed: Typed = ""
) -> Response:
    """Deletes the node with everything below it, if that is still what was reviewed."""
    desk = await open_desk(request, session, node_id)
    if typed.strip() != node_id:
        return await _review_deletion(desk, Said(status=422, typed=typed))
    said = await _attempt(_delete(desk, base, seen))
    if said is not None:
        return await _review_deletion(await _again(desk), said)
    return RedirectResponse(f"/configuration/{desk.node.parent_id}?done=deleted", status_code=303)


async def _delete(desk: Desk, base: int, seen: str) -> None:
    """What stands below has versions of its own, so it is looked at once more: nobody deletes what they never saw."""
    org_id, node_id = desk.session.org_id, desk.node.node_id
    falls = await desk.client.delete_node(org_id, node_id, if_match=base, dry_run=True)
    if _fingerprint(falls) != seen:
        raise Conflict("What would fall with it has changed since you looked. This is what it is now.")
    await desk.client.delete_node(org_id, node_id, if_match=base)


async def _attempt(work: Awaitable[object]) -> Said | None:
    """Does it; what is to be said when it was not done."""
    try:
        await work
    except PreconditionFailed:
        return _outrun()
    except _REFUSED as failure:
        return Said(refusal=as_refusal(failure), status=failure.status)
    return None


def _outrun() -> Said:
    return Said("Somebody else changed this node in the meantime. Nothing was done: look at it again.", status=412)


def _done(desk: Desk, what: str) -> Response:
    return RedirectResponse(f"/configuration/{desk.node.node_id}?done={what}", status_code=303)


async def _again(desk: Desk) -> Desk:
    """The same desk with the node as it is now."""
    return await open_desk(desk.request, desk.session, desk.node.node_id)


async def _review_name(desk: Desk, name: str, said: Said) -> Response:
    wanted = _new_name(name)
    if wanted is None:
        return await _manage(desk, {"name": _BAD_NAME}, name=name)
    if wanted.name == desk.node.name:
        return await _manage(desk, {"name": "This is its name already."}, name=name)
    found = await desk.client.preview_update(desk.session.org_id, desk.node.node_id, wanted)
    return _reviewed(desk, Review("rename", found.refusals, {"name": wanted.name}), said)


async def _review_move(desk: Desk, parent: str, said: Said) -> Response:
    wanted = _new_parent(parent)
    if wanted is None or wanted.parent_id is None:
        return await _manage(desk, {"parent_id": _no_parent(parent)}, parent=parent)
    if wanted.parent_id == desk.node.parent_id:
        return await _manage(desk, {"parent_id": "It stands there already."}, parent=parent)
    found = await desk.client.preview_update(desk.session.org_id, desk.node.node_id, wanted)
    misplaced = [error for refusal in found.refusals for error in refusal.errors if error.pointer == "/parent_id"]
    if misplaced:
        return await _manage(desk, {"parent_id": misplaced[0].message}, parent=parent)
    others = [refusal for refusal in found.refusals if refusal.code != NEEDS_APPROVAL]
    more = {
        "parent": await desk.client.node(desk.session.org_id, wanted.parent_id),
        "approval": next((refusal for refusal in found.refusals if refusal.code == NEEDS_APPROVAL), None),
        **_effects(found),
    }
    return _reviewed(desk, Review("move", others, more), said)


async def _review_archiving(desk: Desk, said: Said) -> Response:
    found = await desk.client.preview_archiving(desk.session.org_id, desk.node.node_id)
    units, teams, is_cut = await _below(desk)
    return _reviewed(desk, Review("archive", found.refusals, {"units": units, "teams": teams, "is_cut": is_cut}), said)


async def _review_restoring(desk: Desk, said: Said) -> Response:
    found = await desk.client.preview_restoring(desk.session.org_id, desk.node.node_id)
    units, teams, is_cut = await _below(desk, desk.node.archived_at)
    more = {"units": units, "teams": teams, "is_cut": is_cut}
    return _reviewed(desk, Review("restore", found.refusals, more), said)


async def _review_deletion(desk: Desk, said: Said) -> Response:
    falls: Removal | None = None
    refusals: list[Refusal] = []
    try:
        falls = await desk.client.delete_node(desk.session.org_id, desk.node.node_id, dry_run=True)
    except _REFUSED as failure:
        refusals.append(as_refusal(failure))
    more = {"falls": falls, "seen": _fingerprint(falls) if falls else ""}
    return _reviewed(desk, Review("delete", refusals, more), said)


def _reviewed(desk: Desk, review: Review, said: Said) -> Response:
    refusals = list(review.refusals)
    if said.refusal is not None and said.refusal.code not in {NEEDS_APPROVAL, *(one.code for one in refusals)}:
        refusals.insert(0, said.refusal)
    context = {
        "place": desk.place,
        "step": review.step,
        "refusals": refusals,
        "may_confirm": not review.refusals,
        "said": said,
        **review.more,
    }
    return pages_of(desk.request).page(desk.request, "reshape.html", context, said.status)


async def _manage(desk: Desk, wrong: dict[str, str], *, name: str | None = None, parent: str = "") -> Response:
    context = {
        "place": desk.place,
        "tab": "manage",
        "may_edit": desk.place.may(desk.session, Permission.CONFIG_WRITE),
        "wrong": wrong,
        "name": desk.node.name if name is None else name,
        "parent": parent,
        "choices": await _choices(desk),
    }
    return pages_of(desk.request).page(desk.request, "manage.html", context, 422 if wrong else 200)


async def _choices(desk: Desk) -> list[tuple[str, str]]:
    """(id, path of names) of the nodes that the node may move below, if they are few enough to choose from."""
    nodes, is_cut = await read_nodes(desk.client, desk.session)
    below = _subtree(nodes, desk.node.node_id)
    found = [
        (branch.node.node_id, " / ".join((*branch.path, branch.node.name)))
        for branch in outline(nodes)
        if branch.node.kind is not NodeKind.TEAM
        and branch.node.archived_at is None
        and branch.node.node_id not in below
        and branch.node.node_id != desk.node.parent_id
    ]
    return [] if is_cut or len(found) > MOST_CHOICES else found


async def _below(desk: Desk, archived_at: Any = None) -> tuple[list[Node], list[Node], bool]:
    """The units and the teams of the node's subtree that were archived at this moment (None: that are not)."""
    nodes, is_cut = await read_nodes(desk.client, desk.session)
    below = _subtree(nodes, desk.node.node_id)
    held = [branch.node for branch in outline(nodes) if branch.node.node_id in below]
    held = [node for node in held if node.archived_at == archived_at]
    units = [node for node in held if node.kind is not NodeKind.TEAM]
    return units, [node for node in held if node.kind is NodeKind.TEAM], is_cut


def _subtree(nodes: Sequence[Node], node_id: str) -> set[str]:
    """The ids of the node and of everything below it."""
    found = {node_id}
    for branch in outline(nodes):  # each after its parent
        if branch.node.parent_id in found:
            found.add(branch.node.node_id)
    return found


def _new_name(name: str) -> UpdateNode | None:
    try:
        return UpdateNode(name=name) if name.strip() else None
    except ValidationError:
        return None


def _new_parent(parent: str) -> UpdateNode | None:
    try:
        return UpdateNode(parent_id=parent.strip())
    except ValidationError:
        return None


def _no_parent(parent: str) -> str:
    return f"There is no node {parent.strip()[:80]!r}." if parent.strip() else "Choose where it is to stand."


def _effects(found: WritePreview) -> dict[str, Any]:
    return {
        "affected": found.affected_teams,
        "teams": [(effect.team_node_id, changes.shown(effect.changes)) for effect in found.teams],
    }


def _fingerprint(falls: Removal) -> str:
    return content_hash(falls.model_dump(mode="json", exclude={"dry_run"}))
