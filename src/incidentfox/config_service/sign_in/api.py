"""Routes about the caller itself, and the public exchange of a sign-in code."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request

from incidentfox.config_service.dependencies import begin, parts_of
from incidentfox.config_service.sign_in import service
from incidentfox.config_service.tokens.rules import caller
from incidentfox.config_service.tokens.service import revoke_token
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tokens import Caller, CreatedToken, ExchangeSignInCode, SignInCode
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, public, requires
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["sign-in"], route_class=StrictRoute)


@router.get("/me")
async def me(principal: Annotated[Principal, requires(Permission.SELF)]) -> Caller:
    """Who this credential is."""
    return caller(principal)


@router.delete("/me/token", status_code=204)
async def sign_out(request: Request, principal: Annotated[Principal, requires(Permission.SELF)]) -> None:
    """Revokes the token of this credential."""
    token_id = service.own_token_id(principal)
    async with begin(request, principal, Tenant(principal.tenant_org(), principal.team_node_id)) as session:
        await revoke_token(session, token_id)


@router.post("/sign-in-codes", status_code=201)
async def create_sign_in_code(
    request: Request, principal: Annotated[Principal, requires(Permission.SELF)]
) -> SignInCode:
    """A single-use code that signs a browser in with this token's rights, for ten minutes."""
    service.own_token_id(principal)
    async with begin(request, principal, Tenant(principal.tenant_org(), principal.team_node_id)) as session:
        return await service.create_code(session, parts_of(request).pepper)


@router.post("/sign-in-codes/exchange", status_code=201)
@public
async def exchange_sign_in_code(request: Request, offered: ExchangeSignInCode) -> CreatedToken:
    """A session token for the code; 410 when it was used or is too old. The code is the credential."""
    parts = parts_of(request)
    found = await service.find_code(parts.database, offered.code, parts.pepper)
    async with begin(request, found.holder(), found.tenant) as session:
        return await service.exchange_code(session, found, parts.pepper)
