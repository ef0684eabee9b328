"""Tokens: who has which rights where; made, replaced and revoked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from incidentfox.console.backends import backends_of
from incidentfox.console.places import read_nodes
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.console.words import Badge
from incidentfox.contracts.permissions import ROLE_PERMISSIONS, Permission, Role
from incidentfox.contracts.tokens import CreatedToken, CreateToken, Token
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.errors import Failure, NotFound, Permanent, Unauthenticated
from incidentfox.kernel.ids import new_id

router = APIRouter()

PER_PAGE = 50
MOST_TOKENS = 1000
_BATCH = 200
_MOST_CHOICES = 200
_DAY = 86_400

LIFETIMES = ((30 * _DAY, "30 days"), (90 * _DAY, "90 days"), (365 * _DAY, "1 year"), (0, "Until it is revoked"))
OVERLAPS = ((0, "ends at once"), (3600, "goes on for an hour"), (_DAY, "goes on for a day"), (7 * _DAY, "for a week"))

Reader = Annotated[Session, requires_session(Permission.TOKENS_READ)]
Writer = Annotated[Session, requires_session(Permission.TOKENS_WRITE)]
Text = Annotated[str, Form(max_length=300)]


@dataclass(frozen=True)
class Row:
    """A token with what may be done to it."""

    token: Token
    state: Badge
    in_force: bool
    may_manage: bool


@dataclass(frozen=True)
class View:
    """Which tokens a page shows."""

    shows_all: bool = False
    page: int = 1


@router.get("/tokens")
async def tokens_page(
    request: Request,
    session: Reader,
    show: Annotated[str, Query(max_length=10)] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """The tokens that the person may see, newest first: those in force unless all are asked for."""
    view = View(shows_all=show == "all", page=page)
    return await _page(request, session, view=view, done="Revoked." if done == "revoked" else "")


@router.post("/tokens")
async def create(
    request: Request,
    session: Writer,
    name: Text = "",
    node: Text = "",
    role: Text = "",
    user: Text = "",
    lifetime: Annotated[int, Form(ge=0, le=366 * _DAY)] = 90 * _DAY,
    key: Annotated[str, Form(min_length=8, max_length=200)] = "",
) -> Response:
    """Makes a token and shows it, this once: in the answer itself, since it must stand in no address and no cookie.

    The form's key makes a reload harmless: the Config Service answers it with a conflict, not with a second token.
    """
    typed = {"name": name, "node": node, "role": role, "user": user, "lifetime": lifetime}
    try:
        asked = CreateToken(
            name=name,
            node_id=node or session.team_node_id,
            role=Role(role),
            user=user.strip() or None,
            expires_in_s=lifetime or None,
        )
    except ValueError as error:  # pydantic's error is one
        return await _page(request, session, typed=typed, wrong=_in_words(error), status=422)
    try:
        made = await backends_of(request).config_service.create_token(
            session.org_id, asked, idempotency_key=key or None
        )
    except Unauthenticated:
        raise
    except Permanent as failure:
        return await _page(request, session, typed=typed, wrong=failure, status=failure.status)
    return _shown_once(request, made, None)


@router.get("/tokens/{token_id}/rotate")
async def rotate_page(request: Request, session: Writer, token_id: str) -> Response:
    """Asks how long the old token is to go on."""
    context = {"token": await _token(request, session, token_id), "overlaps": OVERLAPS, "step": "rotate", "wrong": ""}
    return pages_of(request).page(request, "token_step.html", context)


@router.post("/tokens/{token_id}/rotate")
async def rotate(
    request: Request, session: Writer, token_id: str, overlap: Annotated[int, Form(ge=0, le=30 * _DAY)] = _DAY
) -> Response:
    """Replaces a token; the new one is shown this once. Twice is refused by the Config Service."""
    try:
        made = await backends_of(request).config_service.rotate_token(session.org_id, token_id, overlap)
    except (Unauthenticated, NotFound):
        raise
    except Permanent as failure:
        return await _page(request, session, wrong=failure, status=failure.status)
    return _shown_once(request, made, token_id)


@router.get("/tokens/{token_id}/revoke")
async def revoke_page(request: Request, session: Writer, token_id: str) -> Response:
    """Asks once more: what uses the token stops working."""
    context = {"token": await _token(request, session, token_id), "overlaps": (), "step": "revoke", "wrong": ""}
    return pages_of(request).page(request, "token_step.html", context)


@router.post("/tokens/{token_id}/revoke")
async def revoke(request: Request, session: Writer, token_id: str) -> Response:
    """Revokes a token and the sessions signed in with it."""
    try:
        await backends_of(request).config_service.revoke_token(session.org_id, token_id)
    except (Unauthenticated, NotFound):
        raise
    except Permanent as failure:
        return await _page(request, session, wrong=failure, status=failure.status)
    return RedirectResponse("/tokens?done=revoked", status_code=303)


def roles_to_give(session: Session) -> list[Role]:
    """The roles that the person holds entirely, and can therefore give; the organisation's to the whole of it only."""
    return [
        role
        for role in Role
        if ROLE_PERMISSIONS[role] <= session.permissions | {Permission.SELF}
        and (role is not Role.ORG_ADMIN or session.team_node_id is None)
    ]


