"""The tools of one MCP server as an agent takes them, and the step in which a run learns what its servers offer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from incidentfox.agent.mcp.definitions import described
from incidentfox.agent.mcp.offers import Offer, OfferedTool
from incidentfox.agent.scope import RunScope
from incidentfox.agent.toolbox import Context
from incidentfox.agent.withheld import withhold
from incidentfox.contracts.events import RunEventType
from incidentfox.kernel.durable import FOR_EVER

# The server judges the arguments; here they are an object, or the model is asked again.
_ANY_OBJECT = SchemaValidator(core_schema.dict_schema(keys_schema=core_schema.str_schema()))


async def learn_offers(scope: RunScope, keys: Iterable[str]) -> None:
    """Asks the servers, all at once, what they offer: one durable step, so that the run has the same tools to its end.

    Puts each offer on the timeline. A server that is away is an offer, too: the run goes on without it.
    """
    wanted = sorted(set(keys))
    if not wanted:
        return

    async def ask() -> list[dict[str, Any]]:
        offers = await asyncio.gather(*(scope.servers.listed(key) for key in wanted))
        return [scope.redactor.redact(offer.model_dump(mode="json")) for offer in offers]

    for data in await scope.timed_step("mcp servers", ask, retry=FOR_EVER):
        offer = Offer.model_validate(data)
        scope.offers[offer.server] = offer
        scope.note(RunEventType.MCP_LISTED, f"mcp-{offer.server}", data)


class ServerToolset(AbstractToolset[RunScope]):
    """What the server `key` offers in this run."""

    def __init__(self, key: str) -> None:
        self._key = key

    @property
    def id(self) -> str:
        """`mcp-<key>`."""
        return f"mcp-{self._key}"

    async def get_instructions(self, ctx: Context) -> str | None:
        """That the server is away, so that the model does not take its silence for an answer."""
        offer = self._offer(ctx)
        if offer.away is None:
            return None
        return f"The MCP server {self._key!r} cannot be used in this run ({offer.away.code}): go on without its tools."

    async def get_tools(self, ctx: Context) -> dict[str, ToolsetTool[RunScope]]:
        """The tools on offer."""
        return {one.name: self._tool(one, ctx) for one in self._offer(ctx).tools}

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Context, tool: ToolsetTool[RunScope]) -> Any:
        """Calls the tool at the server. What no answer repeats is not told to a server either."""
        called = next(one.tool for one in self._offer(ctx).tools if one.name == name)
        arguments = withhold(tool_args, ctx.deps.withheld)
        return await ctx.deps.servers.call(self._key, called, arguments, ctx.tool_call_id or "")

    def _offer(self, ctx: Context) -> Offer:
        return ctx.deps.offers.get(self._key, Offer(server=self._key))

    def _tool(self, offered: OfferedTool, ctx: Context) -> ToolsetTool[RunScope]:
        definition = ToolDefinition(
            name=offered.name,
            description=described(self._key, offered.description, offered.notes, ctx.deps.nonce),
            parameters_json_schema=offered.parameters,
            sequential=True,
        )
        return ToolsetTool(toolset=self, tool_def=definition, max_retries=3, args_validator=_ANY_OBJECT)
