"""Any model behind an OpenAI-compatible chat completions API: OpenAI itself, another vendor, a server of one's own.

The answer is streamed, so that silence is told from work: `timeout_s` is the longest silence, and a stream that breaks
off is noticed. Prices are those of the configuration, else those that `genai-prices`, which is locked with this
release, publishes for the vendor that the base URL belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx2
from genai_prices import Usage, calc_price
from pydantic_ai.messages import (
    FinishReason,
    ModelMessage,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, check_allow_model_requests
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from incidentfox.agent.provider import ModelBusy, ModelRefused, Price, Provider, Secrets
from incidentfox.agent.providers._chat_stream import Completion, failure_of, read_completion, read_retry_after
from incidentfox.contracts.configuration import ModelConfiguration, ModelPrices
from incidentfox.kernel.clock import Clock, system_clock
from incidentfox.kernel.egress import AddressRefused, check_url
from incidentfox.kernel.errors import Permanent, Timeout, Unavailable
from incidentfox.kernel.redaction import redact_text
from incidentfox.kernel.tls import trust

DEFAULT_BASE_URL = "https://api.openai.com/v1"
MAX_MALFORMED = 2
"""So many calls with arguments that are no JSON object go back to the model as errors; the next one ends the run."""
CONNECT_TIMEOUT_S = 5.0
MAX_ERROR_BYTES = 64 * 1024

_MILLION = 1_000_000
_FINISH: dict[str, FinishReason] = {"tool_calls": "tool_call", "function_call": "tool_call"}
_KNOWN: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "content_filter"}


class OpenAICompatibleModel(Model):
    """See the module. Serves one run: the key is resolved for it, at its first request, and kept in memory only."""

    def __init__(
        self, configuration: ModelConfiguration, secrets: Secrets, price: Price | None, clock: Clock = system_clock
    ) -> None:
        super().__init__()
        self._configuration = configuration
        self._base_url = (configuration.base_url or DEFAULT_BASE_URL).rstrip("/")
        self._secrets = secrets
        self._price = price
        self._clock = clock
        self._key: str | None = None

    @property
    def model_name(self) -> str:
        """As the server calls it."""
        return self._configuration.name

    @property
    def system(self) -> str:
        """The provider's name."""
        return "openai_compatible"

    @property
    def base_url(self) -> str:
        """Where the requests go."""
        return self._base_url

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One chat completion."""
        check_allow_model_requests()
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        body = self._body(self.prepare_messages(messages, parameters), parameters)
        completion = await self._complete(body)
        if completion.finish_reason == "length" and not _all_well_formed(completion):
            raise Permanent(
                f"The model's answer was cut at {self._configuration.max_output_tokens} tokens: raise the model's"
                " max_output_tokens.",
                code="model_output_truncated",
            )
        if not _all_well_formed(completion) and _malformed_before(messages) >= MAX_MALFORMED:
            raise Permanent(
                f"The model called a tool with arguments that are no JSON object, {MAX_MALFORMED + 1} times: choose"
                " a model that can call tools.",
                code="malformed_tool_call",
            )
        return self._response(completion, body)

    def _body(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> dict[str, Any]:
        configuration = self._configuration
        # OpenAI's newer models refuse the old name, and most other servers do not know the new one.
        own = (urlsplit(self._base_url).hostname or "").endswith("openai.com")
        limit = "max_completion_tokens" if own else "max_tokens"
        body: dict[str, Any] = {
            "model": configuration.name,
            "messages": [*_instructions(messages, parameters), *_on_the_wire(messages)],
            "stream": True,
            "stream_options": {"include_usage": True},
            limit: configuration.max_output_tokens,
        }
        if configuration.temperature is not None:
            body["temperature"] = configuration.temperature
        tools = [*parameters.function_tools, *parameters.output_tools]
        if tools:
            body["tools"] = [_tool(tool) for tool in tools]
            body["tool_choice"] = "auto" if parameters.allow_text_output else "required"
        return body

    async def _complete(self, body: dict[str, Any]) -> Completion:
        await self._check_address()
        headers = {"Accept": "text/event-stream"}
        if (secret := self._configuration.api_key) is not None:
            self._key = self._key or await self._secrets(secret.secret)
            headers["Authorization"] = f"Bearer {self._key}"
        timeout = httpx2.Timeout(self._configuration.timeout_s, connect=CONNECT_TIMEOUT_S)
        try:
            async with (
                httpx2.AsyncClient(timeout=timeout, verify=trust()) as http,
                http.stream("POST", f"{self._base_url}/chat/completions", json=body, headers=headers) as response,
            ):
                if not response.is_success:
                    retry_after_s = read_retry_after(response.headers.get("retry-after"), self._clock())
                    raise failure_of(response.status_code, await self._error_body(response), retry_after_s)
                return await read_completion(response.aiter_lines())
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise ModelBusy(f"The model's server is not reachable ({type(error).__name__}).") from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, ValueError):
            # Not chained: the words of the error may hold the key, if it is the key that cannot be sent.
            detail = "The request cannot be sent: check the model's base_url and its key."
            raise ModelRefused(detail) from None
        except httpx2.TimeoutException as error:
            detail = f"The model's server was silent for {self._configuration.timeout_s} s."
            raise Timeout(detail, code="model_timed_out") from error
        except httpx2.HTTPError as error:
            raise Unavailable("The connection to the model broke off.", code="model_stream_cut") from error

    async def _check_address(self) -> None:
        """The base URL is a tenant's: it is not followed to where only the host's own secrets are."""
        try:
            await check_url(self._base_url)
        except AddressRefused as refused:
            raise ModelRefused(refused.detail, code=refused.code) from refused

    async def _error_body(self, response: httpx2.Response) -> object:
        """The error as sent, without secrets: servers quote the key that they refuse."""
        received = bytearray()
        async for chunk in response.aiter_bytes():
            received += chunk
            if len(received) > MAX_ERROR_BYTES:
                break
        text = received.decode("utf-8", "replace")
        if self._key:
            text = text.replace(self._key, "[redacted:api-key]")
        text = redact_text(text)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _response(self, completion: Completion, body: dict[str, Any]) -> ModelResponse:
        parts: list[TextPart | ToolCallPart] = [TextPart(completion.text)] if completion.text else []
        parts += [
            ToolCallPart(call.name, call.arguments, tool_call_id=call.call_id or f"call_{number}")
            for number, call in enumerate(completion.calls, 1)
        ]
        reason = completion.finish_reason or "stop"
        return ModelResponse(
            parts=parts,
            usage=self._usage(completion, body),
            model_name=completion.model or self.model_name,
            provider_name=self.system,
            provider_response_id=completion.response_id,
            finish_reason=_FINISH.get(reason) or _KNOWN.get(reason),
        )

    def _usage(self, completion: Completion, body: dict[str, Any]) -> RequestUsage:
        """What the server counted. One that does not count is taken to have spent a token for each byte."""
        counted = completion.usage
        if counted is None:
            input_tokens, cached, output_tokens = len(json.dumps(body)), 0, completion.written_bytes
        else:
            input_tokens, cached = counted.prompt_tokens, counted.cached_tokens
            output_tokens = counted.completion_tokens
        return RequestUsage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cached,
            details={"estimated": 1} if counted is None else {},
            cost=self._price(input_tokens, cached, output_tokens) if self._price else None,
        )


def price_of(configuration: ModelConfiguration) -> Price | None:
    """The configured prices, else the vendor's published ones; None where neither is known."""
    if configuration.prices is not None:
        return _configured(configuration.prices)
    base_url = configuration.base_url or DEFAULT_BASE_URL

    def published(input_tokens: int, cached: int, output_tokens: int) -> Decimal:
        usage = Usage(input_tokens=input_tokens, cache_read_tokens=cached, output_tokens=output_tokens)
        return calc_price(usage, configuration.name, provider_api_url=base_url).total_price

    try:
        published(1, 0, 1)
    except LookupError:
        return None
    return published


