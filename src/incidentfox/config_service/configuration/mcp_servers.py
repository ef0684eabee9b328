"""Judges what a configuration says about MCP servers: who depends on them, what is sent to them, how tools are called.

Pure. A server that is not enabled is judged only where an agent names it.
"""

from __future__ import annotations

from collections.abc import Iterator

from incidentfox.config_service.configuration.schema import nearest
from incidentfox.contracts.configuration import McpServer, SecretReference, TeamConfiguration, offered_name
from incidentfox.contracts.problem import FieldError
from incidentfox.kernel.redaction import redact_text

LONGEST_NAME = 64
"""What the strictest model APIs take as the name of a tool."""

_CREDENTIALS = ("auth", "cookie", "key", "password", "secret", "token")
_OF_THE_PROTOCOL = frozenset(
    {"accept", "connection", "content-length", "content-type", "host", "last-event-id", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)


def judge_mcp_servers(configuration: TeamConfiguration) -> Iterator[FieldError]:
    """What is wrong with the MCP servers of an effective document. Called by `rules.read_effective`."""
    yield from _dependents(configuration)
    taken = dict.fromkeys(configuration.tools, "a tool of the catalogue")
    taken["write_report"] = "the agents' report"
    taken |= {f"ask_{key.replace('-', '_')}": f"the agent {key!r}" for key in configuration.agents}
    for key, server in configuration.mcp_servers.items():
        if server.enabled:
            yield from _headers(f"/mcp_servers/{key}/headers", server)
            yield from _tools(key, server, taken)


def _dependents(configuration: TeamConfiguration) -> Iterator[FieldError]:
    servers = configuration.mcp_servers
    for key, agent in configuration.agents.items():
        for index, name in enumerate(agent.mcp_servers):
            pointer = f"/agents/{key}/mcp_servers/{index}"
            if name not in servers:
                message = (
                    f"The agent {key!r} depends on the MCP server {name!r}, and there is none.{nearest(name, servers)}"
                )
                yield FieldError(pointer=pointer, message=message)
            elif agent.enabled and not servers[name].enabled:
                message = (
                    f"The agent {key!r} depends on the MCP server {name!r}, which is off: enable it, or take it from"
                    " the agent."
                )
                yield FieldError(pointer=pointer, message=message)


def _headers(pointer: str, server: McpServer) -> Iterator[FieldError]:
    for name, value in server.headers.items():
        folded = name.lower()
        if folded in _OF_THE_PROTOCOL or folded.startswith("mcp-"):
            yield FieldError(pointer=f"{pointer}/{name}", message="This header belongs to the protocol.")
        elif isinstance(value, SecretReference):
            continue
        elif any(word in folded for word in _CREDENTIALS) or redact_text(f"{name}: {value}") != f"{name}: {value}":
            message = 'A credential is kept as a secret: set one and refer to it, {"$secret": "name"}.'
            yield FieldError(pointer=f"{pointer}/{name}", message=message)


def _tools(key: str, server: McpServer, taken: dict[str, str]) -> Iterator[FieldError]:
    pointer = f"/mcp_servers/{key}/tools"
    if not server.tools:
        message = "Only listed tools are offered: list those of the server that agents may use, or disable it."
        yield FieldError(pointer=pointer, message=message)
    for index, tool in enumerate(server.tools):
        name = offered_name(key, tool)
        if len(name) > LONGEST_NAME:
            message = (
                f"Agents would call this {name!r}, longer than {LONGEST_NAME} characters: shorten the server's key."
            )
            yield FieldError(pointer=f"{pointer}/{index}", message=message)
        elif name in taken:
            message = f"Agents would call this {name!r}, as {taken[name]} is called already: rename the server's key."
            yield FieldError(pointer=f"{pointer}/{index}", message=message)
        taken.setdefault(name, f"the tool {tool!r} of the MCP server {key!r}")
