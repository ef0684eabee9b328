"""Writes a node's own document, or says what writing it would do.

Writers of one organisation take turns, so that what was judged is what comes to hold: the lock of a parent and the
edit of a child cannot both slip through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.configuration import store
from incidentfox.config_service.configuration.differences import differences
from incidentfox.config_service.configuration.governance import loosened, read_policies
from incidentfox.config_service.configuration.judgement import Judgement, Standing, Walk, stand
from incidentfox.config_service.configuration.levels import POLICIES, Level
from incidentfox.config_service.configuration.pointers import join
from incidentfox.config_service.configuration.refusals import REFUSED, as_refusal, refusals, refuse_invalid
from incidentfox.config_service.configuration.rules import default_team, judge_own, merge_patch
from incidentfox.config_service.preconditions import require_version
from incidentfox.config_service.routing.service import claim_default_team, claim_identifiers
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.service import require_live, require_node
from incidentfox.config_service.tree.store import lock_tree
from incidentfox.contracts.configuration import ConfigurationVersion, JsonObject
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.problem import FieldError
from incidentfox.contracts.progress import Progress
from incidentfox.contracts.tree import Node, NodeKind
from incidentfox.kernel.crypto import canonical_json, content_hash
from incidentfox.kernel.errors import Failure, TooLarge

MAX_DOCUMENT_BYTES = 1024 * 1024
"""Canonical JSON of one node's own document: many small patches may not add up to more than one request could hold."""

_BATCH = 25  # nodes judged between two looks at the event loop: about ten milliseconds


@dataclass(frozen=True)
class DocumentChange:
    """Another document for a node: `body` merged into its own (RFC 7396), or put in its place."""

    node_id: str
    body: JsonObject
    merges: bool
    if_match: frozenset[int] | None = None
    action: str = "configuration.updated"
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Approval:
    """The change request that a second pair of eyes has agreed to, and who asked for it."""

    request_id: str
    author: str


@dataclass(frozen=True)
class _Plan:
    node: Node
    before: ConfigurationVersion
    document: JsonObject
    judgement: Judgement


async def write(session: Session, change: DocumentChange, approval: Approval | None = None) -> ConfigurationVersion:
    """Writes a new version of the node's own document. A write that changes nothing makes no version.

    Raises PreconditionFailed when `if_match` names another version than the current one, Unprocessable when the
    result breaks the node or any team below it or a policy, Conflict when an identifier belongs to another team, when
    the node is archived, or when the change needs an approval that it does not have.
    """
    await lock_tree(session)
    plan = await _plan(session, change, shows=False)
    for failure in refusals(plan.judgement, approved=approval is not None):
        raise failure
    if plan.before.version and content_hash(plan.document) == plan.before.hash:
        return plan.before
    version = await store.insert_version(session, _next_version(session, plan, approval))
    await _claim(session, plan)
    await _record(session, plan, version, change)
    return version


async def preview(session: Session, change: DocumentChange, *, approved: bool = False) -> WritePreview:
    """What `write` would do: its refusals, and what would change for whom. Writes nothing."""
    try:
        plan = await _plan(session, change, shows=True)
    except REFUSED as failure:
        return WritePreview(org_id=session.org_id, node_id=change.node_id, refusals=(as_refusal(failure),))
    found = [*refusals(plan.judgement, approved=approved), *await _claim_conflicts(session, plan)]
    return WritePreview(
        org_id=session.org_id,
        node_id=change.node_id,
        refusals=tuple(as_refusal(failure) for failure in found),
        changes=tuple(differences(plan.before.document, plan.document)),
        affected_teams=plan.judgement.affected,
        teams=tuple(plan.judgement.effects),
    )


