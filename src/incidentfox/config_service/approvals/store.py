"""Every SQL statement on change requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, insert, not_, select, text, update

from incidentfox.config_service.approvals.rules import Identity
from incidentfox.config_service.approvals.tables import change_request_comments, change_requests
from incidentfox.config_service.session import Session
from incidentfox.config_service.tree.scope import widened
from incidentfox.contracts.change_requests import (
    ChangeRequest,
    ChangeRequestStatus,
    Comment,
    OpenChangeRequest,
)

_BEHIND = text(
    """
    WITH RECURSIVE credentials AS (
        SELECT token_id, issued_by_token_id, rotated_to, user_handle, created_by FROM team_tokens WHERE org_id = :org_id
        UNION ALL
        SELECT token_id, issued_by_token_id, rotated_to, user_handle, created_by FROM org_admin_tokens
        WHERE org_id = :org_id
    ), behind (subject, is_maker) AS (
        SELECT CAST(:subject AS text), false
        UNION
        SELECT found.subject, found.is_maker
        FROM behind
        JOIN credentials c ON behind.subject = 'token:' || c.token_id
            OR (c.issued_by_token_id IS NULL
                AND behind.subject IN ('token:' || c.rotated_to, 'user:' || c.user_handle))
        CROSS JOIN LATERAL (VALUES
            ('token:' || c.token_id, is_maker),
            ('token:' || c.issued_by_token_id, is_maker),
            ('token:' || c.rotated_to, is_maker),
            ('user:' || c.user_handle, is_maker),
            (CASE WHEN c.issued_by_token_id IS NULL THEN c.created_by END, is_maker OR c.user_handle IS NOT NULL)
        ) AS found (subject, is_maker)
        WHERE found.subject NOT LIKE 'service:%'
    )
    SELECT subject, is_maker FROM behind
    """
)
"""Who a subject is and who made it, link by link; NULL is no link. A session is its token's, so nobody made it.

Services are left out: whoever holds the operator's key made the first token of everybody.
"""

_IS_OVER = and_(change_requests.c.status == ChangeRequestStatus.OPEN.value, change_requests.c.expires_at <= func.now())
_STATUS = case((_IS_OVER, ChangeRequestStatus.EXPIRED.value), else_=change_requests.c.status)
_WIRE: list[ColumnElement[Any]] = [
    _STATUS.label("status") if name == "status" else change_requests.c[name] for name in ChangeRequest.model_fields
]


@dataclass(frozen=True)
class Outcome:
    """How a request ended."""

    status: ChangeRequestStatus
    comment: str | None = None
    applied_version: int | None = None


async def insert_request(
    session: Session, node_id: str, request_id: str, request: OpenChangeRequest, base_version: int
) -> ChangeRequest:
    """Opens a request; its time begins and ends by the database's clock."""
    now = func.now()
    values = {
        "org_id": session.org_id,
        "request_id": request_id,
        "node_id": node_id,
        "title": request.title,
        "change": request.change.model_dump(mode="json"),
        "base_version": base_version,
        "created_at": now,
        "created_by": session.principal.subject,
        "expires_at": now + timedelta(seconds=request.expires_in_s),
    }
    row = (await session.connection.execute(insert(change_requests).values(values).returning(*_WIRE))).one()
    return _request(row)


async def request(session: Session, node_id: str, request_id: str, *, lock: bool = False) -> ChangeRequest | None:
    """One request of the node; `lock` keeps other deciders waiting until the end of the transaction."""
    statement = _requests().where(change_requests.c.node_id == node_id, change_requests.c.request_id == request_id)
    scoped = statement.where(change_requests.c.org_id == session.org_id)
    row = (await session.connection.execute(scoped.with_for_update() if lock else scoped)).first()
    return _request(row) if row else None


async def newest_requests(
    session: Session, node_id: str | None, status: ChangeRequestStatus | None, before: str | None, limit: int
) -> list[ChangeRequest]:
    """Requests, newest first: of one node or of all, in one state or in any."""
    statement = _requests().where(change_requests.c.org_id == session.org_id)
    if node_id is not None:
        statement = statement.where(change_requests.c.node_id == node_id)
    if status is ChangeRequestStatus.EXPIRED:
        statement = statement.where(_IS_OVER)
    elif status is not None:
        statement = statement.where(change_requests.c.status == status.value, not_(_IS_OVER))
    if before is not None:
        statement = statement.where(change_requests.c.request_id < before)
    rows = await session.connection.execute(statement.order_by(change_requests.c.request_id.desc()).limit(limit))
    return [_request(row) for row in rows]


async def rebase(session: Session, request_id: str, base_version: int) -> ChangeRequest:
    """Binds a request to another version."""
    return await _update(session, request_id, {"base_version": base_version})


async def decide(session: Session, request_id: str, outcome: Outcome) -> ChangeRequest:
    """Ends a request."""
    decided = {
        "status": outcome.status.value,
        "decided_at": func.now(),
        "decided_by": session.principal.subject,
        "decision_comment": outcome.comment,
        "applied_version": outcome.applied_version,
    }
    return await _update(session, request_id, decided)


async def insert_comment(session: Session, node_id: str, comment: Comment) -> None:
    """Adds a comment. Nothing ever changes one."""
    values = {**dict(comment), "org_id": session.org_id, "node_id": node_id}
    await session.connection.execute(insert(change_request_comments).values(values))


async def comments_after(session: Session, request_id: str, after: str | None, limit: int) -> list[Comment]:
    """The comments on a request, oldest first."""
    table = change_request_comments
    statement = select(*(table.c[name] for name in Comment.model_fields)).where(
        table.c.org_id == session.org_id, table.c.request_id == request_id
    )
    if after is not None:
        statement = statement.where(table.c.comment_id > after)
    rows = await session.connection.execute(statement.order_by(table.c.comment_id).limit(limit))
    return [Comment(**row._mapping) for row in rows]


async def identity(session: Session, subject: str) -> Identity:
    """The subject with the credentials behind it, whatever nodes they are bound to and whatever the caller may see."""
    async with widened(session) as whole:
        found = await whole.connection.execute(_BEHIND, {"org_id": whole.org_id, "subject": subject})
        rows = found.all()
    return Identity(
        names=frozenset(row.subject for row in rows if not row.is_maker),
        makers=frozenset(row.subject for row in rows if row.is_maker),
    )


async def _update(session: Session, request_id: str, values: dict[str, Any]) -> ChangeRequest:
    statement = (
        update(change_requests)
        .where(change_requests.c.org_id == session.org_id, change_requests.c.request_id == request_id)
        .values(values)
        .returning(*_WIRE)
    )
    return _request((await session.connection.execute(statement)).one())


def _requests() -> Select[Any]:
    return select(*_WIRE)


def _request(row: Row[Any]) -> ChangeRequest:
    return ChangeRequest.model_validate(dict(row._mapping))
