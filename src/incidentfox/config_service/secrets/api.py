"""Routes of secrets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from incidentfox.config_service.dependencies import NodePath, org_session, org_write, parts_of, service_session
from incidentfox.config_service.preconditions import DryRun
from incidentfox.config_service.secrets import service
from incidentfox.config_service.session import Session
from incidentfox.contracts.configuration import (
    PutSecret,
    ResolvedSecrets,
    ResolveSecrets,
    SecretRemoval,
    SecretSummary,
)
from incidentfox.contracts.master_keys import Reencryption
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.pagination import Cursor, Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["secrets"], route_class=StrictRoute)

NamePath = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="The secret's name.")]


@router.put("/orgs/{org_id}/nodes/{node_id}/secrets/{name}")
async def put_secret(
    request: Request,
    session: Annotated[Session, org_write(Permission.SECRETS_WRITE)],
    node_id: NodePath,
    name: NamePath,
    secret: PutSecret,
) -> SecretSummary:
    """Writes a secret of a node; teams below may refer to it. It is never read back."""
    return await service.put_secret(session, parts_of(request).keyring, node_id, name, secret)


@router.delete("/orgs/{org_id}/nodes/{node_id}/secrets/{name}")
async def delete_secret(
    session: Annotated[Session, org_session(Permission.SECRETS_WRITE)],
    node_id: NodePath,
    name: NamePath,
    dry_run: DryRun = False,
) -> SecretRemoval:
    """Deletes a secret of a node, and says which teams refer to it; or, as a dry run, which do now."""
    return await service.delete_secret(session, node_id, name, dry_run=dry_run)


@router.get("/orgs/{org_id}/nodes/{node_id}/secrets")
async def list_secrets(
    session: Annotated[Session, org_session(Permission.CONFIG_READ)],
    node_id: NodePath,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[SecretSummary]:
    """The node's own secrets, without their values."""
    return await service.list_secrets(session, node_id, cursor, limit)


@router.post("/orgs/{org_id}/secrets/reencrypt")
async def reencrypt_secrets(
    request: Request, session: Annotated[Session, org_write(Permission.SECRETS_WRITE)]
) -> Reencryption:
    """Seals a batch of the organisation's secrets under the current master key. Call it until `remaining` is 0.

    Values do not change, nothing is shown, and runs resolve secrets meanwhile; interrupted, it goes on where it was.
    """
    return await service.reencrypt(session, parts_of(request).keyring)


@router.post("/internal/teams/{node_id}/secrets/resolve")
async def resolve_secrets(
    request: Request,
    response: Response,
    session: Annotated[Session, service_session(Permission.SECRETS_RESOLVE)],
    node_id: NodePath,
    wanted: ResolveSecrets,
) -> ResolvedSecrets:
    """The plain secrets that one run needs, for the agent alone; on record."""
    response.headers["Cache-Control"] = "no-store"
    return await service.resolve(session, parts_of(request).keyring, node_id, wanted)
