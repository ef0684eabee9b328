"""What all clients share: credentials, correlation, retries, and problems turned back into the errors they were.

A response of another service that is a problem becomes the same class of Failure here, so that "permanent or
temporary?" survives the hop. Reads and writes with an idempotency key are retried on Temporary failures with
back-off and jitter; other writes are not.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx2
import stamina
from pydantic import BaseModel, ValidationError

from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.problem import Problem
from incidentfox.contracts.progress import Progress, ProgressEvent
from incidentfox.kernel import errors
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.kernel.logging import CORRELATION_HEADER, correlation_id
from incidentfox.kernel.telemetry import trace_headers
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.tls import trust

Model = TypeVar("Model", bound=BaseModel)

Tell = Callable[[Progress], None]
"""Takes word of how far a call is; called now and then while its answer is made."""

_TIMEOUT = httpx2.Timeout(10.0, connect=2.0)
_PATIENT = httpx2.Timeout(10.0, connect=2.0, read=None)
_ATTEMPTS = 3
_REUSE_S = 20.0
_REUSE_MOST = 10_000
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Well over the greatest answer there is, a recording. Not every peer is ours: a dedicated agent is a team's own."""
_BY_STATUS: Mapping[int, type[errors.Failure]] = {
    kind.status: kind
    for kind in (
        errors.Invalid,
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.Gone,
        errors.PreconditionFailed,
        errors.TooLarge,
        errors.Unprocessable,
        errors.RateLimited,
        errors.Unavailable,
        errors.Timeout,
    )
}


class Credential(Protocol):
    """Something that can authorise one call."""

    def bearer(self, audience: str, permission: Permission, tenant: Tenant | None) -> str:
        """The bearer token for a call to `audience`."""
        ...


@dataclass(frozen=True)
class ServiceCredential:
    """A service's own identity: tokens for one tenant each, with the one permission that the call needs."""

    identity: ServiceIdentity
    _made: dict[tuple[str, Permission, Tenant | None], tuple[str, float]] = field(default_factory=dict, repr=False)

    def bearer(self, audience: str, permission: Permission, tenant: Tenant | None) -> str:
        """A 60-second token, made for this call or up to 20 seconds ago for another of its kind: signing it costs more
        than the rest of the call."""
        asked, now = (audience, permission, tenant), time.time()
        token, made_at = self._made.get(asked, ("", 0.0))
        if not 0 <= now - made_at < _REUSE_S:
            org_id, team = (tenant.org_id, tenant.team_node_id) if tenant else (None, None)
            token = self.identity.token(audience, frozenset({permission}), org_id, team)
            if len(self._made) >= _REUSE_MOST:
                self._made.clear()
            self._made[asked] = token, now
        return token


@dataclass(frozen=True)
class TokenCredential:
    """A person's or outside system's bearer token."""

    token: str

    def bearer(self, audience: str, permission: Permission, tenant: Tenant | None) -> str:
        """The token itself."""
        return self.token


@dataclass(frozen=True)
class Call:
    """One call: what is needed to make it and to make it again."""

    method: str
    path: str
    permission: Permission
    tenant: Tenant | None = None
    body: BaseModel | dict[str, Any] | None = None
    query: Mapping[str, str | int | None] | None = None
    headers: Mapping[str, str] | None = None
    repeatable: bool = True
    waits: bool = False
    """The answer comes when the work is done: no limit on reading."""


