"""The Config Service's calls on the tree and its configuration: the part of its client that people use most.

`ConfigServiceClient` inherits them; nobody else uses this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from incidentfox.clients.transport import Call, Tell, Transport, segment
from incidentfox.contracts.configuration import ConfigurationVersion, EffectiveConfiguration
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
from incidentfox.kernel.tenant import Tenant

Model = TypeVar("Model", bound=BaseModel)

_DRY = {"dry_run": "true"}


class ConfigurationCalls:
    """Configuration: own documents and their versions, effective documents, explanations, previews.

    `if_match` is the version that the writer has seen; PreconditionFailed when there is a newer one.
    `tell` hears how many of the teams below have been judged.
    """

    _transport: Transport

    async def configuration_schema(self) -> dict[str, Any]:
        """JSON Schema of a node's own document."""
        found: dict[str, Any] = await self._transport.json(Call("GET", "/api/v1/configuration/schema", Permission.SELF))
        return found

    async def configuration(
        self, org_id: str, node_id: str, *, version: int | None = None, at: datetime | None = None
    ) -> ConfigurationVersion:
        """The node's own document: the current version, the one with this number, or the one of that moment."""
        query = {"version": version, "at": at.isoformat() if at else None}
        return await self._read(org_id, node_id, "/configuration", ConfigurationVersion, query)

    async def put_configuration(
        self,
        org_id: str,
        node_id: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        tell: Tell | None = None,
    ) -> ConfigurationVersion:
        """Replaces the node's own document."""
        call = self._write("PUT", org_id, node_id, "/configuration", document, if_match)
        return await self._transport.watched(call, ConfigurationVersion, tell)

    async def patch_configuration(
        self, org_id: str, node_id: str, patch: dict[str, Any], *, if_match: int | None = None, tell: Tell | None = None
    ) -> ConfigurationVersion:
        """Merges a patch (RFC 7396) into the node's own document."""
        call = self._write("PATCH", org_id, node_id, "/configuration", patch, if_match)
        return await self._transport.watched(call, ConfigurationVersion, tell)

    async def roll_back_configuration(
        self, org_id: str, node_id: str, version: int, *, if_match: int | None = None, tell: Tell | None = None
    ) -> ConfigurationVersion:
        """Writes the document of an earlier version again, as a new version."""
        call = self._write("POST", org_id, node_id, "/configuration/rollback", Rollback(version=version), if_match)
        return await self._transport.watched(call, ConfigurationVersion, tell)

    async def preview_put(
        self,
        org_id: str,
        node_id: str,
        document: dict[str, Any],
        *,
        if_match: int | None = None,
        tell: Tell | None = None,
    ) -> WritePreview:
        """What `put_configuration` would do."""
        call = self._write("PUT", org_id, node_id, "/configuration", document, if_match, _DRY)
        return await self._transport.watched(call, WritePreview, tell)

    async def preview_patch(
        self, org_id: str, node_id: str, patch: dict[str, Any], *, if_match: int | None = None, tell: Tell | None = None
    ) -> WritePreview:
        """What `patch_configuration` would do."""
        call = self._write("PATCH", org_id, node_id, "/configuration", patch, if_match, _DRY)
        return await self._transport.watched(call, WritePreview, tell)

    async def preview_rollback(
        self, org_id: str, node_id: str, version: int, *, if_match: int | None = None, tell: Tell | None = None
    ) -> WritePreview:
        """What `roll_back_configuration` would do."""
        body = Rollback(version=version)
        call = self._write("POST", org_id, node_id, "/configuration/rollback", body, if_match, _DRY)
        return await self._transport.watched(call, WritePreview, tell)

    async def configuration_versions(
        self, org_id: str, node_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> Page[VersionSummary]:
        """The versions of the node's own document, newest first."""
        query = {"cursor": cursor, "limit": limit}
        return await self._read(org_id, node_id, "/configuration/versions", Page[VersionSummary], query)

    async def configuration_diff(self, org_id: str, node_id: str, from_version: int, to_version: int) -> VersionDiff:
        """What changed between two versions of the node's own document."""
        query = {"from": from_version, "to": to_version}
        return await self._read(org_id, node_id, "/configuration/diff", VersionDiff, query)

    async def effective(self, org_id: str, node_id: str, *, at: datetime | None = None) -> EffectiveConfiguration:
        """What the node's configuration comes to, now or at a moment."""
        query = {"at": at.isoformat() if at else None}
        return await self._read(org_id, node_id, "/effective", EffectiveConfiguration, query)

    async def explained(self, org_id: str, node_id: str, *, at: datetime | None = None) -> ExplainedConfiguration:
        """The same, with the origin of each value and the policies that judge it."""
        query = {"explain": "true", "at": at.isoformat() if at else None}
        return await self._read(org_id, node_id, "/effective", ExplainedConfiguration, query)

    async def effective_by_hash(self, org_id: str, node_id: str, document_hash: str) -> EffectiveDocument:
        """A past effective document by its hash."""
        return await self._read(org_id, node_id, f"/effective/{segment(document_hash)}", EffectiveDocument)

    async def _read(
        self,
        org_id: str,
        node_id: str,
        path: str,
        expect: type[Model],
        query: Mapping[str, str | int | None] | None = None,
    ) -> Model:
        address = f"/api/v1/orgs/{segment(org_id)}/nodes/{segment(node_id)}{path}"
        call = Call("GET", address, Permission.CONFIG_READ, Tenant(org_id), query=query)
        return await self._transport.model(call, expect)

    @staticmethod
    def _write(
        method: str,
        org_id: str,
        node_id: str,
        path: str,
        body: BaseModel | dict[str, Any],
        if_match: int | None,
        query: Mapping[str, str] | None = None,
    ) -> Call:
        return Call(
            method,
            f"/api/v1/orgs/{segment(org_id)}/nodes/{segment(node_id)}{path}",
            Permission.CONFIG_WRITE,
            Tenant(org_id),
            body,
            query=query,
            headers={"If-Match": f'"{if_match}"'} if if_match is not None else None,
            repeatable=False,
        )
