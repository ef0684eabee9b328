"""Routes of tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from incidentfox.config_service.dependencies import org_session, org_write, parts_of, require_service
from incidentfox.config_service.idempotency import IdempotencyKey, keep, replayed
from incidentfox.config_service.session import Session
from incidentfox.config_service.tokens import service
from incidentfox.config_service.tokens.rules import caller
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tokens import Caller, CreatedToken, CreateToken, Introspect, RotateToken, Token
from incidentfox.kernel.errors import Conflict, NotFound
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Cursor, Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["tokens"], route_class=StrictRoute)

TokenPath = Annotated[str, Path(max_length=64, description="The token's id.")]


@router.post("/orgs/{org_id}/tokens", status_code=201)
async def create_token(
    request: Request,
    session: Annotated[Session, org_write(Permission.TOKENS_WRITE)],
    token: CreateToken,
    idempotency_key: IdempotencyKey = None,
) -> CreatedToken:
    """Creates a token. Its secret is shown this once: a repeated Idempotency-Key answers 409 with the token's id."""
    kept = await replayed(session, idempotency_key, token)
    if kept is not None:
        raise Conflict(
            f"This key created {kept['token_id']} already, and its secret was shown then. If it is lost, revoke that"
            " token and create another with a new key.",
            code="token_already_created",
        )
    created = await service.create_token(session, token, parts_of(request).pepper)
    await keep(session, idempotency_key, {"token_id": created.token.token_id})
    return _shown(session, created)


def _shown(session: Session, created: CreatedToken) -> CreatedToken:
    """With its secret, unless the token will not be there: a dry run shows none."""
    return created if session.kept else created.model_copy(update={"secret": ""})


@router.get("/orgs/{org_id}/tokens")
async def list_tokens(
    session: Annotated[Session, org_session(Permission.TOKENS_READ)], cursor: Cursor = None, limit: Limit = 100
) -> Page[Token]:
    """The organisation's tokens, oldest first; a team's credential sees its team's."""
    return await service.list_tokens(session, cursor, limit)


@router.post("/orgs/{org_id}/tokens/{token_id}/rotate", status_code=201)
async def rotate_token(
    request: Request,
    session: Annotated[Session, org_write(Permission.TOKENS_WRITE)],
    token_id: TokenPath,
    rotation: RotateToken,
) -> CreatedToken:
    """Replaces a token by one with the same rights, shown this once; the old one works until the overlap is over.

    A repeated call answers 409 with the token that replaced it: revoke that one if its secret was lost.
    """
    return _shown(session, await service.rotate_token(session, token_id, rotation, parts_of(request).pepper))


@router.delete("/orgs/{org_id}/tokens/{token_id}")
async def revoke_token(session: Annotated[Session, org_write(Permission.TOKENS_WRITE)], token_id: TokenPath) -> Token:
    """Revokes a token and the sessions signed in with it, effective at once."""
    return await service.revoke_token(session, token_id)


@router.post("/internal/tokens/introspect")
async def introspect(
    request: Request, principal: Annotated[Principal, requires(Permission.TOKENS_INTROSPECT)], asked: Introspect
) -> Caller:
    """Who holds a bearer token. For the services that do not own the token tables."""
    require_service(principal)
    holder = await parts_of(request).tokens.holder(asked.token)
    if holder is None:
        raise NotFound("Nobody holds this token.", code="token_not_found")
    return caller(holder)
