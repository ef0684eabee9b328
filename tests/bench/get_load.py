"""As many GETs of one address as a server answers, over kept connections: a process of its own that does nothing else.

    python -m tests.bench.get_load PORT PATH TOKEN SECONDS CONNECTIONS

Prints the answers a second; fails unless every one of them was a 200.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop


async def rate(port: int, path: str, token: str, seconds: float, connections: int) -> float:
    """Runs the generator in its own process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.get_load", str(port), path, token, str(seconds), str(connections)),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return float(printed)


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, request: bytes, until: float) -> None:
        self._request = request
        self._until = until
        self._received = b""
        self.answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().index(b"content-length:") + 15
        if len(body) < int(head[at:].split(b"\r\n", 1)[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(AssertionError(self._received.decode()))
            return
        self._received = b""
        self.answers += 1
        if time.perf_counter() < self._until:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)


async def _generate(port: int, path: str, token: str, seconds: float, connections: int) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        (await loop.create_connection(lambda: _Connection(request, began + seconds), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for connection in made))
    return sum(connection.answers for connection in made) / (time.perf_counter() - began)


if __name__ == "__main__":
    port, path, token, seconds, connections = sys.argv[1:]
    print(uvloop.run(_generate(int(port), path, token, float(seconds), int(connections))))
