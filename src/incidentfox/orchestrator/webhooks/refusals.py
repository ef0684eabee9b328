"""What was refused, counted in memory and written once a second: an attack must not make the database work.

Losing a second's counts in a crash is acceptable, since nothing refused was accepted. Counted are refusals at endpoints
that exist; each reason of an endpoint is put on record in the audit once an hour, with one sample.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.audit import AppendAuditEvent
from incidentfox.kernel.clock import Clock, system_clock, utc
from incidentfox.kernel.errors import Conflict, Failure, Permanent, Temporary
from incidentfox.kernel.logging import get_logger
from incidentfox.orchestrator.webhooks.store import SAMPLES_KEPT, EndpointRow, IngressStore, RefusalCount

log = get_logger(__name__)

FLUSH_S = 1.0
NOT_AUDITED = frozenset({"unsupported_event"})
_KEEP_HOURS = 10_000
_AUDIT_BACKLOG = 200


@dataclass(frozen=True)
class Sample:
    """What is kept of a refused delivery: never its body, its signature or any header's value."""

    correlation_id: str
    source_address: str | None
    size_bytes: int
    header_names: tuple[str, ...]

    def as_json(self, at: datetime) -> dict[str, Any]:
        """The sample as it is stored."""
        return {
            "at": at.isoformat(),
            "correlation_id": self.correlation_id,
            "source_address": self.source_address,
            "size_bytes": self.size_bytes,
            "header_names": list(self.header_names),
        }


@dataclass
class _Tally:
    count: int = 0
    last_at: float = 0.0
    samples: list[dict[str, Any]] = field(default_factory=list)


class RefusalLedger:
    """Counts refusals and unsupported events. One per process; `run` writes until it is cancelled."""

    def __init__(self, store: IngressStore, audit: ConfigServiceClient, clock: Clock = system_clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock
        self._tallies: dict[tuple[str, str, str], _Tally] = {}
        self._audited: set[str] = set()
        self._to_audit: list[tuple[str, AppendAuditEvent]] = []

    def note(self, endpoint: EndpointRow, reason: str, sample: Sample) -> None:
        """Counts one refusal."""
        now = self._clock()
        tally = self._tallies.setdefault((endpoint.org_id, endpoint.endpoint_id, reason), _Tally())
        tally.count += 1
        tally.last_at = now
        if len(tally.samples) < SAMPLES_KEPT:
            tally.samples.insert(0, sample.as_json(utc(now)))
        self._plan_audit(endpoint, reason, sample, now)

    async def run(self) -> None:
        """Writes once a second."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except (Failure, asyncpg.PostgresError, ValueError):
                # A statement or an answer that is not as it should be. A loop that ended would count for ever.
                log.exception("refusals not written because of an error in this service")

    async def flush(self) -> None:
        """Writes what was counted. What cannot be written now is kept for the next time."""
        taken, self._tallies = self._tallies, {}
        by_org: dict[str, list[RefusalCount]] = {}
        for (org_id, endpoint_id, reason), tally in taken.items():
            at = utc(tally.last_at)
            count = RefusalCount(endpoint_id, org_id, at.date(), reason, tally.count, at, tally.samples)
            by_org.setdefault(org_id, []).append(count)
        for org_id, counts in by_org.items():
            counts.sort(key=lambda count: (count.endpoint_id, count.day, count.reason))  # one order: no deadlock
            try:
                await self._store.add_refusals(org_id, counts)
            except Temporary as failure:
                log.warning("refusals not written yet", detail=failure.detail)
                self._put_back(counts)
        await self._append_audit()

    def _put_back(self, counts: Iterable[RefusalCount]) -> None:
        for count in counts:
            tally = self._tallies.setdefault((count.org_id, count.endpoint_id, count.reason), _Tally())
            tally.count += count.count
            tally.last_at = max(tally.last_at, count.last_at.timestamp())
            tally.samples = [*tally.samples, *count.samples][:SAMPLES_KEPT]

    def _plan_audit(self, endpoint: EndpointRow, reason: str, sample: Sample, now: float) -> None:
        key = f"webhook.refused/{endpoint.endpoint_id}/{reason}/{utc(now):%Y-%m-%dT%H}"
        if reason in NOT_AUDITED or key in self._audited or len(self._to_audit) >= _AUDIT_BACKLOG:
            return
        if len(self._audited) >= _KEEP_HOURS:
            self._audited.clear()
        self._audited.add(key)
        event = AppendAuditEvent(
            event_key=key,
            action="webhook.refused",
            target=endpoint.endpoint_id,
            correlation_id=sample.correlation_id,
            source_address=sample.source_address,
            detail={
                "reason": reason,
                "source": endpoint.source,
                "size_bytes": sample.size_bytes,
                "header_names": list(sample.header_names),
            },
        )
        self._to_audit.append((endpoint.org_id, event))

    async def _append_audit(self) -> None:
        waiting, self._to_audit = self._to_audit, []
        for index, (org_id, event) in enumerate(waiting):
            try:
                await self._audit.append_audit_event(org_id, event)
            except Temporary as failure:
                log.warning("refusals not audited yet", detail=failure.detail)
                self._to_audit = waiting[index:] + self._to_audit
                return
            except Conflict:
                continue  # another process has put its sample on record for this hour
            except Permanent as failure:
                log.warning("a refusal could not be audited", code=failure.code, detail=failure.detail)
