"""The MCP servers of a replay: each call gives what the same call of the recorded run gave, its failures too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from incidentfox.agent.mcp.offers import Offer
from incidentfox.agent.telemetry.replayed import NotOnRecord
from incidentfox.kernel.errors import Permanent


class RecordedServers:
    """See the module. `offers` and `returned` are the data of the run's `mcp.listed` and `tool.returned` events."""

    def __init__(self, offers: Iterable[Mapping[str, Any]], returned: Iterable[Mapping[str, Any]]) -> None:
        self._offers = {offer.server: offer for offer in map(Offer.model_validate, offers)}
        self._returned = {data["tool_call_id"]: data for data in returned}

    async def listed(self, key: str) -> Offer:
        """See Servers. A server that was not asked offers nothing."""
        return self._offers.get(key, Offer(server=key))

    async def call(self, key: str, tool: str, arguments: Mapping[str, Any], call_id: str) -> Any:
        """See Servers."""
        recorded = self._returned.get(call_id)
        names = {one.tool: one.name for one in self._offers[key].tools}
        if recorded is None or recorded["tool"] != names[tool]:
            raise NotOnRecord(f"The recorded run did not call {names[tool]} here.")
        if recorded["is_error"]:
            error = recorded["result"]["error"]
            raise Permanent(error["detail"], code=error["code"])
        return recorded["result"]
