"""What of an MCP server's tools is offered in one run, and why the others are not. Pure.

Fails closed: a tool is offered where the team lists it, the server declares that it only reads, its definition can be
shown to a model, and nothing else is called like it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field

from incidentfox.agent.mcp.definitions import MAX_DESCRIPTION, UnusableDefinition, reduced
from incidentfox.contracts.configuration import McpServer, offered_name
from incidentfox.contracts.model import WireModel
from incidentfox.kernel.errors import Failure, NotFound

MAX_OFFER_BYTES = 64 * 1024
"""Of the definitions of one server's tools together: a model reads them with each request."""


@dataclass(frozen=True)
class ListedTool:
    """A tool as a server lists it. `reads_only`: it declares `readOnlyHint` true, and not that it destroys."""

    tool: str
    description: str
    input_schema: Any
    reads_only: bool


class OfferedTool(WireModel):
    """A tool that agents may call by `name`. `notes` are the server's words on its arguments, by their place."""

    tool: str
    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)


class WithheldTool(WireModel):
    """A tool of the team's list that is not offered, and why, in words for people."""

    tool: str
    code: str
    reason: str


class Away(WireModel):
    """Why nothing of a server can be used in this run."""

    code: str
    detail: str


class Offer(WireModel):
    """What one server offers in one run: the data of `mcp.listed`."""

    server: str
    tools: tuple[OfferedTool, ...] = ()
    withheld: tuple[WithheldTool, ...] = ()
    away: Away | None = Field(default=None, description="Set: the run goes on without this server.")


class Servers(Protocol):
    """The MCP servers of one run: live, or as recorded."""

    async def listed(self, key: str) -> Offer:
        """What the server offers. Raises a Temporary where the team's secrets cannot be had now."""
        ...

    async def call(self, key: str, tool: str, arguments: Mapping[str, Any], call_id: str) -> Any:
        """The result of one call, JSON-able. Raises a Failure that says why there is none."""
        ...


class NoServers:
    """Those of a run that has none."""

    async def listed(self, key: str) -> Offer:
        """See Servers."""
        return Offer(server=key)

    async def call(self, key: str, tool: str, arguments: Mapping[str, Any], call_id: str) -> Any:
        """See Servers."""
        raise NotFound(f"This run has no MCP server {key!r}.")


def judged(key: str, server: McpServer, listed: Iterable[ListedTool], taken: frozenset[str]) -> Offer:
    """What a server offers of what it lists. `taken` are the names of everything that is no tool of a server."""
    by_name = {one.tool: one for one in listed}
    tools: dict[str, OfferedTool] = {}
    withheld = []
    room = MAX_OFFER_BYTES
    for tool in dict.fromkeys(server.tools):
        name = offered_name(key, tool)
        if name in taken or name in tools:
            withheld.append(WithheldTool(tool=tool, code="name_taken", reason=f"Something else is called {name!r}."))
            continue
        offered = _judged(name, tool, by_name.get(tool))
        if isinstance(offered, OfferedTool) and (size := len(offered.model_dump_json())) > room:
            reason = f"With it, the definitions of this server's tools would exceed {MAX_OFFER_BYTES} bytes."
            offered = WithheldTool(tool=tool, code="too_much", reason=reason)
        if isinstance(offered, WithheldTool):
            withheld.append(offered)
        else:
            tools[name] = offered
            room -= size
    return Offer(server=key, tools=tuple(tools.values()), withheld=tuple(withheld))


def _judged(name: str, tool: str, listed: ListedTool | None) -> OfferedTool | WithheldTool:
    if listed is None:
        return WithheldTool(tool=tool, code="not_there", reason="The server has no such tool.")
    if not listed.reads_only:
        reason = "It does not declare that it only reads (readOnlyHint), and there is no approval of writes."
        return WithheldTool(tool=tool, code="not_read_only", reason=reason)
    try:
        parameters, notes = reduced(listed.input_schema)
    except UnusableDefinition as unusable:
        return WithheldTool(tool=tool, code="unusable_definition", reason=f"It cannot be shown to a model: {unusable}.")
    description = listed.description.strip()[:MAX_DESCRIPTION]
    return OfferedTool(tool=tool, name=name, description=description, parameters=parameters, notes=notes)


def away(key: str, failure: Failure) -> Offer:
    """The offer of a server that cannot be used."""
    return Offer(server=key, away=Away(code=failure.code, detail=failure.detail))
