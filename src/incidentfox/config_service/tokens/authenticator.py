"""The `TokenAuthenticator` of the service that owns the token tables: reads them each time, so that a revocation is
effective at once."""

from __future__ import annotations

import asyncio

from incidentfox.config_service.tokens import store
from incidentfox.config_service.tokens.limits import TokenLimits
from incidentfox.config_service.tokens.rules import PREFIXES, subject
from incidentfox.contracts.tokens import Token
from incidentfox.kernel.clock import Clock, system_clock
from incidentfox.kernel.crypto import token_hash, token_is_well_formed
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.tenancy import ByProof
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal

log = get_logger(__name__)

_TOUCH_EVERY_S = 60.0
_REMEMBER_MOST = 10_000


class TableAuthenticator:
    """Looks bearer tokens up by their peppered hash."""

    def __init__(self, database: Database, pepper: bytes, limits: TokenLimits, clock: Clock = system_clock) -> None:
        self._database = database
        self._pepper = pepper
        self._limits = limits
        self._clock = clock
        self._touched: dict[str, float] = {}
        self._touching: set[asyncio.Task[None]] = set()

    async def authenticate(self, token: str) -> Principal | None:
        """The token's holder; None for an unknown, expired or revoked one. RateLimited when it calls too often."""
        return await self._holder(token, self._limits)

    async def holder(self, token: str) -> Principal | None:
        """The same for a service that asks who its own caller is: no call of the token's here."""
        return await self._holder(token, None)

    async def _holder(self, token: str, limits: TokenLimits | None) -> Principal | None:
        kind = next((kind for kind, prefix in PREFIXES.items() if token.startswith(f"{prefix}_")), None)
        if kind is None or not token.isascii() or not token_is_well_formed(token):
            return None
        hashed = token_hash(token, self._pepper)
        async with self._database.transaction(ByProof("incidentfox.token_hash", hashed)) as connection:
            held = await store.token_in_force(connection, kind, hashed)
            if held is not None and limits is not None:
                await limits.take(connection, hashed)
        if held is None:
            return None
        self._note_use(held)
        return Principal(
            subject=subject(held),
            org_id=held.org_id,
            team_node_id=held.team_node_id,
            permissions=frozenset(held.scopes),
            token_id=held.token_id,
        )

    async def settle(self) -> None:
        """Waits for what is still being noted; called when the process stops."""
        await asyncio.gather(*self._touching)

    def _note_use(self, token: Token) -> None:
        """Notes the use beside the request, which does not wait for it."""
        now = self._clock()
        if now - self._touched.get(token.token_id, 0.0) < _TOUCH_EVERY_S:
            return
        if len(self._touched) >= _REMEMBER_MOST:
            self._touched.clear()
        self._touched[token.token_id] = now
        task = asyncio.create_task(self._touch(token))
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    async def _touch(self, token: Token) -> None:
        try:
            async with self._database.transaction(Tenant(token.org_id, token.team_node_id)) as connection:
                await store.touch(connection, token)
        except Failure as failure:
            log.warning("use of a credential not noted", token_id=token.token_id, code=failure.code)
