"""A balancer of connections in front of replicas, as kube-proxy is: it knows nothing of HTTP.

A connection goes to the replicas in turn, and to the next one when a replica does not listen. When a replica dies, the
connections through it break: what was under way there is the caller's to repeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

_CHUNK = 65_536


class Balancer:
    """One address for several ports of this machine."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, port: int) -> None:
        """Takes connections from now on."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", port)

    async def close(self) -> None:
        """Takes no more and breaks those that are open."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            pass  # `close`; the stream protocol would log it
        finally:
            self._connections.discard(task)
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self._ports:
            self._ports.append(port := self._ports.pop(0))
            with contextlib.suppress(OSError):
                upstream, downstream = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await _join(reader, downstream, upstream, writer)
                finally:
                    downstream.close()
                return


async def _join(
    reader: asyncio.StreamReader,
    downstream: asyncio.StreamWriter,
    upstream: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Copies both ways until either side ends."""
    copies = [asyncio.create_task(_copy(reader, downstream)), asyncio.create_task(_copy(upstream, writer))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
