"""Puts on record what happened. Called by every domain of this service, in the transaction of the thing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from incidentfox.config_service.audit import store
from incidentfox.config_service.session import Session
from incidentfox.contracts.audit import (
    AppendAuditEvent,
    AuditChain,
    AuditEvent,
    AuditFilters,
    ChainPoint,
    SealedAuditEvent,
)
from incidentfox.contracts.page import Page
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.errors import Conflict, Forbidden
from incidentfox.kernel.hash_chain import Point
from incidentfox.kernel.ids import new_id, require_id
from incidentfox.kernel.logging import correlation_id, get_logger
from incidentfox.kernel.web.pagination import decode_cursor, page

log = get_logger(__name__)


@dataclass(frozen=True)
class Fact:
    """What happened to what. `team_node_id` lets that team see the event; None: the organisation's admins only."""

    action: str
    target: str
    team_node_id: str | None = None
    before_hash: str | None = None
    after_hash: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


async def record(session: Session, fact: Fact) -> None:
    """Records a fact with the caller, its address and the correlation id of the request."""
    event_id = new_id("aud")
    event = AuditEvent(
        event_id=event_id,
        org_id=session.org_id,
        team_node_id=fact.team_node_id or session.tenant.team_node_id,
        at=utc_now(),
        actor=session.principal.subject,
        action=fact.action,
        target=fact.target,
        correlation_id=correlation_id(),
        source_address=session.source_address,
        before_hash=fact.before_hash,
        after_hash=fact.after_hash,
        detail=fact.detail,
    )
    await store.insert_event(session, event, event_id)
    _note(session, event)


async def append(session: Session, request: AppendAuditEvent) -> AuditEvent:
    """Records an event of another service. The same key again returns the event that is there.

    Raises Conflict when the key stands for another event, Forbidden for a team that the caller is not bound to.
    """
    bound_to = session.tenant.team_node_id
    if bound_to is not None and request.team_node_id not in (None, bound_to):
        raise Forbidden(f"This credential records events of {bound_to!r} only.", code="outside_of_own_team")
    values = request.model_dump(exclude={"event_key"})
    event = AuditEvent(
        **{
            **values,
            "event_id": new_id("aud"),
            "org_id": session.org_id,
            "team_node_id": request.team_node_id or bound_to,
            "at": utc_now(),
            "actor": session.principal.subject,
            "correlation_id": request.correlation_id or correlation_id(),
        }
    )
    if await store.insert_event(session, event, request.event_key):
        _note(session, event)
        return event
    existing = await store.event_by_key(session, request.event_key)
    if existing is None or (existing.action, existing.target) != (request.action, request.target):
        raise Conflict("This event_key stands for another event.", code="event_key_reused")
    return existing


async def newest(session: Session, wanted: AuditFilters, cursor: str | None, limit: int) -> Page[AuditEvent]:
    """A page of the events that are wanted, newest first."""
    before = decode_cursor(cursor)
    if before is not None:
        require_id(before, "aud")
    events = await store.newest_events(session, wanted, before, limit + 1)
    return page(events, limit, lambda event: event.event_id)


async def chain(session: Session) -> AuditChain:
    """Where the organisation's chain begins and ends; a team's credential sees only a part of it, so it gets none."""
    session.require_whole_org()
    unsealed = await store.count_unsealed(session)
    return _chain(session, await store.chain_start(session), await store.chain_end(session), unsealed)


async def begin_export(session: Session, since: datetime | None, until: datetime | None) -> AuditChain:
    """The unbroken part of the chain that holds every event of the span of time, and the export on record.

    Events outside of the span may be among them: without them the links would not join.
    """
    session.require_whole_org()
    unsealed = await store.count_unsealed(session)
    start, end = await store.chain_start(session), await store.chain_end(session)
    if since is not None or until is not None:
        start, end = await store.span_of_time(session, since, until) or (end, end)
    exported = _chain(session, start, end, unsealed)
    detail = {"after": start.seq, "upto": end.seq}
    await record(session, Fact("audit.exported", session.org_id, after_hash=end.hash, detail=detail))
    return exported


async def links(session: Session, after: int, upto: int, limit: int) -> list[SealedAuditEvent]:
    """A stretch of the chain."""
    session.require_whole_org()
    return await store.links_between(session, after, upto, limit)


def _chain(session: Session, start: Point, end: Point, unsealed: int) -> AuditChain:
    """`unsealed` was counted before the end was read, and sealing goes on: so 0 means that the end holds everything."""
    return AuditChain(
        org_id=session.org_id,
        start=ChainPoint(seq=start.seq, hash=start.hash),
        end=ChainPoint(seq=end.seq, hash=end.hash),
        unsealed=unsealed,
    )


def _note(session: Session, event: AuditEvent) -> None:
    if not session.kept:
        return
    log.info("audited", action=event.action, target=event.target, org_id=event.org_id, team=event.team_node_id)