class Transport:
    """A pooled connection to one service."""

    def __init__(
        self,
        audience: str,
        base_url: str,
        credential: Credential | None,
        *,
        http: httpx2.AsyncClient | None = None,
        attempts: int = _ATTEMPTS,
    ) -> None:
        self._audience = audience
        self._credential = credential
        self._http = http or httpx2.AsyncClient(base_url=base_url, timeout=_TIMEOUT, verify=trust())
        self._attempts = attempts

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def json(self, call: Call) -> Any:
        """Makes the call; the decoded body, or None where there is none. Raises the Failure that the service sent."""
        content = await self.body(call)
        return json.loads(content) if content else None

    async def model(self, call: Call, expect: type[Model]) -> Model:
        """Makes the call and parses the body."""
        return expect.model_validate_json(await self.body(call))

    async def watched(self, call: Call, expect: type[Model], tell: Tell | None) -> Model:
        """As `model`, and `tell` hears how far the answer is (`contracts/progress.py`). Without it, a plain call.

        Raises the Failure that a `problem` event stands for; Unavailable where the connection ends before either end:
        then nobody knows whether the work was committed. No retry.
        """
        if tell is None:
            return await self.model(call, expect)
        async with self._open(call, {"Accept": "text/event-stream"}) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return expect.model_validate_json(await _read(response))  # a release that tells no progress yet
            async for _, name, data in _events(response):
                if name == ProgressEvent.PROGRESS:
                    tell(Progress.model_validate_json(data))
                elif name == ProgressEvent.PROBLEM:
                    raise failure_of(Problem.model_validate_json(data))
                elif name == ProgressEvent.RESULT:
                    return expect.model_validate_json(json.dumps(json.loads(data)["body"]))
        raise errors.Unavailable(
            f"The {self._audience} went away before it said how this ended. Look before you retry."
        )

    async def body(self, call: Call) -> bytes:
        """Makes the call, with retries where it may be repeated; the body of the answer."""
        attempts = self._attempts if call.repeatable else 1
        async for attempt in stamina.retry_context(
            on=errors.Temporary, attempts=attempts, wait_initial=0.1, wait_max=2.0, timeout=None
        ):
            with attempt:
                return await self._once(call)
        raise AssertionError("unreachable: retry_context either returns or raises")

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[AsyncIterator[tuple[str, str, str]]]:
        """Opens a stream of server-sent events as (id, event, data). No retry: the caller resumes with the last id."""
        async with self._open(call, {"Accept": "text/event-stream"}) as response:
            yield _events(response)

    @asynccontextmanager
    async def content(self, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens a body of any length, to be read in pieces. No retry."""
        async with self._open(call, {}) as response:
            yield response.aiter_bytes()

    @asynccontextmanager
    async def _open(self, call: Call, headers: Mapping[str, str]) -> AsyncIterator[httpx2.Response]:
        request = self._request(call, headers)
        request.extensions["timeout"] = _PATIENT.as_dict()
        try:
            response = await self._http.send(request, stream=True)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        try:
            if response.is_error:
                raise failure_from(response, await _read(response))
            yield response
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        finally:
            await response.aclose()

    async def _once(self, call: Call) -> bytes:
        try:
            response = await self._http.send(self._request(call, {}), stream=True)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
        except httpx2.TimeoutException as error:
            raise errors.Timeout(f"The {self._audience} did not answer in time.") from error
        except httpx2.RequestError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise failure_from(response, body)
        return body

    def _request(self, call: Call, extra: Mapping[str, str]) -> httpx2.Request:
        headers = {**trace_headers(), **extra, **(call.headers or {})}
        if (current := correlation_id()) is not None:
            headers[CORRELATION_HEADER] = current
        if self._credential is not None:
            headers["Authorization"] = f"Bearer {self._credential.bearer(self._audience, call.permission, call.tenant)}"
        content: bytes | None = None
        if call.body is not None:
            headers.setdefault("Content-Type", "application/json")
            content = _encode(call.body)
        query = {key: value for key, value in (call.query or {}).items() if value is not None}
        request = self._http.build_request(call.method, call.path, params=query, headers=headers, content=content)
        if call.waits:
            request.extensions["timeout"] = _PATIENT.as_dict()
        return request

    def _unreachable(self, error: httpx2.RequestError) -> errors.Unavailable:
        return errors.Unavailable(f"The {self._audience} is not reachable ({type(error).__name__}).")


def dry(dry_run: bool) -> dict[str, str] | None:
    """The query that asks what a write would do, where that is asked."""
    return {"dry_run": "true"} if dry_run else None


def segment(value: str) -> str:
    """One path segment, quoted: an id from outside cannot change the route."""
    return quote(value, safe="")


def failure_from(response: httpx2.Response, body: bytes | None = None) -> errors.Failure:
    """The Failure that a service's problem+json stands for; `body` where it was read from a stream."""
    retry_after = response.headers.get("retry-after", "")
    retry_after_s = float(retry_after) if retry_after.isdigit() else None
    try:
        problem = Problem.model_validate_json(response.content if body is None else body)
        detail, code, fields = problem.detail, problem.code, problem.errors
    except ValidationError:
        detail, code, fields = (
            f"HTTP {response.status_code} without a problem body.",
            f"http_{response.status_code}",
            (),
        )
    return _kind_of(response.status_code, code)(detail, code=code, errors=fields, retry_after_s=retry_after_s)


def failure_of(problem: Problem) -> errors.Failure:
    """The Failure that a problem stands for which came as an event."""
    return _kind_of(problem.status, problem.code)(problem.detail, code=problem.code, errors=problem.errors)


def _kind_of(status: int, code: str) -> type[errors.Failure]:
    if code == errors.IntegrityFailure.default_code:
        return errors.IntegrityFailure
    return _BY_STATUS.get(status, errors.Temporary if status >= 500 else errors.Permanent)


def _encode(body: BaseModel | dict[str, Any]) -> bytes:
    if isinstance(body, BaseModel):
        return body.model_dump_json(by_alias=True).encode()
    return json.dumps(body).encode()


async def _read(response: httpx2.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise errors.TooLarge(f"An answer of more than {MAX_ANSWER_BYTES} bytes is none of ours.")
    return bytes(content)


async def _events(response: httpx2.Response) -> AsyncIterator[tuple[str, str, str]]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line:
            if "data" in fields:
                yield fields.get("id", ""), fields.get("event", "message"), fields["data"]
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
