"""The secrets of a node: which there are and who refers to them; written, replaced and deleted, and never shown.

A value comes in by a form and goes to the Config Service. It stands in no address, no page, no log and no error: what
is wrong with it is said without it, and the form that says so is empty.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.console.backends import backends_of
from incidentfox.console.failures import as_refusal
from incidentfox.console.places import Place, find_place
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.configuration import SecretSummary
from incidentfox.contracts.explanation import Refusal
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Conflict, Forbidden, NotFound, PreconditionFailed, Unprocessable

router = APIRouter()

MAX_VALUE = 16_384

_BATCH = 200
_SUFFIX = "/$secret"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_DONE = {"written": "is written", "replaced": "is replaced", "deleted": "is deleted"}
_BAD_NAME = "A name begins with a lower-case letter; then lower-case letters, digits, _ and -, at most 63 in all."
_REFUSED = (Conflict, Forbidden, Unprocessable)
_TAKEN = "There is one of this name."
_NO_VALUE = "Type or paste the value."
_LONG_VALUE = f"A value has {MAX_VALUE:,} characters at most. Nothing was written."

Reader = Annotated[Session, requires_session(Permission.CONFIG_READ)]
Writer = Annotated[Session, requires_session(Permission.SECRETS_WRITE)]
Short = Annotated[str, Form(max_length=200)]
# Judged by hand: an error of the form's own would carry what was typed.
Value = Annotated[str, Form()]


@dataclass(frozen=True)
class Row:
    """A secret as the list shows it. `hides`: the nodes above with one of the same name, nearest first."""

    secret: SecretSummary
    pointers: tuple[str, ...]
    hides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """What is to be said on a step's page, because it did not go through. `wrong` is about the value."""

    notice: str = ""
    wrong: str = ""
    refusal: Refusal | None = None
    status: int = 200


@dataclass(frozen=True)
class Desk:
    """The node whose secrets a page is about."""

    request: Request
    client: ConfigServiceClient
    session: Session
    place: Place

    @property
    def node_id(self) -> str:
        """The node's id."""
        return self.place.node.node_id

    async def own(self, node_id: str | None = None) -> list[SecretSummary]:
        """All secrets of the node (or of one above it), by name."""
        found: list[SecretSummary] = []
        cursor: str | None = None
        while True:
            page = await self.client.secrets(self.session.org_id, node_id or self.node_id, cursor=cursor, limit=_BATCH)
            found.extend(page.items)
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def find(self, name: str) -> SecretSummary | None:
        """The node's own secret of this name."""
        return next((secret for secret in await self.own() if secret.name == name), None)

    async def require(self, name: str) -> SecretSummary:
        """The node's own secret of this name; NotFound when it has none."""
        if (found := await self.find(name)) is None:
            raise NotFound(f"{self.node_id!r} has no secret {name!r} of its own.", code="secret_not_found")
        return found


async def open_desk(request: Request, session: Session, node_id: str, *, writes: bool) -> Desk:
    """The desk for a node; Forbidden when the person may not write its secrets and `writes` asks for that."""
    client = backends_of(request).config_service
    place = await find_place(client, session, node_id)
    if writes and not place.may(session, Permission.SECRETS_WRITE):
        why = "it is archived" if place.node.archived_at else "your session reaches another part of the tree only"
        raise Forbidden(f"You cannot write the secrets of {node_id!r}: {why}.", code="outside_of_own_team")
    return Desk(request, client, session, place)


@router.get("/configuration/{node_id}/secrets")
async def secrets_page(
    request: Request,
    session: Reader,
    node_id: str,
    done: Annotated[str, Query(max_length=20)] = "",
    name: Annotated[str, Query(max_length=63)] = "",
) -> Response:
    """The node's own secrets, those that it inherits, and those that its configuration names and nobody has written."""
    desk = await open_desk(request, session, node_id, writes=False)
    said = f"The secret {name} {_DONE[done]}." if done in _DONE and _NAME.fullmatch(name) else ""
    return await _listed(desk, done=said, name="" if said else name)


@router.post("/configuration/{node_id}/secrets")
async def write(request: Request, session: Writer, node_id: str, name: Short = "", value: Value = "") -> Response:
    """Writes a secret that the node does not have yet; one that it has is replaced on a page of its own."""
    desk = await open_desk(request, session, node_id, writes=True)
    name = name.strip()
    wrong = {key: words for key, words in (("name", _wrong_name(name)), ("value", _wrong_value(value))) if words}
    if wrong:
        return await _listed(desk, name=name, wrong=wrong, status=422)
    if await desk.find(name) is not None:
        return await _listed(desk, name=name, wrong={"name": _TAKEN}, exists=True, status=409)
    try:
        await desk.client.put_secret(session.org_id, node_id, name, value)
    except _REFUSED as failure:
        return await _listed(desk, name=name, refusal=as_refusal(failure), status=failure.status)
    return _back(node_id, "written", name)


@router.get("/configuration/{node_id}/secrets/{name}/replace")
async def replace_page(request: Request, session: Writer, node_id: str, name: str) -> Response:
    """Asks for the new value, and says who uses the secret."""
    return await _step(await open_desk(request, session, node_id, writes=True), name, "replace")