def _configured(prices: ModelPrices) -> Price:
    def price(input_tokens: int, cached: int, output_tokens: int) -> Decimal:
        spent = Decimal(str(prices.input_per_mtok_usd)) * input_tokens
        return (spent + Decimal(str(prices.output_per_mtok_usd)) * output_tokens) / _MILLION

    return price


def _instructions(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[dict[str, Any]]:
    texts = [part.content for part in parameters.instruction_parts or ()]
    return [{"role": "system", "content": "\n\n".join(texts)}] if texts else []


def _on_the_wire(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """The conversation in the API's words. What an agent here never sends (files, images) is not translated."""
    found: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ModelResponse):
            found.append(_answered(message))
            continue
        for part in message.parts:
            if isinstance(part, SystemPromptPart):
                found.append({"role": "system", "content": part.content})
            elif isinstance(part, UserPromptPart):
                text = part.content if isinstance(part.content, str) else "\n".join(map(str, part.content))
                found.append({"role": "user", "content": text})
            elif isinstance(part, ToolReturnPart):
                content = part.model_response_str()
                found.append({"role": "tool", "tool_call_id": part.tool_call_id, "content": content})
    return found


def _answered(response: ModelResponse) -> dict[str, Any]:
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    calls = [
        {
            "id": part.tool_call_id,
            "type": "function",
            # Arguments that are no JSON object would be refused by servers that parse them again.
            "function": {"name": part.tool_name, "arguments": _compact(part.args_as_dict())},
        }
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    return {**message, "tool_calls": calls} if calls else {**message, "content": text}


def _compact(value: Any) -> str:
    """As short as JSON gets: never longer than what budget.py counts."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters_json_schema}
    return {"type": "function", "function": function}


def _all_well_formed(completion: Completion) -> bool:
    return all(_is_object(call.arguments) for call in completion.calls)


def _malformed_before(messages: Sequence[ModelMessage]) -> int:
    return sum(
        isinstance(part, ToolCallPart) and isinstance(part.args, str) and not _is_object(part.args)
        for message in messages
        for part in message.parts
    )


def _is_object(arguments: str) -> bool:
    """Whether a tool can be called with it. Nothing at all stands for no arguments."""
    try:
        return isinstance(json.loads(arguments or "{}"), dict)
    except ValueError:
        return False


provider = Provider(
    "openai_compatible",
    "Any OpenAI-compatible chat API: set base_url, name and api_key.",
    lambda configuration, secrets: OpenAICompatibleModel(configuration, secrets, price_of(configuration)),
    price_of,
)
