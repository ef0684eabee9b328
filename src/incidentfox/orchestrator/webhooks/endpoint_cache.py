"""Endpoints with their opened secrets, kept for at most a second: a change to an endpoint is in force within that."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.errors import Unavailable
from incidentfox.orchestrator.webhooks.store import EndpointRow, IngressStore

KEEP_S = 1.0
_KEEP_MOST = 10_000
_PROVEN_MOST = _KEEP_MOST // 2
_UNPROVEN_WAITING = 500


@dataclass(frozen=True)
class LiveEndpoint:
    """An endpoint that is known, with its plain secrets and when each expires (Unix seconds, None for never)."""

    row: EndpointRow
    secrets: tuple[tuple[str, float | None], ...] = field(repr=False)

    def live_secrets(self, now: float) -> list[str]:
        """The secrets that count at `now`: an overlap ends on time, whatever is cached."""
        return [secret for secret, expires_at in self.secrets if expires_at is None or expires_at > now]


class EndpointCache:
    """Looks endpoints up. Unknown ids are remembered as well; concurrent look-ups of one id share one query.

    Anybody can make up ids. Those that were never found share a few connections, so that a flood of them leaves the
    others to the endpoints that are known to exist, and pushes none of these out of the cache.
    """

    def __init__(self, store: IngressStore, keyring: Keyring, *, unproven_at_once: int = 2) -> None:
        self._store = store
        self._keyring = keyring
        self._kept: dict[str, tuple[float, asyncio.Task[LiveEndpoint | None]]] = {}
        self._proven: set[str] = set()
        self._unproven = asyncio.Semaphore(unproven_at_once)
        self._waiting = 0

    async def get(self, endpoint_id: str) -> LiveEndpoint | None:
        """The endpoint, or None when there is none with this id. Unavailable while too many look for unknown ones."""
        kept = self._kept.get(endpoint_id)
        now = time.monotonic()
        if kept is None or now - kept[0] >= KEEP_S:
            if len(self._kept) >= _KEEP_MOST:
                self._kept = {known: kept for known, kept in self._kept.items() if known in self._proven}
            look_up = self._load if endpoint_id in self._proven else self._load_unproven
            kept = (now, asyncio.create_task(look_up(endpoint_id)))
            self._kept[endpoint_id] = kept
            kept[1].add_done_callback(lambda task: self._forget_failure(endpoint_id, task))
        # Shielded: the one whose request began the look-up may hang up, the others still wait for it.
        return await asyncio.shield(kept[1])

    def _forget_failure(self, endpoint_id: str, task: asyncio.Task[LiveEndpoint | None]) -> None:
        """A failure is not an answer to keep: the next request asks again."""
        kept = self._kept.get(endpoint_id)
        if kept is not None and kept[1] is task and (task.cancelled() or task.exception() is not None):
            del self._kept[endpoint_id]

    async def _load_unproven(self, endpoint_id: str) -> LiveEndpoint | None:
        if self._waiting >= _UNPROVEN_WAITING:
            raise Unavailable(
                "Too many unknown endpoints are being looked for. Send it again.",
                code="ingress_busy",
                retry_after_s=1.0,
            )
        self._waiting += 1
        try:
            async with self._unproven:
                return await self._load(endpoint_id)
        finally:
            self._waiting -= 1

    async def _load(self, endpoint_id: str) -> LiveEndpoint | None:
        row = await self._store.endpoint(endpoint_id)
        if row is None:
            self._proven.discard(endpoint_id)
            return None
        if len(self._proven) >= _PROVEN_MOST:
            self._proven.clear()
        self._proven.add(endpoint_id)
        secrets = tuple(
            (self._keyring.open(sealed, row.org_id, endpoint_id, secret_id), expires.timestamp() if expires else None)
            for secret_id, sealed, expires in row.secrets
        )
        return LiveEndpoint(row, secrets)