def state_of(token: Token, now: datetime) -> Badge:
    """Whether a token is in force."""
    if token.revoked_at is not None:
        return Badge("Revoked", "slash", "idle")
    if token.expires_at is not None and token.expires_at <= now:
        return Badge("Expired", "clock", "idle")
    if token.rotated_to is not None:
        return Badge("Being replaced", "clock", "warn")
    return Badge("In force", "check", "ok")


async def _read(request: Request, session: Session) -> tuple[list[Token], bool]:
    """The first MOST_TOKENS tokens that the person may see, and whether there are more."""
    client = backends_of(request).config_service
    found: list[Token] = []
    cursor: str | None = None
    while len(found) < MOST_TOKENS:
        page = await client.tokens(session.org_id, cursor=cursor, limit=_BATCH)
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return found, cursor is not None


async def _token(request: Request, session: Session, token_id: str) -> Token:
    found, _ = await _read(request, session)
    for token in found:
        if token.token_id == token_id:
            return token
    raise NotFound("There is no such token here for you.", code="token_not_found")


async def _page(
    request: Request,
    session: Session,
    *,
    view: View = View(),
    done: str = "",
    typed: dict[str, Any] | None = None,
    wrong: Failure | str = "",
    status: int = 200,
) -> Response:
    tokens, is_cut = await _read(request, session)
    now = utc_now()
    in_force = [token for token in tokens if _is_in_force(token, now)]
    listed = sorted(tokens if view.shows_all else in_force, key=lambda token: token.created_at, reverse=True)
    first = (view.page - 1) * PER_PAGE
    may_write = session.may(Permission.TOKENS_WRITE)
    rows = [
        Row(token, state_of(token, now), _is_in_force(token, now), may_write and _holds(session, token))
        for token in listed[first : first + PER_PAGE]
    ]
    context = {
        "rows": rows,
        "roles": roles_to_give(session) if may_write else [],
        "nodes": await _choices(request, session) if may_write else [],
        "lifetimes": LIFETIMES,
        "typed": typed or {"name": "", "node": "", "role": "", "user": "", "lifetime": 90 * _DAY},
        "key": new_id("idk"),
        "done": done,
        "wrong": wrong,
        "shows_all": view.shows_all,
        "counts": (len(in_force), len(tokens)),
        "cut_at": MOST_TOKENS if is_cut else None,
        "earlier": _address(view.shows_all, view.page - 1) if view.page > 1 else None,
        "later": _address(view.shows_all, view.page + 1) if first + PER_PAGE < len(listed) else None,
    }
    return pages_of(request).page(request, "tokens.html", context, status)


def _is_in_force(token: Token, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _address(shows_all: bool, page: int) -> str:
    query = {name: value for name, value in (("show", "all" if shows_all else ""), ("page", page)) if value}
    return f"/tokens?{urlencode(query)}"


def _holds(session: Session, token: Token) -> bool:
    """Whether the person could give what the token carries; a token of the whole organisation is not a unit's."""
    return frozenset(token.scopes) <= session.permissions | {Permission.SELF} and (
        session.team_node_id is None or token.team_node_id is not None
    )


async def _choices(request: Request, session: Session) -> list[tuple[str, str]]:
    """(id, name) of the nodes that a token may be bound to, if they are few enough to choose from."""
    client = backends_of(request).config_service
    if not session.may(Permission.NODES_READ):
        return []
    nodes, is_cut = await read_nodes(client, session)
    if is_cut or len(nodes) > _MOST_CHOICES:
        return []
    parents = {node.node_id: node.parent_id for node in nodes}
    return [
        (node.node_id, node.name)
        for node in nodes
        if node.archived_at is None and _is_within(node.node_id, session.team_node_id, parents)
    ]


def _is_within(node_id: str | None, bound_to: str | None, parents: Mapping[str, str | None]) -> bool:
    """Whether a node is the one that a session is bound to, or below it."""
    while node_id is not None and node_id != bound_to:
        node_id = parents.get(node_id)
    return bound_to is None or node_id is not None


def _shown_once(request: Request, made: CreatedToken, replaces: str | None) -> Response:
    context = {"token": made.token, "secret": made.secret, "replaces": replaces}
    return pages_of(request).page(request, "token_made.html", context)


def _in_words(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return "Choose a role."
    fields = {str(found["loc"][0]) for found in error.errors() if found["loc"]}
    if "name" in fields:
        return "Give the token a name of 1 to 200 characters, so that people know what it is for."
    if "user" in fields:
        return "A person is an e-mail address or a handle: letters, digits and . _ % + @ -, at most 200."
    return "The id of a node has lower-case letters, digits and hyphens."
