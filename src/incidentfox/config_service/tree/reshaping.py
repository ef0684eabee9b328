"""Changes the shape of the tree: creates, renames, moves, archives, restores and deletes nodes.

A node that comes to stand elsewhere inherits something else, so every such change is judged like a write: by what each
node comes to after it. Each has its preview, which judges the same and writes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.configuration.judgement import Judgement, Standing, Walk, stand, step, walk
from incidentfox.config_service.configuration.levels import Level
from incidentfox.config_service.configuration.refusals import REFUSED, as_refusal, refusals
from incidentfox.config_service.configuration.rules import default_team, read_effective
from incidentfox.config_service.configuration.store import (
    current_version,
    insert_version,
    path_levels,
    subtree_levels,
)
from incidentfox.config_service.configuration.writing import Approval, judge_below, judge_document
from incidentfox.config_service.preconditions import require_version
from incidentfox.config_service.routing.service import claim_identifiers
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree import store
from incidentfox.config_service.tree.rules import judge_move, judge_new_node
from incidentfox.config_service.tree.service import node_hash, require_live, require_node
from incidentfox.contracts.configuration import ConfigurationVersion
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.tree import CreateNode, Node, NodeKind, Removal, UpdateNode
from incidentfox.kernel.crypto import content_hash
from incidentfox.kernel.errors import Conflict, Unprocessable

IfMatch = frozenset[int] | None


@dataclass(frozen=True)
class NodeChange:
    """Another name or parent for a node."""

    node_id: str
    update: UpdateNode
    if_match: IfMatch = None


async def create_node(session: Session, request: CreateNode) -> Node:
    """Creates a unit or team, with its first document where one is given.

    Raises Conflict when the id is taken, Unprocessable when it may not stand there or would break a policy.
    """
    session.require_whole_org()
    await store.lock_tree(session)
    judgement = await _judge_creation(session, request)
    for failure in refusals(judgement):
        raise failure
    node = await store.insert_node(session, request.node_id, request.parent_id, request.kind, request.name)
    if node is None:
        raise _taken(request.node_id)
    team = node.node_id if node.kind is NodeKind.TEAM else None
    await record(session, Fact("node.created", node.node_id, team, after_hash=node_hash(node)))
    if request.configuration is not None:
        await _write_first(session, node, request, judgement)
    return node


async def preview_creation(session: Session, request: CreateNode) -> WritePreview:
    """What `create_node` would do."""
    session.require_whole_org()
    return await _preview(session, request.node_id, lambda: _judge_creation(session, request))


async def update_node(session: Session, change: NodeChange, approval: Approval | None = None) -> Node:
    """Renames and moves a node. Raises Unprocessable for a place where it may not stand (below itself, below a team,
    too deep) or where it would break a policy, Conflict when the move needs an approval that it does not have."""
    session.require_whole_org()
    await store.lock_tree(session)
    before = await _require(session, change.node_id, change.if_match)
    judgement = await _judge_update(session, before, change.update)
    for failure in refusals(judgement, approved=approval is not None):
        raise failure
    name = change.update.name or before.name
    parent_id = change.update.parent_id or before.parent_id
    if (name, parent_id) == (before.name, before.parent_id):
        return before
    node = await store.rename_or_move(session, before.node_id, name, parent_id)
    detail = {"change_request_id": approval.request_id, "author": approval.author} if approval is not None else {}
    if parent_id is not None and parent_id != before.parent_id:
        await store.relink(session, node.node_id, parent_id)
        await _record(session, "node.moved", before, node, {"from": before.parent_id, "to": parent_id, **detail})
    if name != before.name:
        await _record(session, "node.renamed", before, node, {"from": before.name, "to": name, **detail})
    return node


async def preview_update(session: Session, change: NodeChange, *, approved: bool = False) -> WritePreview:
    """What `update_node` would do."""
    session.require_whole_org()

    async def judge() -> Judgement:
        before = await _require(session, change.node_id, change.if_match)
        return await _judge_update(session, before, change.update, shows=True)

    return await _preview(session, change.node_id, judge, approved=approved)


async def archive_node(session: Session, node_id: str, if_match: IfMatch) -> Node:
    """Freezes a unit or team with everything below it: no run, no write, no routing, until it is restored."""
    session.require_whole_org()
    await store.lock_tree(session)
    before = await _require_archivable(session, node_id, if_match)
    await store.archive(session, node_id)
    await store.free_identifiers(session, node_id)
    node = await require_node(session, node_id)
    await _record(session, "node.archived", before, node, {})
    return node


async def preview_archiving(session: Session, node_id: str, if_match: IfMatch) -> WritePreview:
    """What `archive_node` would do: whether it may."""
    session.require_whole_org()

    async def judge() -> Judgement:
        await _require_archivable(session, node_id, if_match)
        return Judgement(node_id)

    return await _preview(session, node_id, judge)


async def restore_node(session: Session, node_id: str, if_match: IfMatch) -> Node:
    """Restores what was archived together with the node, judged anew: the tree went on without it.

    Raises Conflict when one of its identifiers belongs to another team by now.
    """
    session.require_whole_org()
    await store.lock_tree(session)
    before = await require_node(session, node_id)
    require_version(f"The node {node_id!r}", before.version, if_match)
    judgement = await _judge_restoring(session, before)
    for failure in refusals(judgement):
        raise failure
    if before.archived_at is None:
        return before
    await store.restore(session, node_id, before.archived_at)
    await _claim_below(session, node_id)
    node = await require_node(session, node_id)
    await _record(session, "node.restored", before, node, {})
    return node


async def preview_restoring(session: Session, node_id: str, if_match: IfMatch) -> WritePreview:
    """What `restore_node` would do."""
    session.require_whole_org()

    async def judge() -> Judgement:
        before = await require_node(session, node_id)
        require_version(f"The node {node_id!r}", before.version, if_match)
        return await _judge_restoring(session, before)

    return await _preview(session, node_id, judge)


async def delete_node(session: Session, node_id: str, if_match: IfMatch, *, dry_run: bool) -> Removal:
    """Deletes a unit or team with everything below it, or says what would fall (`dry_run`).

    Identifiers become free, secrets go, tokens are revoked. Runs, audit events and the history of documents stay, and
    so the ids are never given out again.
    """
    session.require_whole_org()
    await store.lock_tree(session)
    before = await require_node(session, node_id)
    _refuse_root(before)
    require_version(f"The node {node_id!r}", before.version, if_match)
    levels = await subtree_levels(session, node_id)
    await _refuse_default_team(session, {level.node_id for level in levels})
    savepoint = await session.connection.begin_nested()
    fallen = await store.remove(session, node_id)
    removal = Removal(
        org_id=session.org_id,
        node_id=node_id,
        dry_run=dry_run,
        units=tuple(level.node_id for level in levels if not level.is_team),
        teams=tuple(level.node_id for level in levels if level.is_team),
        **fallen,
    )
    if dry_run:
        await savepoint.rollback()
        return removal
    await savepoint.commit()
    detail = removal.model_dump(mode="json", exclude={"org_id", "node_id", "dry_run"})
    team = node_id if before.kind is NodeKind.TEAM else None
    await record(session, Fact("node.deleted", node_id, team, before_hash=node_hash(before), detail=detail))
    return removal


async def _judge_creation(session: Session, request: CreateNode) -> Judgement:
    parent = await store.node(session, request.parent_id)
    judge_new_node(request, parent, await store.depth(session, request.parent_id))
    if parent is not None:
        require_live(parent)
    if await store.is_taken(session, request.node_id):
        raise _taken(request.node_id)
    document = request.configuration or {}
    judge_document(request.kind, document)
    above = stand(await path_levels(session, request.parent_id))
    level = Level(request.node_id, request.parent_id, request.kind, 1, document)
    judgement = Judgement(request.node_id, baseline=above)
    judgement.look(Standing(level, above.raw), step(above, level))
    return judgement


async def _judge_update(session: Session, node: Node, update: UpdateNode, *, shows: bool = False) -> Judgement:
    wanted = update.parent_id
    if wanted is None or wanted == node.parent_id:
        return Judgement(node.node_id)
    parent = await store.node(session, wanted)
    subtree = await store.subtree(session, node.node_id)
    judge_move(node, parent, wanted, await store.depth(session, wanted), subtree)
    if parent is not None:
        require_live(parent)
    there = stand(await path_levels(session, wanted))
    old, new = Walk(stand((await path_levels(session, node.node_id))[:-1])), Walk(there)

    def compare(level: Level) -> tuple[Standing, Standing]:
        moved = replace(level, parent_id=wanted) if level.node_id == node.node_id else level
        return old.step(level), new.step(moved)

    judgement = Judgement(node.node_id, shows, baseline=there)
    await judge_below(session, judgement, compare)
    return judgement


async def _judge_restoring(session: Session, node: Node) -> Judgement:
    path = await path_levels(session, node.node_id)
    if path[:-1] and path[-2].archived:
        raise Conflict(f"{path[-2].node_id!r} above is archived. Restore that first.", code="node_archived")
    restored = Walk(stand(path[:-1]))
    judgement = Judgement(node.node_id)
    await judge_below(session, judgement, lambda level: (None, restored.step(replace(level, archived=False))))
    return judgement


async def _preview(
    session: Session, node_id: str, judge: Callable[[], Awaitable[Judgement]], *, approved: bool = False
) -> WritePreview:
    try:
        judgement = await judge()
    except REFUSED as failure:
        return WritePreview(org_id=session.org_id, node_id=node_id, refusals=(as_refusal(failure),))
    return WritePreview(
        org_id=session.org_id,
        node_id=node_id,
        refusals=tuple(as_refusal(failure) for failure in refusals(judgement, approved=approved)),
        affected_teams=judgement.affected,
        teams=tuple(judgement.effects),
    )


async def _write_first(session: Session, node: Node, request: CreateNode, judgement: Judgement) -> None:
    document = request.configuration or {}
    first = ConfigurationVersion(
        org_id=session.org_id,
        node_id=node.node_id,
        version=1,
        document=document,
        hash=content_hash(document),
        created_at=None,
        created_by=session.principal.subject,
    )
    await insert_version(session, first)
    team = node.node_id if node.kind is NodeKind.TEAM else None
    if team is not None and judgement.configuration is not None:
        await claim_identifiers(session, team, judgement.configuration.routing)
    fact = Fact("configuration.updated", node.node_id, team, after_hash=first.hash, detail={"version": 1})
    await record(session, fact)


async def _claim_below(session: Session, node_id: str) -> None:
    """Claims the identifiers of every live team of the subtree."""
    parent = stand((await path_levels(session, node_id))[:-1])
    for standing in walk(parent, await subtree_levels(session, node_id)):
        configuration, _ = read_effective(standing.raw)
        if standing.level.is_team and not standing.level.archived and configuration is not None:
            await claim_identifiers(session, standing.level.node_id, configuration.routing)


async def _require(session: Session, node_id: str, if_match: IfMatch) -> Node:
    node = require_live(await require_node(session, node_id))
    require_version(f"The node {node_id!r}", node.version, if_match)
    return node


async def _require_archivable(session: Session, node_id: str, if_match: IfMatch) -> Node:
    node = await _require(session, node_id, if_match)
    _refuse_root(node)
    await _refuse_default_team(session, await store.subtree(session, node_id))
    return node


async def _refuse_default_team(session: Session, going: Collection[str]) -> None:
    named = default_team((await current_version(session, session.org_id)).document)
    if named is not None and named in going:
        raise Conflict(
            f"{named!r} is the organisation's default team. Name another at /routing/default_team first.",
            code="default_team",
        )


def _refuse_root(node: Node) -> None:
    if node.kind is NodeKind.ORG:
        raise Unprocessable("An organisation is neither archived nor deleted here.", code="invalid_node")


def _taken(node_id: str) -> Conflict:
    return Conflict(
        f"The id {node_id!r} is taken. Ids of deleted nodes are not given out again: runs and audit events name them.",
        code="node_exists",
    )


async def _record(session: Session, action: str, before: Node, after: Node, detail: dict[str, str | None]) -> None:
    team = after.node_id if after.kind is NodeKind.TEAM else None
    hashes = {"before_hash": node_hash(before), "after_hash": node_hash(after)}
    await record(session, Fact(action, after.node_id, team, detail=dict(detail), **hashes))
