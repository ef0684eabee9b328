"""The load generator: a process of its own that signs everything beforehand and then does nothing but send.

Closed loop (as fast as answers come, over so many connections) finds the most that a server takes; open loop (at a
given rate, whatever the server does) finds how long senders wait. In the open loop a request's time runs from the
moment it was due, so that a server that stalls is not excused from what it kept waiting.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import uvloop
from tests.acceptance.product import PAGERDUTY_SERVICE
from tests.acceptance.sender import pagerduty_event, pagerduty_signature

_BEGIN_S = 0.2


@dataclass(frozen=True)
class Target:
    """An address and the secret that its deliveries are signed with."""

    url: str
    secret: str


@dataclass(frozen=True)
class Load:
    """How it is sent. `rate_per_s` None: closed loop."""

    targets: Sequence[Target]
    seconds: float
    messages: int
    connections: int = 32
    rate_per_s: float | None = None


@dataclass(frozen=True)
class Answers:
    """What came back. `per_s` counts the 202s only."""

    per_s: float
    p50_ms: float
    p99_ms: float
    statuses: dict[str, int]

    def check(self) -> None:
        """Raises unless every answer was a 202: the rate of refusals is no measurement."""
        assert set(self.statuses) == {"202"}, self.statuses


async def send(load: Load) -> Answers:
    """Runs the generator in its own process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate(json.dumps(asdict(load)).encode())
    assert process.returncode == 0
    answers = Answers(**json.loads(printed))
    answers.check()
    return answers


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class _Run:
    """The state of one run: what is still to be sent, and what came back."""

    def __init__(self, load: Load, requests: Iterator[bytes]) -> None:
        self.requests = requests
        self.began = time.perf_counter() + _BEGIN_S
        self.until = self.began + load.seconds
        self.rate = load.rate_per_s
        self.idle: deque[_Connection] = deque()
        self.due: deque[float] = deque()
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.last = self.began

    def ready(self, connection: _Connection) -> None:
        """A connection that has its answer takes what is due, or waits."""
        if self.rate is not None and not self.due:
            self.idle.append(connection)
        elif self.rate is not None:
            connection.send(next(self.requests), self.due.popleft())
        elif (now := time.perf_counter()) < self.until:
            if (request := next(self.requests, None)) is None:
                sys.exit(f"{len(self.latencies)} messages were too few for {self.until - self.began:.1f} s")
            connection.send(request, now)

    def answered(self, status: str, since: float) -> None:
        """Counts one answer."""
        self.last = time.perf_counter()
        self.latencies.append(self.last - since)
        self.statuses[status] += 1

    async def drive(self, connections: Sequence[_Connection]) -> None:
        """Sends until the time is over, then waits for the last answers."""
        await asyncio.sleep(self.began - time.perf_counter())
        for connection in connections:
            self.ready(connection)
        if self.rate is not None:
            for number in range(int(self.rate * (self.until - self.began))):
                moment = self.began + number / self.rate
                if (wait := moment - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                self.due.append(moment)
                if self.idle:
                    self.ready(self.idle.popleft())
        while time.perf_counter() < self.until or any(connection.waits for connection in connections):
            await asyncio.sleep(0.01)


class _Connection(asyncio.Protocol):
    """One connection that is kept: a request, its answer, the next request."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._since = 0.0
        self.waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes, since: float) -> None:
        """Sends one request, whose time runs from `since`."""
        self._since, self.waits = since, True
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if len(body) < length:
            return
        self._received, self.waits = b"", False
        self._run.answered(head[9:12].decode(), self._since)
        self._run.ready(self)


def _requests(load: Load) -> list[bytes]:
    return [_request(load.targets[number % len(load.targets)], number) for number in range(load.messages)]


def _request(target: Target, number: int) -> bytes:
    details = {"service": "orders", "metric": "http_5xx_ratio", "threshold": 0.05, "observed": 0.4}
    message = pagerduty_event("incident.triggered", f"PLOAD{number}", PAGERDUTY_SERVICE, details=details)
    parts = urlsplit(target.url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(message.body)}",
        f"X-PagerDuty-Signature: {pagerduty_signature(target.secret, message.body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + message.body


async def _main() -> None:
    given = json.load(sys.stdin)
    load = Load(**given | {"targets": [Target(**target) for target in given["targets"]]})
    requests = iter(_requests(load))
    run = _Run(load, requests)
    parts = urlsplit(load.targets[0].url)
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: _Connection(run), parts.hostname, parts.port))[1]
        for _ in range(load.connections)
    ]
    await run.drive(connections)
    print(
        json.dumps(
            asdict(
                Answers(
                    per_s=run.statuses["202"] / (run.last - run.began),
                    p50_ms=percentile(run.latencies, 0.5) * 1000,
                    p99_ms=percentile(run.latencies, 0.99) * 1000,
                    statuses=dict(run.statuses),
                )
            )
        )
    )


if __name__ == "__main__":
    uvloop.run(_main())
