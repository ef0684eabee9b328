"""Routes of configuration."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Response

from incidentfox.config_service.configuration import service
from incidentfox.config_service.dependencies import NodePath, org_session, service_session
from incidentfox.config_service.session import Session
from incidentfox.config_service.strict_json import StrictRoute
from incidentfox.contracts.configuration import ConfigurationVersion, EffectiveConfiguration, JsonObject
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Invalid

router = APIRouter(prefix="/api/v1", tags=["configuration"], route_class=StrictRoute)

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The version(s) that the writer has seen, as the ETag gave it."),
]
Document = Annotated[JsonObject, Body(description="A partial configuration document.")]

HashPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$", description="The hash that the run keeps.")]

_TAGS = re.compile(r'^\s*"(\d{1,9})"\s*(,\s*"(\d{1,9})"\s*)*$')


@router.get("/orgs/{org_id}/nodes/{node_id}/configuration")
async def read_configuration(
    response: Response, session: Annotated[Session, org_session(Permission.CONFIG_READ)], node_id: NodePath
) -> ConfigurationVersion:
    """The node's own document; its version is the ETag."""
    return _tagged(response, await service.read(session, node_id))


@router.put("/orgs/{org_id}/nodes/{node_id}/configuration")
async def replace_configuration(
    response: Response,
    session: Annotated[Session, org_session(Permission.CONFIG_WRITE)],
    node_id: NodePath,
    document: Document,
    if_match: IfMatch = None,
) -> ConfigurationVersion:
    """Replaces the node's own document."""
    return _tagged(response, await service.replace(session, node_id, document, _versions(if_match)))


@router.patch("/orgs/{org_id}/nodes/{node_id}/configuration")
async def patch_configuration(
    response: Response,
    session: Annotated[Session, org_session(Permission.CONFIG_WRITE)],
    node_id: NodePath,
    patch: Document,
    if_match: IfMatch = None,
) -> ConfigurationVersion:
    """Merges a patch (RFC 7396) into the node's own document."""
    return _tagged(response, await service.patch(session, node_id, patch, _versions(if_match)))


@router.get("/orgs/{org_id}/nodes/{node_id}/effective")
async def read_effective(
    response: Response, session: Annotated[Session, org_session(Permission.CONFIG_READ)], node_id: NodePath
) -> EffectiveConfiguration:
    """What the node's configuration comes to; its hash is the ETag."""
    found = await service.effective(session, node_id)
    response.headers["ETag"] = f'"{found.hash}"'
    return found


@router.get("/internal/teams/{node_id}/effective")
async def read_team_effective(
    response: Response, session: Annotated[Session, service_session(Permission.CONFIG_READ)], node_id: NodePath
) -> EffectiveConfiguration:
    """The same for Orchestrator and Agent; the document is kept under its hash."""
    found = await service.effective_for_run(session, node_id)
    response.headers["ETag"] = f'"{found.hash}"'
    return found


@router.get("/internal/teams/{node_id}/effective/{document_hash}")
async def read_kept_effective(
    session: Annotated[Session, service_session(Permission.CONFIG_READ)], node_id: NodePath, document_hash: HashPath
) -> EffectiveConfiguration:
    """The configuration that a run was built from, as it was then: what its replay is built from."""
    return await service.effective_of_run(session, node_id, document_hash)


def _tagged(response: Response, version: ConfigurationVersion) -> ConfigurationVersion:
    response.headers["ETag"] = f'"{version.version}"'
    return version


def _versions(if_match: str | None) -> frozenset[int] | None:
    """The versions that an `If-Match` names (RFC 9110, section 13.1.1); None for none and for `*`."""
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.match(if_match):
        raise Invalid('`If-Match` must be an ETag of this configuration, e.g. "3".', code="invalid_if_match")
    return frozenset(int(tag) for tag in re.findall(r"\d+", if_match))
