"""A run's timeline as a live stream: what is there, then what comes, until the run has ended.

Each look is a transaction of its own; a stream holds no database connection while it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from incidentfox.config_service.dependencies import begin, parts_of
from incidentfox.config_service.timeline import service
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.errors import Temporary, Unauthenticated
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Authenticator, Principal
from incidentfox.kernel.web.sse import ServerSentEvent

log = get_logger(__name__)

POLL_S = 1.0
"""The longest that an event stays unseen when its notification is lost."""

_BATCH = 200


async def follow(
    request: Request, principal: Principal, tenant: Tenant, run_id: str, after: int
) -> AsyncIterator[ServerSentEvent]:
    """The events after `after`, as they come. Ends after `run.finished`, or when the credential is no longer valid."""
    with parts_of(request).timelines.watch(run_id) as changed:
        while True:
            changed.clear()
            try:
                events = await _look(request, principal, tenant, run_id, after)
                if events is None or not await _still_allowed(request, principal):
                    return
            except Temporary as failure:
                log.warning("stream waits", code=failure.code, run_id=run_id)
                events = ()
            for event in events:
                yield ServerSentEvent(str(event.seq), event.type.value, event.model_dump_json())
                after = event.seq
                if event.type is RunEventType.RUN_FINISHED:
                    return
            if len(events) < _BATCH:
                await _until(changed)


async def _look(
    request: Request, principal: Principal, tenant: Tenant, run_id: str, after: int
) -> tuple[RunEvent, ...] | None:
    """What came after `after`; None when nothing will."""
    async with begin(request, principal, tenant) as session:
        events = (await service.read(session, run_id, after, _BATCH)).items
        if not events and await service.is_over(session, run_id, after):
            return None
        return events


async def _still_allowed(request: Request, principal: Principal) -> bool:
    """A revoked token ends its streams, too. A service's token is good for the call that it opened."""
    if principal.is_service:
        return True
    authenticator: Authenticator = request.app.state.authenticator
    try:
        return Permission.RUNS_READ in (await authenticator.principal(request)).permissions
    except Unauthenticated:
        return False


async def _until(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(POLL_S):
            await changed.wait()
    except TimeoutError:
        return
