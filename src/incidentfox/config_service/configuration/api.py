"""Routes of configuration."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import AwareDatetime

from incidentfox.config_service.configuration import service
from incidentfox.config_service.configuration.schema import document_schema
from incidentfox.config_service.configuration.writing import DocumentChange, preview, write
from incidentfox.config_service.dependencies import (
    WATCHED,
    NodePath,
    Work,
    begin,
    org_session,
    org_work,
    parts_of,
    service_session,
    service_tenant,
)
from incidentfox.config_service.preconditions import DryRun, IfMatch, versions_of
from incidentfox.config_service.prepared import Prepared, prepare
from incidentfox.config_service.session import Session
from incidentfox.contracts.configuration import ConfigurationVersion, EffectiveConfiguration, JsonObject
from incidentfox.contracts.explanation import (
    EffectiveDocument,
    ExplainedConfiguration,
    Rollback,
    VersionDiff,
    VersionSummary,
    WritePreview,
)
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.web.auth import Caller, Principal, requires
from incidentfox.kernel.web.direct import DirectRoute
from incidentfox.kernel.web.pagination import Cursor, Limit
from incidentfox.kernel.web.strict_json import StrictRoute

router = APIRouter(prefix="/api/v1", tags=["configuration"], route_class=StrictRoute)
hot = APIRouter(prefix="/api/v1", tags=["configuration"], route_class=DirectRoute)
"""What every run asks for."""

_NODE = "/orgs/{org_id}/nodes/{node_id}"
_MOST = 2_147_483_647

Document = Annotated[JsonObject, Body(description="A partial configuration document.")]
HashPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$", description="The hash that the run keeps.")]
VersionPath = Annotated[int, Path(ge=0, le=_MOST, description="The version; 0 is the empty document.")]
At = Annotated[AwareDatetime | None, Query(description="As of this moment (RFC 3339, with its offset).")]
Reading = Annotated[Session, org_session(Permission.CONFIG_READ)]
Writing = Annotated[Work, org_work(Permission.CONFIG_WRITE)]


@hot.get("/internal/teams/{node_id}/effective", response_model=EffectiveConfiguration)
async def read_team_effective(
    request: Request, principal: Annotated[Principal, requires(Permission.CONFIG_READ)], node_id: NodePath
) -> Response:
    """What a team's configuration comes to, for Orchestrator and Agent.

    From a cache that is half a second behind the last commit at most.
    """
    tenant = service_tenant(principal)

    async def load() -> Prepared:
        async with begin(request, principal, tenant) as session:
            found = await service.effective_for_run(session, node_id)
        return prepare(found, etag=f'"{found.hash}"')

    return (await parts_of(request).effective.get(tenant, node_id, load)).response()


@router.get("/configuration/schema")
async def read_schema(_: Caller) -> JsonObject:
    """JSON Schema (2020-12) of a node's own document. References and policies are judged on the effective result."""
    return document_schema()


@router.get(f"{_NODE}/configuration")
async def read_configuration(
    response: Response,
    session: Reading,
    node_id: NodePath,
    version: Annotated[
        int | None, Query(ge=0, le=_MOST, description="This version instead of the current one.")
    ] = None,
    at: At = None,
) -> ConfigurationVersion:
    """The node's own document; its version is the ETag."""
    return _tagged(response, await service.read(session, node_id, version, at))