async def judge_below(
    session: Session, judgement: Judgement, compare: Callable[[Level], tuple[Standing | None, Standing]]
) -> None:
    """Judges the centre and all nodes below it as they are read; `compare` says what each was and what it becomes.

    Tells how far it is, and lets others have the event loop now and then.
    """
    teams = await store.count_teams(session, judgement.focus)
    session.tell(Progress(judged=0, teams=teams))
    number = judged = 0
    async with aclosing(store.read_subtree(session, judgement.focus)) as levels:
        async for level in levels:
            judgement.look(*compare(level))
            if judgement.is_full:
                return
            number, judged = number + 1, judged + level.is_team
            if number % _BATCH == 0:
                session.tell(Progress(judged=judged, teams=teams))
                await asyncio.sleep(0)


def judge_document(kind: NodeKind, document: JsonObject) -> None:
    """Raises Unprocessable or TooLarge for what a node's own document may not be, whatever it comes to."""
    _, errors = read_policies(document.get(POLICIES))
    errors = [*judge_own(kind, document), *errors]
    if errors:
        raise refuse_invalid(errors)
    if len(canonical_json(document)) > MAX_DOCUMENT_BYTES:
        raise TooLarge(f"A node's document may have {MAX_DOCUMENT_BYTES} bytes at most.", code="document_too_large")


async def _plan(session: Session, change: DocumentChange, *, shows: bool) -> _Plan:
    node = await require_node(session, change.node_id)
    session.require_writable(node.node_id)
    require_live(node)
    before = await store.current_version(session, node.node_id)
    require_version(f"The configuration of {node.node_id!r}", before.version, change.if_match)
    document = merge_patch(before.document, change.body) if change.merges else change.body
    judge_document(node.kind, document)
    judgement = Judgement(node.node_id, shows)
    plan = _Plan(node, before, document, judgement)
    if before.version and content_hash(document) == before.hash:
        return plan
    for path in loosened(before.document.get(POLICIES), document.get(POLICIES)):
        message = "A policy that demands approval changes with approval only."
        judgement.approvals.append(FieldError(pointer=join((POLICIES, path)), message=message))
    parent = stand((await store.path_levels(session, node.node_id))[:-1])
    old, new = Walk(parent), Walk(parent)

    def compare(level: Level) -> tuple[Standing, Standing]:
        written = replace(level, document=document) if level.node_id == node.node_id else level
        return old.step(level), new.step(written)

    await judge_below(session, judgement, compare)
    return plan


def _next_version(session: Session, plan: _Plan, approval: Approval | None) -> ConfigurationVersion:
    return ConfigurationVersion(
        org_id=session.org_id,
        node_id=plan.node.node_id,
        version=plan.before.version + 1,
        document=plan.document,
        hash=content_hash(plan.document),
        created_at=None,
        created_by=approval.author if approval is not None else session.principal.subject,
        change_request_id=approval.request_id if approval is not None else None,
    )


async def _claim(session: Session, plan: _Plan) -> None:
    configuration = plan.judgement.configuration
    if configuration is not None and plan.node.kind is NodeKind.TEAM:
        await claim_identifiers(session, plan.node.node_id, configuration.routing)
    elif plan.node.kind is NodeKind.ORG:
        before, after = default_team(plan.before.document), default_team(plan.document)
        if before != after:
            await claim_default_team(session, before, after)


async def _claim_conflicts(session: Session, plan: _Plan) -> list[Failure]:
    """What claiming the team's identifiers would raise: the database alone can say, so it is asked and taken back."""
    savepoint = await session.connection.begin_nested()
    try:
        await _claim(session, plan)
    except REFUSED as failure:
        return [failure]
    finally:
        await savepoint.rollback()
    return []


async def _record(session: Session, plan: _Plan, version: ConfigurationVersion, change: DocumentChange) -> None:
    detail = {"version": version.version, **change.detail}
    if version.change_request_id is not None:
        detail |= {"change_request_id": version.change_request_id, "author": version.created_by}
    await record(
        session,
        Fact(
            change.action,
            plan.node.node_id,
            plan.node.node_id if plan.node.kind is NodeKind.TEAM else None,
            before_hash=plan.before.hash,
            after_hash=version.hash,
            detail=detail,
        ),
    )
