"""Reads configuration: a node's own document and its versions, what they come to for a team, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from incidentfox.config_service.configuration import rules, store
from incidentfox.config_service.configuration.defaults import PLATFORM_NODE, PLATFORM_VERSION
from incidentfox.config_service.configuration.differences import differences
from incidentfox.config_service.configuration.explanation import explain
from incidentfox.config_service.configuration.judgement import stand
from incidentfox.config_service.configuration.levels import PLATFORM, Level
from incidentfox.config_service.configuration.refusals import refuse_invalid
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.service import require_live, require_node, require_team
from incidentfox.contracts.configuration import (
    ConfigurationVersion,
    EffectiveConfiguration,
    TeamConfiguration,
)
from incidentfox.contracts.explanation import (
    EffectiveDocument,
    ExplainedConfiguration,
    VersionDiff,
    VersionSummary,
)
from incidentfox.contracts.page import Page
from incidentfox.contracts.problem import FieldError
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import canonical_json
from incidentfox.kernel.errors import Invalid, NotFound, Unprocessable
from incidentfox.kernel.web.pagination import decode_cursor, page


async def read(session: Session, node_id: str, number: int | None, at: datetime | None) -> ConfigurationVersion:
    """The node's own document: the current version, the one with this number, or the one of that moment."""
    await require_node(session, node_id)
    if number is not None and at is not None:
        message = "Ask for a version or for a moment, not for both."
        raise Unprocessable(message, errors=[FieldError(pointer="/query/at", message=message)])
    if number is not None:
        return await require_configuration_version(session, node_id, number)
    if at is not None:
        return await store.version_at(session, node_id, _past(at))
    return await store.current_version(session, node_id)


async def require_configuration_version(session: Session, node_id: str, number: int) -> ConfigurationVersion:
    """One version of the node's own document; NotFound where there is none with this number."""
    found = await store.version(session, node_id, number)
    if found is None:
        raise NotFound(f"The configuration of {node_id!r} has no version {number}.", code="version_not_found")
    return found


async def list_versions(session: Session, node_id: str, cursor: str | None, limit: int) -> Page[VersionSummary]:
    """A page of the versions of the node's own document, newest first."""
    after = decode_cursor(cursor)
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 10):
        raise Invalid("`cursor` must be the `next_cursor` of an earlier page.", code="invalid_cursor")
    await require_node(session, node_id)
    before = int(after) if after is not None else None
    found = await store.versions_before(session, node_id, before, limit + 1)
    return page(found, limit, lambda version: str(version.version))


async def diff(session: Session, node_id: str, from_version: int, to_version: int) -> VersionDiff:
    """What changed between any two versions of the node's own document."""
    await require_node(session, node_id)
    older = await require_configuration_version(session, node_id, from_version)
    newer = await require_configuration_version(session, node_id, to_version)
    return VersionDiff(
        org_id=session.org_id,
        node_id=node_id,
        from_version=from_version,
        to_version=to_version,
        changes=tuple(differences(older.document, newer.document)),
    )


async def effective(session: Session, node_id: str, at: datetime | None = None) -> EffectiveConfiguration:
    """What the node's configuration comes to: platform defaults → organisation → units → team; now, or at a moment.

    Raises NotFound for a node that the caller does not see, and Unprocessable when what is stored does not satisfy
    the schema of this release. It is kept under its hash: whatever was once shown can be had again.
    """
    found = _effective_of(session, node_id, await _levels(session, node_id, at))
    if session.tenant.team_node_id in (None, node_id):
        document = canonical_json(rules.effective_json(found.document)).decode()
        await store.keep_effective(session, node_id, found.hash, document)
    return found


async def explained(session: Session, node_id: str, at: datetime | None = None) -> ExplainedConfiguration:
    """The same, with the origin of each value and the policies that judge it."""
    levels = await _levels(session, node_id, at)
    found = _effective_of(session, node_id, levels)
    values = explain([PLATFORM, *levels], rules.effective_json(found.document), stand(levels).held)
    return ExplainedConfiguration(**dict(found), values=values)


async def effective_for_run(session: Session, team_node_id: str) -> EffectiveConfiguration:
    """The effective configuration that a team's run is built from; Conflict for a team that is archived."""
    require_live(await require_team(session, team_node_id))
    return await effective(session, team_node_id)


async def effective_of_run(session: Session, team_node_id: str, document_hash: str) -> EffectiveConfiguration:
    """The effective configuration that a run was built from, by its hash; NotFound where none was kept under it."""
    kept = await kept_document(session, team_node_id, document_hash)
    return EffectiveConfiguration(
        org_id=session.org_id,
        team_node_id=team_node_id,
        hash=document_hash,
        document=TeamConfiguration.model_validate(kept.document),
    )


async def kept_document(session: Session, node_id: str, document_hash: str) -> EffectiveDocument:
    """A past effective document by its hash, also of a node that is deleted; NotFound where none was kept under it."""
    found = await store.effective_document(session, node_id, document_hash)
    if found is None:
        raise NotFound(f"No configuration {document_hash} of {node_id!r} is kept here.", code="configuration_not_found")
    return found


async def _levels(session: Session, node_id: str, at: datetime | None) -> list[Level]:
    if at is None:
        levels = await store.path_levels(session, node_id)
    else:
        await require_node(session, node_id)
        levels = await store.path_levels_at(session, node_id, _past(at))
    if not levels:
        when = "" if at is None else f" as of {at.isoformat()}"
        raise NotFound(f"There is no node {node_id!r} here for you{when}.", code="node_not_found")
    return levels


def _effective_of(session: Session, node_id: str, levels: Sequence[Level]) -> EffectiveConfiguration:
    configuration, errors = rules.read_effective(stand(levels).raw)
    if configuration is None:
        raise refuse_invalid(errors)
    written = ((level.node_id, level.version) for level in levels if level.version)
    return EffectiveConfiguration(
        org_id=session.org_id,
        team_node_id=node_id,
        hash=rules.effective_hash(configuration),
        document=configuration,
        sources=((PLATFORM_NODE, PLATFORM_VERSION), *written),
    )


def _past(at: datetime) -> datetime:
    if at > utc_now():
        message = "This moment is yet to come; nobody knows the configuration then."
        raise Unprocessable(message, errors=[FieldError(pointer="/query/at", message=message)])
    return at
