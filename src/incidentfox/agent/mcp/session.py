"""One conversation with one MCP server: the only module that imports the MCP SDK. `live.py` loads it by name when a run
has a server: it takes 18 MB and half a second.

Each listing and each call is a conversation of its own: nothing is held open while a model thinks, and a run that is
resumed elsewhere after a crash goes on with its next call. The server is a stranger. Redirects stay within its origin
(the SDK's rule), its answers are bounded in size, depth and time, the requests that a server may make of a client
(sampling, elicitation) are not answered, and what it says is not logged.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from mcp import Client, MCPError, types
from mcp.client.streamable_http import streamable_http_client

from incidentfox.agent.mcp.offers import ListedTool
from incidentfox.kernel.egress import check_address, check_url
from incidentfox.kernel.errors import Failure, Permanent, Timeout, TooLarge, Unavailable
from incidentfox.kernel.logging import get_logger

MAX_BYTES = 4 * 1024 * 1024
"""The most that a server may send in one response."""
MAX_PAGES = 20
"""Of a list of tools."""
MAX_DEPTH = 40
"""What is nested deeper in a result is left out."""
MAX_WORDS = 4000
"""Of an error in the server's words."""
CONNECT_TIMEOUT_S = 5.0

Answer = TypeVar("Answer")

_FAILURES = (ExceptionGroup, Failure, MCPError, OSError, RuntimeError, ValueError, httpx2.HTTPError, httpx2.InvalidURL)
"""What a conversation ends with: the SDK's task group wraps whatever is raised within."""

log = get_logger(__name__)

logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it logs what it cannot parse, in the server's words


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, what is sent with each request, and how long a conversation may take."""

    key: str
    url: str
    headers: Mapping[str, str]
    timeout_s: float


async def list_tools(endpoint: Endpoint) -> list[ListedTool]:
    """What the server lists; the first pages where there is no end. Raises a Failure where it gives no list."""

    async def ask(client: Client) -> list[ListedTool]:
        found: list[ListedTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += [_listed(tool) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    return await _converse(endpoint, ask)


async def call_tool(endpoint: Endpoint, tool: str, arguments: Mapping[str, Any]) -> Any:
    """The result of a call, a JSON object. Raises a Failure, in the server's words where the tool failed."""

    async def ask(client: Client) -> types.CallToolResult:
        parameters = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
        # Not `Client.call_tool`: that lists all tools again to check the result against its schema.
        return await client.session.send_request(types.CallToolRequest(params=parameters), types.CallToolResult)

    result = await _converse(endpoint, ask)
    if result.is_error:
        words = "\n".join(block.text for block in result.content if isinstance(block, types.TextContent))
        raise Permanent(words[:MAX_WORDS] or "The tool failed without a word.", code="mcp_tool_failed")
    structured = result.structured_content
    if isinstance(structured, dict):
        # Servers wrap a plain text so; it may be JSON.
        text = structured.get("result") if len(structured) == 1 else None
        return {"result": _read(text)} if isinstance(text, str) else _shallow(structured)
    return {"content": [_content(block) for block in result.content]}


async def _converse(endpoint: Endpoint, ask: Callable[[Client], Awaitable[Answer]]) -> Answer:
    heard = _Heard()
    answers: list[Answer] = []
    timeout = httpx2.Timeout(endpoint.timeout_s, connect=min(CONNECT_TIMEOUT_S, endpoint.timeout_s))
    try:
        async with asyncio.timeout(endpoint.timeout_s):
            await check_url(endpoint.url)
            async with (
                httpx2.AsyncClient(
                    headers={**endpoint.headers, "Accept-Encoding": "identity"},
                    timeout=timeout,
                    event_hooks={"response": [heard.response]},
                ) as http,
                Client(streamable_http_client(endpoint.url, http_client=http), cache=None) as client,
            ):
                answers.append(await ask(client))
    except _FAILURES as error:
        if not answers:  # else only the good-bye failed
            failure = _failure(error, endpoint, heard.status)
            kinds = sorted({type(leaf).__name__ for leaf in _leaves(error)})
            log.warning("mcp server failed", server=endpoint.key, code=failure.code, status=heard.status, errors=kinds)
            # Not chained: the words of a library may quote the headers.
            raise failure from None
    return answers[0]


class _Heard:
    """Watches the HTTP responses of one conversation; `status` is that of the last one."""

    def __init__(self) -> None:
        self.status: int | None = None

    async def response(self, response: httpx2.Response) -> None:
        """Judges a response before its body is read."""
        # A name may lead elsewhere the second time it is asked.
        check_address(str(response.extensions["network_stream"].get_extra_info("server_addr")[0]))
        self.status = response.status_code
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Permanent("The MCP server compresses its answers unasked.", code="mcp_refused")
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """A response's bytes, up to MAX_BYTES."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._stream:
            received += len(chunk)
            if received > MAX_BYTES:
                raise TooLarge(f"The MCP server sent more than {MAX_BYTES} bytes.")
            yield chunk

    async def aclose(self) -> None:
        """Closes the response."""
        await self._stream.aclose()


def _failure(error: BaseException, endpoint: Endpoint, status: int | None) -> Failure:
    """What went wrong, in our words; the server's own only where it refused the request."""
    leaves = list(_leaves(error))
    ours = next((leaf for leaf in leaves if isinstance(leaf, Failure)), None)
    if ours is not None:
        return ours
    whose = f"The MCP server {endpoint.key!r}"
    if any(isinstance(leaf, TimeoutError | httpx2.TimeoutException) for leaf in leaves):
        return Timeout(f"{whose} did not answer within {endpoint.timeout_s:g} s.", code="mcp_timed_out")
    refusal = next((leaf.error.message for leaf in leaves if isinstance(leaf, MCPError)), "")[:MAX_WORDS]
    if status is not None and 400 <= status < 500:
        return Permanent(
            f"{whose} answered {status}; check its url and headers. {refusal}".rstrip(), code="mcp_refused"
        )
    if refusal and status is not None and status < 300:
        return Permanent(f"{whose} refused the request: {refusal}", code="mcp_refused")
    what = f"answered {status}" if status is not None and status >= 300 else type(leaves[0]).__name__
    return Unavailable(f"{whose} cannot be reached ({what}).", code="mcp_unavailable")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _listed(tool: types.Tool) -> ListedTool:
    hints = tool.annotations
    reads_only = hints is not None and hints.read_only_hint is True and hints.destructive_hint is not True
    return ListedTool(tool.name, tool.description or "", tool.input_schema, reads_only)


def _content(block: types.ContentBlock) -> Any:
    """One piece of a result. Text that is JSON is read, so that its values can be cited; bytes are left out."""
    if isinstance(block, types.TextContent):
        return _read(block.text)
    if isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.TextResourceContents):
        return {"resource": str(block.resource.uri), "text": _read(block.resource.text)}
    if isinstance(block, types.ResourceLink):
        return {"resource": str(block.uri), "name": block.name}
    return {"left_out": block.type}


def _read(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return _shallow(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _shallow(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, dict | list):
        return value
    if depth >= MAX_DEPTH:
        return {"left_out": "nested too deep"}
    if isinstance(value, list):
        return [_shallow(item, depth + 1) for item in value]
    return {str(key): _shallow(item, depth + 1) for key, item in value.items()}
