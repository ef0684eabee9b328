"""Creates, lists and revokes tokens."""

from __future__ import annotations

from datetime import timedelta

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.session import Session
from incidentfox.config_service.tokens import store
from incidentfox.config_service.tokens.rules import PREFIXES, granted_scopes, hint
from incidentfox.config_service.tree.service import require_team
from incidentfox.contracts.page import Page
from incidentfox.contracts.tokens import CreatedToken, CreateToken, Token, TokenKind
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import new_token, token_hash
from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.ids import new_id, require_id
from incidentfox.kernel.web.pagination import decode_cursor, page


async def create_token(session: Session, request: CreateToken, pepper: bytes) -> CreatedToken:
    """A new token; its secret is in the answer and nowhere else."""
    kind = TokenKind.TEAM if request.team_node_id is not None else TokenKind.ORG_ADMIN
    if request.team_node_id is None:
        session.require_whole_org()
    else:
        session.require_writable(request.team_node_id)
        await require_team(session, request.team_node_id)
    now = utc_now()
    secret = new_token(PREFIXES[kind])
    token = Token(
        token_id=new_id("tok"),
        org_id=session.org_id,
        kind=kind,
        team_node_id=request.team_node_id,
        name=request.name,
        scopes=granted_scopes(kind, request.scopes, session.principal),
        hint=hint(secret),
        created_at=now,
        expires_at=now + timedelta(seconds=request.expires_in_s) if request.expires_in_s else None,
        revoked_at=None,
    )
    await store.insert_token(session, token, token_hash(secret, pepper))
    detail = {"name": token.name, "kind": token.kind.value, "scopes": list(token.scopes)}
    await record(session, Fact("token.created", token.token_id, token.team_node_id, detail=detail))
    return CreatedToken(token=token, secret=secret)


async def list_tokens(session: Session, cursor: str | None, limit: int) -> Page[Token]:
    """A page of the tokens that the caller may see."""
    after = decode_cursor(cursor)
    if after is not None:
        require_id(after, "tok")
    return page(await store.tokens_after(session, after, limit + 1), limit, lambda token: token.token_id)


async def revoke_token(session: Session, token_id: str) -> Token:
    """Revokes a token and the sessions signed in with it, at once. Revoking twice is revoking once."""
    token = await store.token(session, require_id(token_id, "tok"))
    if token is None:
        raise NotFound(f"There is no token {token_id} here for you.", code="token_not_found")
    if token.revoked_at is not None:
        return token
    await store.revoke(session, token)
    await record(session, Fact("token.revoked", token_id, token.team_node_id, detail={"name": token.name}))
    revoked = await store.token(session, token_id)
    assert revoked is not None, "a token is never deleted"
    return revoked
