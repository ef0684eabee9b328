"""The rate of each token, over all replicas: a process takes a few calls at a time from the allowance in the database.

One statement for every few calls instead of one for each. What a process has taken and not used is lost to the others,
never granted twice: the limit is kept a little too well, not too badly.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.config_service.tokens import store
from incidentfox.config_service.tokens.store import Rate
from incidentfox.kernel.errors import RateLimited

_SHARE_OF_BURST = 50
_REMEMBER_MOST = 10_000


class TokenLimits:
    """Counts the calls of tokens. Used by the authenticator, in its transaction."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._at_a_time = max(1, rate.burst // _SHARE_OF_BURST)
        self._taken: dict[str, int] = {}

    async def take(self, connection: AsyncConnection, token_hash: str) -> None:
        """Counts one call. Raises RateLimited when the token has used its allowance."""
        left = self._taken.get(token_hash, 0)
        if left == 0:
            left = await self._fetch(connection, token_hash)
        if len(self._taken) >= _REMEMBER_MOST:
            self._taken.clear()
        self._taken[token_hash] = left - 1

    async def _fetch(self, connection: AsyncConnection, token_hash: str) -> int:
        wait = 0.0
        for count in sorted({self._at_a_time, 1}, reverse=True):  # near the limit, what there is: one
            wait = await store.take(connection, token_hash, count, self._rate)
            if wait == 0.0:
                return count
        raise RateLimited(
            f"This token may make {self._rate.per_s * 60:.0f} calls a minute, {self._rate.burst} of them at once.",
            code="token_rate_limited",
            retry_after_s=wait,
        )
