"""The audit: who did what when, searched; where the chain stands; and its export for an offline check."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response, StreamingResponse

from incidentfox.console.backends import backends_of
from incidentfox.console.documents import json_text
from incidentfox.console.session import Session, requires_session
from incidentfox.console.templating import pages_of
from incidentfox.contracts.audit import AuditChain, AuditFilters, ExportFormat
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Invalid

router = APIRouter()

PER_PAGE = 50
_MEDIA_TYPES = {ExportFormat.NDJSON: "application/x-ndjson", ExportFormat.CSV: "text/csv; charset=utf-8"}
_TEXTS = ("action", "actor", "target", "team_node_id", "correlation_id")
_TIMES = ("since", "until")

Reader = Annotated[Session, requires_session(Permission.AUDIT_READ)]


@router.get("/audit")
async def audit_page(
    request: Request, session: Reader, cursor: Annotated[str | None, Query(max_length=512)] = None
) -> Response:
    """The events that match, newest first."""
    client = backends_of(request).config_service
    typed = {name: request.query_params.get(name, "").strip()[:512] for name in (*_TEXTS, *_TIMES)}
    wanted, wrong = _filters(typed)
    context: dict[str, Any] = {
        "typed": typed,
        "wrong": wrong,
        "rows": [],
        "older": None,
        "newest": _address(typed) if cursor else None,
        "is_filtered": any(typed.values()),
        "chain": await _chain(request, session),
        "export": urlencode({name: typed[name] for name in _TIMES if typed[name]}),
    }
    if wanted is not None:
        page = await client.audit_events(session.org_id, wanted=wanted, cursor=cursor, limit=PER_PAGE)
        context["rows"] = [(event, json_text(event.detail) if event.detail else "") for event in page.items]
        context["older"] = _address(typed, page.next_cursor) if page.next_cursor else None
    return pages_of(request).page(request, "audit.html", context, 422 if wrong else 200)


@router.get("/audit/export")
async def export(
    request: Request,
    session: Reader,
    form: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.NDJSON,
    since: Annotated[str, Query(max_length=40)] = "",
    until: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """The chain with its events as a file, for `incidentfox audit verify`; passed on as it comes."""
    client = backends_of(request).config_service
    stack = AsyncExitStack()
    # Opened before the response begins, so that a refusal is a page and not half a file.
    content = await stack.enter_async_context(
        client.export_audit_chain(session.org_id, form, since=_moment(since), until=_moment(until))
    )

    async def pieces() -> AsyncIterator[bytes]:
        async with stack:
            async for piece in content:
                yield piece

    name = f"audit-{session.org_id}.{form.value}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces(), media_type=_MEDIA_TYPES[form], headers=headers)


async def _chain(request: Request, session: Session) -> AuditChain | None:
    """Where the chain stands; a team's credential sees only a part of it, so it gets none."""
    if session.team_node_id is not None:
        return None
    return await backends_of(request).config_service.audit_chain(session.org_id)


def _filters(typed: dict[str, str]) -> tuple[AuditFilters | None, str]:
    """The filters, or what is wrong with them in words."""
    texts = {name: typed[name] or None for name in _TEXTS}
    try:
        return AuditFilters(**texts, since=_moment(typed["since"]), until=_moment(typed["until"])), ""
    except ValidationError:
        return None, "The id of a team has lower-case letters, digits and hyphens."
    except Invalid as failure:
        return None, failure.detail


def _moment(text: str) -> datetime | None:
    """What a browser's date and time field sends, taken as UTC."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid("A time is written as 2026-05-01T13:30, in UTC.") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _address(typed: dict[str, str], cursor: str | None = None) -> str:
    query = {name: value for name, value in {**typed, "cursor": cursor or ""}.items() if value}
    return f"/audit?{urlencode(query)}" if query else "/audit"
