"""Looks bearer tokens up at the Config Service, for the services that do not own the token tables."""

from __future__ import annotations

import hashlib
import time

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.kernel.clock import Clock
from incidentfox.kernel.crypto import token_is_well_formed
from incidentfox.kernel.errors import NotFound, Unauthenticated
from incidentfox.kernel.web.auth import Principal

_KEEP_S = 1.0  # a revocation is effective everywhere within a second
_KEEP_MOST = 10_000


class IntrospectingAuthenticator:
    """The `TokenAuthenticator` of Orchestrator and Agent. Answers are kept for one second, by hash of the token."""

    def __init__(self, config_service: ConfigServiceClient, clock: Clock = time.monotonic) -> None:
        self._config_service = config_service
        self._clock = clock
        self._kept: dict[str, tuple[float, Principal | None]] = {}

    async def authenticate(self, token: str) -> Principal | None:
        """The token's holder; None when the Config Service knows none. Raises Temporary failures: fails closed."""
        if not token_is_well_formed(token):
            return None
        key = hashlib.sha256(token.encode()).hexdigest()
        # From before the question is asked: a revocation while it is on its way must not count from its answer.
        now = self._clock()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < _KEEP_S:
            return kept[1]
        principal = await self._ask(token)
        if len(self._kept) >= _KEEP_MOST:
            self._kept.clear()
        self._kept[key] = (now, principal)
        return principal

    async def _ask(self, token: str) -> Principal | None:
        try:
            caller = await self._config_service.introspect(token)
        except (NotFound, Unauthenticated):
            return None
        return Principal(caller.subject, caller.org_id, caller.team_node_id, frozenset(caller.scopes))