@router.put(f"{_NODE}/configuration", response_model=ConfigurationVersion | WritePreview, responses=WATCHED)
async def replace_configuration(
    work: Writing,
    node_id: NodePath,
    document: Document,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> Response:
    """Replaces the node's own document."""
    change = DocumentChange(node_id, document, merges=False, if_match=versions_of(if_match))
    return await work.answer(lambda session: _written(session, change, dry_run))


@router.patch(f"{_NODE}/configuration", response_model=ConfigurationVersion | WritePreview, responses=WATCHED)
async def patch_configuration(
    work: Writing,
    node_id: NodePath,
    patch: Document,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> Response:
    """Merges a patch (RFC 7396) into the node's own document: here `null` removes the node's own key.

    To remove an *inherited* key, PUT a document that holds the `null`.
    """
    change = DocumentChange(node_id, patch, merges=True, if_match=versions_of(if_match))
    return await work.answer(lambda session: _written(session, change, dry_run))


@router.get(f"{_NODE}/configuration/versions")
async def list_versions(
    session: Reading, node_id: NodePath, cursor: Cursor = None, limit: Limit = 50
) -> Page[VersionSummary]:
    """The versions of the node's own document, newest first, without the documents."""
    return await service.list_versions(session, node_id, cursor, limit)


@router.get(f"{_NODE}/configuration/versions/{{version}}")
async def read_version(
    response: Response, session: Reading, node_id: NodePath, version: VersionPath
) -> ConfigurationVersion:
    """One version of the node's own document. Versions never change."""
    return _tagged(response, await service.read(session, node_id, version, None))


@router.get(f"{_NODE}/configuration/diff")
async def diff_versions(
    session: Reading,
    node_id: NodePath,
    from_version: Annotated[int, Query(alias="from", ge=0, le=_MOST, description="The version to start from.")],
    to_version: Annotated[int, Query(alias="to", ge=0, le=_MOST, description="The version to arrive at.")],
) -> VersionDiff:
    """What changed between any two versions of the node's own document."""
    return await service.diff(session, node_id, from_version, to_version)


@router.post(f"{_NODE}/configuration/rollback", response_model=ConfigurationVersion | WritePreview, responses=WATCHED)
async def roll_back(
    work: Writing,
    node_id: NodePath,
    rollback: Rollback,
    if_match: IfMatch = None,
    dry_run: DryRun = False,
) -> Response:
    """Writes the document of an earlier version again, as a new version, judged like any other write."""
    seen = versions_of(if_match)

    async def restore(session: Session) -> Prepared:
        earlier = await service.read(session, node_id, rollback.version, None)
        change = DocumentChange(
            node_id,
            earlier.document,
            merges=False,
            if_match=seen,
            action="configuration.rolled_back",
            detail={"restored_version": rollback.version},
        )
        return await _written(session, change, dry_run)

    return await work.answer(restore)


@router.get(f"{_NODE}/effective")
async def read_effective(
    response: Response,
    session: Reading,
    node_id: NodePath,
    explain: Annotated[bool, Query(description="Say for each value who set it and what it overrode.")] = False,
    at: At = None,
) -> EffectiveConfiguration | ExplainedConfiguration:
    """What the node's configuration comes to; its hash is the ETag."""
    read = service.explained if explain else service.effective
    found = await read(session, node_id, at)
    response.headers["ETag"] = f'"{found.hash}"'
    return found


@router.get(f"{_NODE}/effective/{{document_hash}}")
async def read_effective_by_hash(session: Reading, node_id: NodePath, document_hash: HashPath) -> EffectiveDocument:
    """A past effective document by the hash that a run or an earlier answer names."""
    return await service.kept_document(session, node_id, document_hash)


@router.get("/internal/teams/{node_id}/effective/{document_hash}")
async def read_kept_effective(
    session: Annotated[Session, service_session(Permission.CONFIG_READ)], node_id: NodePath, document_hash: HashPath
) -> EffectiveConfiguration:
    """The configuration that a run was built from, as it was then: what its replay is built from."""
    return await service.effective_of_run(session, node_id, document_hash)


async def _written(session: Session, change: DocumentChange, dry_run: bool) -> Prepared:
    if dry_run:
        return prepare(await preview(session, change))
    version = await write(session, change)
    return prepare(version, etag=f'"{version.version}"')


def _tagged(response: Response, version: ConfigurationVersion) -> ConfigurationVersion:
    response.headers["ETag"] = f'"{version.version}"'
    return version
