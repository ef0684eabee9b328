"""The MCP servers of a run, live: headers are resolved for the run, and nothing that comes back holds their secrets."""

from __future__ import annotations

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from incidentfox.agent.mcp.offers import Offer, away, judged
from incidentfox.agent.patience import patience
from incidentfox.agent.withheld import withhold
from incidentfox.contracts.configuration import McpServer, SecretReference
from incidentfox.kernel.errors import Failure, Permanent

SHORTEST_SECRET = 6
"""Shorter ones are not looked for in what a server says: they occur in any text."""

_SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

Secrets = Callable[[str], Awaitable[str]]
"""The plain value of a secret by its name, resolved for one run and on record."""


class LiveServers:
    """See the module. Serves one run; plain headers are in memory only. `taken` are names that tools may not have."""

    def __init__(self, servers: Mapping[str, McpServer], taken: frozenset[str], secrets: Secrets) -> None:
        self._servers = servers
        self._taken = taken
        self._secrets = secrets
        self._headers: dict[str, dict[str, str]] = {}
        self._told: set[str] = set()

    async def listed(self, key: str) -> Offer:
        """See Servers."""
        try:
            endpoint = await self._endpoint(key)
        except Permanent as failure:
            return away(key, failure)
        try:
            listed = await (await _sdk()).list_tools(endpoint)
        except Failure as failure:
            offer = away(key, failure)
        else:
            offer = judged(key, self._servers[key], listed, self._taken)
        return Offer.model_validate(withhold(offer.model_dump(mode="json"), self._told))

    async def call(self, key: str, tool: str, arguments: Mapping[str, Any], call_id: str) -> Any:
        """See Servers."""
        endpoint = await self._endpoint(key)
        try:
            result = await (await _sdk()).call_tool(endpoint, tool, arguments)
        except Failure as failure:
            raise type(failure)(withhold(failure.detail, self._told), code=failure.code) from None
        return withhold(result, self._told)

    async def _endpoint(self, key: str) -> Any:
        """Where to go, with what. Raises SecretMissing, and a Temporary while secrets cannot be had."""
        server = self._servers[key]
        if key not in self._headers:
            self._headers[key] = {name: await self._value(name, value) for name, value in server.headers.items()}
        return (await _sdk()).Endpoint(key, server.url, self._headers[key], float(server.timeout_s))

    async def _value(self, header: str, value: str | SecretReference) -> str:
        if isinstance(value, str):
            return value
        with patience():
            plain = (await self._secrets(value.secret)).strip()
        if _SENDABLE.fullmatch(plain) is None:
            raise Permanent(
                f"The secret {value.secret!r} cannot be sent as the header {header}.", code="mcp_header_unusable"
            )
        # A scheme in front, as in `Bearer …`, may be left out by a server that quotes it.
        self._told |= {word for word in (plain, plain.rpartition(" ")[2]) if len(word) >= SHORTEST_SECRET}
        return plain


async def _sdk() -> Any:
    """`session.py`, in a thread: importing it takes half a second."""
    return await asyncio.to_thread(importlib.import_module, "incidentfox.agent.mcp.session")
