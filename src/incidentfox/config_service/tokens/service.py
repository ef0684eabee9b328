"""Creates, lists, rotates and revokes tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.session import Session
from incidentfox.config_service.tokens import store
from incidentfox.config_service.tokens.rules import (
    PREFIXES,
    bound_node,
    granted_scopes,
    hint,
    require_held,
    require_may_act_for,
)
from incidentfox.config_service.tree.scope import narrowed
from incidentfox.config_service.tree.service import require_node, require_team
from incidentfox.contracts.page import Page
from incidentfox.contracts.tokens import CreatedToken, CreateToken, RotateToken, Token, TokenKind
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import content_hash, new_token, token_hash
from incidentfox.kernel.errors import Conflict, NotFound
from incidentfox.kernel.ids import new_id, require_id
from incidentfox.kernel.web.pagination import decode_cursor, page


async def create_token(session: Session, request: CreateToken, pepper: bytes) -> CreatedToken:
    """A new token; its secret is in the answer and nowhere else."""
    require_may_act_for(request.user, session.principal)
    node_id = bound_node(request, session.org_id)
    kind = TokenKind.TEAM if node_id is not None else TokenKind.ORG_ADMIN
    session = await _at_node(session, node_id, needs_team=request.role is None)
    now = utc_now()
    token = Token(
        token_id=new_id("tok"),
        org_id=session.org_id,
        kind=kind,
        team_node_id=node_id,
        name=request.name,
        role=request.role,
        scopes=granted_scopes(kind, request, session.principal),
        user=request.user,
        hint="",
        created_at=now,
        expires_at=now + timedelta(seconds=request.expires_in_s) if request.expires_in_s else None,
        revoked_at=None,
        last_used_at=None,
        rotated_to=None,
    )
    created = await _insert(session, token, pepper)
    await record(session, Fact("token.created", token.token_id, node_id, None, _hash(created.token), _detail(token)))
    return created


async def rotate_token(session: Session, token_id: str, request: RotateToken, pepper: bytes) -> CreatedToken:
    """A new token with the rights of the old, which ends after the overlap, and its sessions with it.

    Raises Conflict for a token that is no longer in force or was rotated before: its successor is the one to rotate.
    """
    old = await _required(session, token_id)
    session = await _at_node(session, old.team_node_id, needs_team=False)
    require_held(old.scopes, session.principal)
    require_may_act_for(old.user, session.principal)
    now = utc_now()
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        raise Conflict(f"The token {token_id} is no longer in force. Create another.", code="token_not_in_force")
    if old.rotated_to is not None:
        raise Conflict(f"This token was rotated before: rotate {old.rotated_to}.", code="token_already_rotated")
    lifetime = old.expires_at - old.created_at if old.expires_at is not None else None
    new = old.model_copy(
        update={
            "token_id": new_id("tok"),
            "created_at": now,
            "expires_at": now + lifetime if lifetime is not None else None,
            "last_used_at": None,
        }
    )
    created = await _insert(session, new, pepper)
    await store.rotate(session, old, new.token_id, timedelta(seconds=request.overlap_s))
    detail = {**_detail(new), "rotated_to": new.token_id, "overlap_s": request.overlap_s}
    await record(session, Fact("token.rotated", token_id, old.team_node_id, _hash(old), _hash(created.token), detail))
    return created


async def list_tokens(session: Session, cursor: str | None, limit: int) -> Page[Token]:
    """A page of the tokens that the caller may see."""
    after = decode_cursor(cursor)
    if after is not None:
        require_id(after, "tok")
    return page(await store.tokens_after(session, after, limit + 1), limit, lambda token: token.token_id)


async def revoke_token(session: Session, token_id: str) -> Token:
    """Revokes a token and the sessions signed in with it, at once. Revoking twice is revoking once."""
    token = await _required(session, token_id)
    if token.revoked_at is not None:
        return token
    session = await _at_node(session, token.team_node_id, needs_team=False)
    await store.revoke(session, token)
    revoked = await _required(session, token_id)
    detail = {"name": token.name}
    await record(session, Fact("token.revoked", token_id, token.team_node_id, _hash(token), _hash(revoked), detail))
    return revoked


async def _at_node(session: Session, node_id: str | None, *, needs_team: bool) -> Session:
    """The session, if it may manage tokens of the node; narrowed to it for a caller who is bound to a unit above."""
    if node_id is None:
        session.require_whole_org()
        return session
    node = await (require_team(session, node_id) if needs_team else require_node(session, node_id))
    session = await narrowed(session, node.node_id)
    session.require_writable(node.node_id)
    return session


async def _insert(session: Session, token: Token, pepper: bytes) -> CreatedToken:
    secret = new_token(PREFIXES[token.kind])
    token = token.model_copy(update={"hint": hint(secret)})
    await store.insert_token(session, token, token_hash(secret, pepper))
    return CreatedToken(token=token, secret=secret)


async def _required(session: Session, token_id: str) -> Token:
    token = await store.token(session, require_id(token_id, "tok"))
    if token is None:
        raise NotFound(f"There is no token {token_id} here for you.", code="token_not_found")
    return token


def _detail(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "kind": token.kind.value,
        "role": token.role.value if token.role else None,
        "scopes": list(token.scopes),
        "user": token.user,
    }


def _hash(token: Token) -> str:
    return content_hash(token.model_dump(mode="json", exclude={"last_used_at"}))
