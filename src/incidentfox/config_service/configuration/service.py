"""Reads and writes configuration: versions of a node's own document, and what they come to for a team."""

from __future__ import annotations

from collections.abc import Iterable

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.configuration import rules, store
from incidentfox.config_service.configuration.defaults import PLATFORM_DEFAULTS, PLATFORM_NODE, PLATFORM_VERSION
from incidentfox.config_service.routing.service import claim_identifiers
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.service import require_node, require_team
from incidentfox.config_service.tree.store import lock_tree
from incidentfox.contracts.configuration import (
    ConfigurationVersion,
    EffectiveConfiguration,
    JsonObject,
    TeamConfiguration,
)
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.tree import Node, NodeKind
from incidentfox.kernel.crypto import canonical_json, content_hash
from incidentfox.kernel.errors import NotFound, PreconditionFailed, Unprocessable


async def read(session: Session, node_id: str) -> ConfigurationVersion:
    """The node's own document, current version."""
    await require_node(session, node_id)
    return await store.current_version(session, node_id)


async def replace(
    session: Session, node_id: str, document: JsonObject, if_match: frozenset[int] | None
) -> ConfigurationVersion:
    """Writes a new version of the node's own document; see `_write` for what is judged."""
    return await _write(session, node_id, document, if_match, patch=False)


async def patch(
    session: Session, node_id: str, document: JsonObject, if_match: frozenset[int] | None
) -> ConfigurationVersion:
    """Merges a patch (RFC 7396) into the node's own document: here `null` removes the node's own key.

    To remove an *inherited* key, PUT a document that holds the `null`.
    """
    return await _write(session, node_id, document, if_match, patch=True)


async def effective(session: Session, node_id: str) -> EffectiveConfiguration:
    """What the node's configuration comes to: platform defaults → organisation → units → team.

    Raises NotFound for a node that the caller does not see, and Unprocessable when what is stored does not satisfy
    the schema of this release.
    """
    levels = await store.path_levels(session, node_id)
    if not levels:
        raise NotFound(f"There is no node {node_id!r} here for you.", code="node_not_found")
    document = rules.inherit([PLATFORM_DEFAULTS, *(level.document for level in levels)])
    configuration, errors = rules.read_effective(document)
    if configuration is None:
        raise _refused(errors)
    written = ((level.node_id, level.version) for level in levels if level.version)
    return EffectiveConfiguration(
        org_id=session.org_id,
        team_node_id=node_id,
        hash=rules.effective_hash(configuration),
        document=configuration,
        sources=((PLATFORM_NODE, PLATFORM_VERSION), *written),
    )


async def effective_for_run(session: Session, team_node_id: str) -> EffectiveConfiguration:
    """The effective configuration of a team, kept under its hash: what a run says it was built from stays readable."""
    await require_team(session, team_node_id)
    found = await effective(session, team_node_id)
    document = canonical_json(rules.effective_json(found.document)).decode()
    await store.keep_effective(session, team_node_id, found.hash, document)
    return found


async def effective_of_run(session: Session, team_node_id: str, document_hash: str) -> EffectiveConfiguration:
    """The effective configuration that a run was built from, by its hash; NotFound where none was kept under it."""
    document = await store.kept_effective(session, team_node_id, document_hash)
    if document is None:
        raise NotFound(
            f"No configuration {document_hash} of {team_node_id!r} is kept here.", code="configuration_not_found"
        )
    return EffectiveConfiguration(
        org_id=session.org_id,
        team_node_id=team_node_id,
        hash=document_hash,
        document=TeamConfiguration.model_validate_json(document),
    )


async def _write(
    session: Session, node_id: str, document: JsonObject, if_match: frozenset[int] | None, *, patch: bool
) -> ConfigurationVersion:
    """Writers of one organisation take turns, so that what was judged is what comes to hold.

    Raises PreconditionFailed when `if_match` names another version than the current one, Unprocessable when the
    result breaks the node or any team below it, Conflict when an identifier belongs to another team. A write that
    changes nothing makes no version.
    """
    await lock_tree(session)
    node = await require_node(session, node_id)
    session.require_writable(node_id)
    before = await store.current_version(session, node_id)
    if if_match is not None and before.version not in if_match:
        raise PreconditionFailed(
            f"The configuration of {node_id!r} is at version {before.version} by now."
            " Read it and apply your change again.",
            code="version_conflict",
        )
    after = rules.merge_patch(before.document, document) if patch else document
    after_hash = content_hash(after)
    if after_hash == before.hash and before.version:
        return before
    own_errors = rules.judge_own(node.kind, after)
    if own_errors:
        raise _refused(own_errors)
    version = await store.insert_version(session, node_id, before.version + 1, after, after_hash)
    await _judge_subtree(session, node)
    await record(
        session,
        Fact(
            "configuration.updated",
            node_id,
            node_id if node.kind is NodeKind.TEAM else None,
            before_hash=before.hash,
            after_hash=after_hash,
            detail={"version": version.version},
        ),
    )
    return version


async def _judge_subtree(session: Session, node: Node) -> None:
    """Judges what the node and every team below it come to now, and claims a team's identifiers."""
    above = (await store.path_levels(session, node.node_id))[:-1]
    raw: dict[str | None, JsonObject] = {
        node.parent_id: rules.inherit([PLATFORM_DEFAULTS, *(level.document for level in above)])
    }
    errors: list[FieldError] = []
    for level in await store.subtree_levels(session, node.node_id):
        raw[level.node_id] = rules.merge_patch(raw[level.parent_id], level.document)
        if level.kind is not NodeKind.TEAM and level.node_id != node.node_id:
            continue
        configuration, found = rules.read_effective(raw[level.node_id])
        errors += found if level.node_id == node.node_id else _of_team(level.node_id, found)
        if len(errors) > rules.MAX_ERRORS:
            break
        if configuration is not None and level.node_id == node.node_id and node.kind is NodeKind.TEAM:
            await claim_identifiers(session, node.node_id, configuration.routing)
    if errors:
        raise _refused(errors)


def _of_team(team_node_id: str, errors: Iterable[FieldError]) -> list[FieldError]:
    return [FieldError(pointer=error.pointer, message=f"In team {team_node_id!r}: {error.message}") for error in errors]


def _refused(errors: list[FieldError]) -> Unprocessable:
    shown = errors[: rules.MAX_ERRORS]
    first = f"{shown[0].pointer}: {shown[0].message}"
    return Unprocessable(
        f"The effective configuration would not be valid. {first}", code="invalid_configuration", errors=shown
    )