@router.post("/configuration/{node_id}/secrets/{name}/replace")
async def replace(
    request: Request, session: Writer, node_id: str, name: str, value: Value = "", seen: Short = ""
) -> Response:
    """Puts another value in the place of the one that the person knows of."""
    desk = await open_desk(request, session, node_id, writes=True)
    if wrong := _wrong_value(value):
        return await _step(desk, name, "replace", Said(wrong=wrong, status=422))
    said = await _attempt(desk, name, seen, lambda: desk.client.put_secret(session.org_id, node_id, name, value))
    return _back(node_id, "replaced", name) if said is None else await _step(desk, name, "replace", said)


@router.get("/configuration/{node_id}/secrets/{name}/delete")
async def delete_page(request: Request, session: Writer, node_id: str, name: str) -> Response:
    """Names who refers to the secret, and what they would get instead."""
    return await _step(await open_desk(request, session, node_id, writes=True), name, "delete")


@router.post("/configuration/{node_id}/secrets/{name}/delete")
async def delete(request: Request, session: Writer, node_id: str, name: str, seen: Short = "") -> Response:
    """Deletes the secret that the person knows of."""
    desk = await open_desk(request, session, node_id, writes=True)
    said = await _attempt(desk, name, seen, lambda: desk.client.delete_secret(session.org_id, node_id, name))
    return _back(node_id, "deleted", name) if said is None else await _step(desk, name, "delete", said)


async def _attempt(desk: Desk, name: str, seen: str, work: Callable[[], Awaitable[object]]) -> Said | None:
    """Does it, unless somebody has written the secret since; what is to be said when it was not done.

    Secrets have no versions: between this look and the write a moment remains in which the last writer wins.
    """
    if (await desk.require(name)).updated_at.isoformat() != seen:
        notice = "Somebody else has written this secret in the meantime. Nothing was done: decide again."
        return Said(notice, status=PreconditionFailed.status)
    try:
        await work()
    except _REFUSED as failure:
        return Said(refusal=as_refusal(failure), status=failure.status)
    return None


async def _step(desk: Desk, name: str, step: str, said: Said = Said()) -> Response:
    secret = await desk.require(name)
    context = {
        "place": desk.place,
        "secret": secret,
        "step": step,
        "seen": secret.updated_at.isoformat(),
        "removal": await desk.client.delete_secret(desk.session.org_id, desk.node_id, name, dry_run=True),
        "said": said,
    }
    return pages_of(desk.request).page(desk.request, "secret_step.html", context, said.status)


async def _listed(
    desk: Desk,
    *,
    done: str = "",
    name: str = "",
    wrong: Mapping[str, str] | None = None,
    exists: bool = False,
    refusal: Refusal | None = None,
    status: int = 200,
) -> Response:
    above = list(reversed(desk.place.above))
    held = await asyncio.gather(desk.own(), *(desk.own(node.node_id) for node in above))
    uses = await _uses(desk)
    own, inherited = _rows(held, uses or {})
    known = {row.secret.name for row in (*own, *inherited)}
    context = {
        "place": desk.place,
        "tab": "secrets",
        "may_edit": desk.place.may(desk.session, Permission.CONFIG_WRITE),
        "may_write": desk.place.may(desk.session, Permission.SECRETS_WRITE),
        "own": own,
        "inherited": inherited,
        "missing": sorted((missing, uses[missing]) for missing in uses.keys() - known) if uses else [],
        "knows_uses": uses is not None,
        "done": done,
        "name": name,
        "wrong": wrong or {},
        "exists": exists,
        "refusal": refusal,
    }
    return pages_of(desk.request).page(desk.request, "secrets.html", context, status)


def _rows(held: Sequence[Sequence[SecretSummary]], uses: Mapping[str, tuple[str, ...]]) -> tuple[list[Row], list[Row]]:
    """The node's own secrets and those that it inherits, of lists that begin with the node's and go upwards."""
    levels: dict[str, list[SecretSummary]] = {}
    for secrets in held:
        for secret in secrets:
            levels.setdefault(secret.name, []).append(secret)
    names = {secret.name for secret in held[0]}
    rows = [
        Row(found[0], uses.get(name, ()), tuple(hidden.node_id for hidden in found[1:]))
        for name, found in sorted(levels.items())
    ]
    return [row for row in rows if row.secret.name in names], [row for row in rows if row.secret.name not in names]


async def _uses(desk: Desk) -> dict[str, tuple[str, ...]] | None:
    """Where the node's effective configuration refers to which secret; None when that cannot be told.

    What is stored may not be valid, or the node may stand above what the person reaches: then it comes to more than
    what concerns them.
    """
    try:
        explained = await desk.client.explained(desk.session.org_id, desk.node_id)
    except (NotFound, Unprocessable):
        return None
    found: dict[str, tuple[str, ...]] = {}
    for value in explained.values:
        if value.pointer.endswith(_SUFFIX) and isinstance(value.value, str):
            found[value.value] = (*found.get(value.value, ()), value.pointer.removesuffix(_SUFFIX))
    return found


def _wrong_name(name: str) -> str:
    return "" if _NAME.fullmatch(name) else _BAD_NAME


def _wrong_value(value: str) -> str:
    if not value:
        return _NO_VALUE
    return _LONG_VALUE if len(value) > MAX_VALUE else ""


def _back(node_id: str, done: str, name: str) -> Response:
    query = urlencode({"done": done, "name": name})
    return RedirectResponse(f"/configuration/{node_id}/secrets?{query}", status_code=303)
