"""Reads what a chat completions API sends: a stream of chunks into one completion, a refusal into a failure. Sans I/O.

Used by `openai_compatible.py`. Everything here comes from outside and may be anything.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from incidentfox.agent.provider import ModelBusy, ModelRefused
from incidentfox.kernel.errors import Failure, Permanent, Timeout, Unavailable

MAX_STREAM_CHARACTERS = 8 * 1024 * 1024
"""More than any model answers: a server that goes on is broken."""
MAX_WAIT_S = 120.0
"""A server that says to come back later than this is not waited for."""
MAX_MESSAGE = 300

_CONTEXT = re.compile(
    r"context[ _](?:length|window|size)|maximum context|(?:prompt|input) is too long|too many (?:input )?tokens", re.I
)
_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_OVERLONG = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_TIMEOUTS = frozenset({408, 504})


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _ToolCallDelta(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(BaseModel):
    content: str | None = None
    tool_calls: list[_ToolCallDelta] | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _CachedTokens(BaseModel):
    cached_tokens: int | None = Field(default=None, ge=0)


class StreamUsage(BaseModel):
    """What the server counted. `prompt_tokens` includes what its cache held."""

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    prompt_tokens_details: _CachedTokens | None = None

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that came from the server's cache."""
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None
        return min(cached or 0, self.prompt_tokens)


class _Chunk(BaseModel):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] = []
    usage: StreamUsage | None = None
    error: Any = None


@dataclass
class StreamedCall:
    """One tool call, put together. `arguments` is the model's own text: JSON if all is well."""

    call_id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class Completion:
    """One answer, put together."""

    response_id: str | None = None
    model: str | None = None
    text: str = ""
    calls: list[StreamedCall] = field(default_factory=list)
    finish_reason: str | None = None
    usage: StreamUsage | None = None

    @property
    def written_bytes(self) -> int:
        """How much the model has written: no tokeniser makes more tokens of it."""
        texts = [self.text, *(call.name + call.arguments for call in self.calls)]
        return sum(len(text.encode("utf-8", "replace")) for text in texts)

    def add(self, chunk: _Chunk) -> None:
        """Takes up one chunk."""
        self.response_id = self.response_id or chunk.id
        self.model = self.model or chunk.model
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices[:1]:
            self.text += choice.delta.content or ""
            self.finish_reason = choice.finish_reason or self.finish_reason
            for delta in choice.delta.tool_calls or ():
                self._add_call(delta)

    def _add_call(self, delta: _ToolCallDelta) -> None:
        # Servers that send whole calls leave out the index; a new id is a new call then.
        position = delta.index if delta.index is not None else len(self.calls) - (0 if delta.id else 1)
        if not 0 <= position <= len(self.calls):
            raise unreadable("a tool call out of order")
        if position == len(self.calls):
            self.calls.append(StreamedCall())
        call, function = self.calls[position], delta.function or _Function()
        call.call_id = call.call_id or delta.id or ""
        call.name = call.name or function.name or ""
        call.arguments += function.arguments or ""


async def read_completion(lines: AsyncIterable[str]) -> Completion:
    """The lines of a stream of server-sent events as one completion.

    Raises Unavailable where the stream ends before the answer does, and the failure that the stream itself reports.
    """
    completion, received = Completion(), 0
    async for line in lines:
        received += len(line)
        if received > MAX_STREAM_CHARACTERS:
            raise unreadable(f"more than {MAX_STREAM_CHARACTERS} characters")
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            break
        try:
            chunk = _Chunk.model_validate_json(data)
        except ValidationError:
            raise unreadable("a chunk that is no chat completion") from None
        if chunk.error is not None:
            raise _in_mid_stream(chunk.error)
        completion.add(chunk)
    if completion.finish_reason is None:
        raise Unavailable("The model's answer broke off.", code="model_stream_cut")
    return completion


def unreadable(what: str) -> Permanent:
    """What an answer means that does not follow the API."""
    return Permanent(
        f"The model's server sent {what}: check that base_url leads to an OpenAI-compatible chat API.",
        code="model_answer_unreadable",
    )


def failure_of(status: int, body: object, retry_after_s: float | None = None) -> Failure:
    """The failure that an error response means. `body` is its decoded JSON, or its text."""
    words, codes = _words(body)
    said = f" It says: {words}" if words else ""
    if codes & _OVERLONG or (status in (400, 413, 422) and _CONTEXT.search(words)):
        remedy = "choose a model with a larger one, or fewer tools."
        return ModelRefused(f"The conversation outgrew the model's context: {remedy}{said}", code="model_context_full")
    if status in (401, 403):
        remedy = "check the secret that `api_key` refers to and what it may use."
        return ModelRefused(f"The model's server refuses the key ({status}): {remedy}{said}", code="model_key_refused")
    if status == 404 or "model_not_found" in codes:
        remedy = "check the model's `name` and `base_url`."
        return ModelRefused(f"The server does not know the model: {remedy}{said}", code="model_not_found")
    if codes & _QUOTA:
        return ModelRefused(f"The account of the key has no credit left.{said}", code="model_quota_exhausted")
    if status == 429:
        detail = f"The model's server limits the rate of requests.{said}"
        return _bounded(ModelBusy(detail, code="model_rate_limited", retry_after_s=retry_after_s))
    if status in _TIMEOUTS:
        return Timeout(f"The model's server did not answer in time ({status}).{said}", code="model_timed_out")
    if status >= 500 or status in (409, 425):
        return _bounded(
            ModelBusy(f"The model's server cannot answer now ({status}).{said}", retry_after_s=retry_after_s)
        )
    return ModelRefused(f"The model's server refuses the request ({status}).{said}", code="model_refused")


def read_retry_after(value: str | None, now: float) -> float | None:
    """`Retry-After` in seconds from `now` (Unix seconds): a number or an HTTP date (RFC 9110); None for neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except ValueError:
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _bounded(busy: ModelBusy) -> Failure:
    """The failure itself, unless it asks for a longer wait than a run can afford."""
    if busy.retry_after_s is None or busy.retry_after_s <= MAX_WAIT_S:
        return busy
    detail = f"{busy.detail} It asks to wait {busy.retry_after_s:.0f} s, which is too long for a run."
    return ModelRefused(detail, code=busy.code)


def _in_mid_stream(error: object) -> Failure:
    """An error after the work began. What would be tried again has been billed, so it is no ModelBusy."""
    status = error.get("code") if isinstance(error, dict) else None
    failure = failure_of(status if isinstance(status, int) and status >= 400 else 500, {"error": error})
    if isinstance(failure, ModelBusy):
        return Unavailable(failure.detail, code="model_stream_cut")
    return failure


def _words(body: object) -> tuple[str, set[str]]:
    """What an error body says, shortened, and its codes. The usual forms: {error: {message, type, code}}, {error},
    {message}, {detail}, or plain text.
    """
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error or "")[:MAX_MESSAGE], set()
    words = next((str(error[key]) for key in ("message", "detail", "msg") if error.get(key)), "")
    return words[:MAX_MESSAGE], {str(error[key]) for key in ("code", "type") if isinstance(error.get(key), str)}
