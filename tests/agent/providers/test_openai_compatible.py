"""The OpenAI-compatible provider against a scripted server over real HTTP: the wire, the errors, the money."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from tests.agent.model_twin import ModelTwin, Turn, answer, cut, hanging, raw, refusal
from tests.agent.twins import serve

from incidentfox.agent.provider import ModelBusy, ModelRefused
from incidentfox.agent.providers.openai_compatible import OpenAICompatibleModel, price_of, provider
from incidentfox.contracts.configuration import ModelConfiguration
from incidentfox.kernel.errors import Failure, Permanent, Temporary

pytestmark = pytest.mark.anyio

KEY = "sk-test-0123456789abcdefghij"
PARAMETERS = ModelRequestParameters(
    function_tools=[
        ToolDefinition(name="search_logs", description="Searches.", parameters_json_schema={"type": "object"})
    ],
    output_tools=[ToolDefinition(name="write_report", kind="output")],
    allow_text_output=False,
    output_mode="tool",
)
QUESTION: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("why?")], instructions="Be brief.")]
NOW = 1_800_000_000.0

Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def allowed() -> Any:
    """These requests go to a server of the test's own."""
    with models.override_allow_model_requests(True):
        yield


async def secrets(name: str) -> str:
    assert name == "model-key"
    return KEY


@asynccontextmanager
async def served(*script: Turn, **changes: Any) -> AsyncIterator[tuple[OpenAICompatibleModel, ModelTwin]]:
    twin = ModelTwin(list(script))
    async with serve(twin.app()) as url:
        configuration = ModelConfiguration.model_validate(
            {
                "provider": "openai_compatible",
                "name": "twin-1",
                "base_url": f"{url}/v1",
                "api_key": {"$secret": "model-key"},
                **changes,
            }
        )
        yield OpenAICompatibleModel(configuration, secrets, price_of(configuration), lambda: NOW), twin


async def ask(model: OpenAICompatibleModel, messages: list[ModelMessage] = QUESTION) -> ModelResponse:
    return await model.request(messages, None, PARAMETERS)


async def failure(served_by: AbstractAsyncContextManager[tuple[OpenAICompatibleModel, ModelTwin]]) -> Failure:
    async with served_by as (model, _):
        with pytest.raises(Failure) as caught:
            await ask(model)
    return caught.value


async def test_a_streamed_answer_is_put_together() -> None:
    calls = [("search_logs", {"text": "timeout"}), ("write_report", {"confidence": 0.1})]
    async with served(answer("Let me look.", calls)) as (model, twin):
        response = await ask(model)
    text, first, second = response.parts
    assert isinstance(text, TextPart)
    assert text.content == "Let me look."
    assert isinstance(first, ToolCallPart)
    assert isinstance(second, ToolCallPart)
    assert (first.tool_name, first.args_as_dict()) == ("search_logs", {"text": "timeout"})
    assert (second.tool_name, second.args_as_dict()) == ("write_report", {"confidence": 0.1})
    assert (response.usage.input_tokens, response.usage.output_tokens) == (100, 20)
    assert (response.model_name, response.finish_reason) == ("twin-1", "tool_call")
    (body,) = twin.requests
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert (body["model"], body["max_tokens"], body["tool_choice"]) == ("twin-1", 4096, "required")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["search_logs", "write_report"]
    assert "temperature" not in body
    assert twin.headers[0]["authorization"] == f"Bearer {KEY}"


async def test_the_conversation_goes_out_in_the_api_s_words() -> None:
    conversation: list[ModelMessage] = [
        *QUESTION,
        ModelResponse(parts=[ToolCallPart("search_logs", '{"text": "x', tool_call_id="call_1")]),
        ModelRequest(parts=[ToolReturnPart("search_logs", "broken arguments", tool_call_id="call_1")]),
    ]
    async with served(answer(calls=[("write_report", {})]), temperature=0.5) as (model, twin):
        await ask(model, conversation)
    _, assistant, tool = twin.requests[0]["messages"][-3:]
    assert twin.requests[0]["messages"][-3] == {"role": "user", "content": "why?"}
    # What the model garbled is passed back as JSON that every server can parse.
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"INVALID_JSON": '{"text": "x'}
    assert tool == {"role": "tool", "tool_call_id": "call_1", "content": "broken arguments"}
    assert twin.requests[0]["temperature"] == 0.5


async def test_openai_itself_is_told_the_limit_under_its_new_name() -> None:
    configuration = ModelConfiguration(provider="openai_compatible", name="gpt-4o")
    model = provider.build(configuration, secrets)
    assert isinstance(model, OpenAICompatibleModel)
    assert model.base_url == "https://api.openai.com/v1"
    assert model._body(QUESTION, PARAMETERS)["max_completion_tokens"] == 4096


async def test_no_key_is_sent_where_none_is_configured() -> None:
    async with served(answer("hi"), api_key=None) as (model, twin):
        await ask(model)
    assert "authorization" not in twin.headers[0]


@pytest.mark.parametrize(
    ("turn", "kind", "code", "words"),
    [
        (refusal(401, f"Incorrect API key provided: {KEY}."), ModelRefused, "model_key_refused", "secret"),
        (refusal(404, "The model `x` does not exist", "model_not_found"), ModelRefused, "model_not_found", "name"),
        (refusal(400, "no such model", "model_not_found"), ModelRefused, "model_not_found", "base_url"),
        (
            refusal(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
            ModelRefused,
            "model_context_full",
            "8192",
        ),
        (refusal(400, "the request exceeds the available context size"), ModelRefused, "model_context_full", "context"),
        (
            refusal(429, "over your quota", "insufficient_quota"),
            ModelRefused,
            "model_quota_exhausted",
            "credit",
        ),
        (refusal(422, "tools are not supported"), ModelRefused, "model_refused", "tools are not supported"),
        (refusal(503, "loading"), ModelBusy, "model_unavailable", "503"),
        (refusal(504, "upstream"), Temporary, "model_timed_out", "504"),
        (refusal(302, ""), ModelRefused, "model_refused", "302"),
        (raw("data: <html>"), Permanent, "model_answer_unreadable", "base_url"),
        (raw('data: {"choices": [{"delta": {"content": "half"}}]}'), Temporary, "model_stream_cut", "broke off"),
        (raw('data: {"error": {"message": "overloaded"}}'), Temporary, "model_stream_cut", "overloaded"),
        (cut(), Temporary, "model_stream_cut", "broke off"),
        (
            answer(calls=[("write_report", '{"confidence": 0.')], finish="length"),
            Permanent,
            "model_output_truncated",
            "max_output_tokens",
        ),
    ],
)
async def test_errors_have_codes_and_say_what_to_do(turn: Turn, kind: type[Failure], code: str, words: str) -> None:
    found = await failure(served(turn))
    assert isinstance(found, kind)
    assert found.code == code
    assert words in found.detail
    assert KEY not in found.detail + repr(found.__cause__)


async def test_only_what_the_server_did_not_work_on_counts_as_not_billed() -> None:
    for turn in (cut(), refusal(504, "upstream"), raw('data: {"error": {"message": "overloaded"}}')):
        assert not isinstance(await failure(served(turn)), ModelBusy | ModelRefused)


@pytest.mark.parametrize(("sent", "seconds"), [("7", 7.0), ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0), ("soon", None)])
async def test_retry_after_is_honoured(sent: str, seconds: float | None) -> None:
    found = await failure(served(refusal(429, "slow down", retry_after=sent)))
    assert isinstance(found, ModelBusy)
    assert (found.code, found.retry_after_s) == ("model_rate_limited", seconds)


async def test_a_wait_that_no_run_can_afford_ends_it() -> None:
    found = await failure(served(refusal(429, "daily limit", retry_after="3600")))
    assert isinstance(found, ModelRefused)
    assert found.code == "model_rate_limited"
    assert "3600" in found.detail


async def test_silence_is_a_timeout_and_may_have_been_billed() -> None:
    never = asyncio.Event()
    async with served(hanging(never), timeout_s=1) as (model, _):
        with pytest.raises(Temporary) as caught:
            await ask(model)
        never.set()
    assert caught.value.code == "model_timed_out"
    assert not isinstance(caught.value, ModelBusy)


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    configuration = ModelConfiguration(provider="openai_compatible", name="x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelBusy, match="not reachable"):
        await ask(OpenAICompatibleModel(configuration, secrets, None))


async def test_a_base_url_is_not_followed_to_the_host_s_own_secrets() -> None:
    configuration = ModelConfiguration(provider="openai_compatible", name="x", base_url="http://169.254.169.254/v1")
    with pytest.raises(ModelRefused) as caught:
        await ask(OpenAICompatibleModel(configuration, secrets, None))
    assert caught.value.code == "address_refused"


@pytest.mark.parametrize("key", ["sk-\nx: y", "sk-ключ"])
async def test_a_key_that_cannot_be_sent_is_not_quoted(key: str) -> None:
    async def broken(_: str) -> str:
        return key

    async with served(answer("hi")) as (model, twin):
        model._secrets = broken
        with pytest.raises(ModelRefused) as caught:
            await ask(model)
    assert not twin.requests
    assert key not in caught.value.detail
    assert caught.value.__cause__ is None


async def test_garbled_arguments_go_back_to_the_model_twice() -> None:
    garbled = ModelResponse(parts=[ToolCallPart("search_logs", '{"text": ')])
    async with served(answer(calls=[("search_logs", "[1]")])) as (model, _):
        assert (await ask(model, [*QUESTION, garbled])).parts
        with pytest.raises(Permanent) as caught:
            await ask(model, [*QUESTION, garbled, garbled])
    assert caught.value.code == "malformed_tool_call"


async def test_a_server_that_does_not_count_is_taken_at_its_worst() -> None:
    async with served(answer("four", usage=None)) as (model, twin):
        usage = (await ask(model)).usage
    assert usage.details == {"estimated": 1}
    assert usage.input_tokens >= len(json.dumps(twin.requests[0]["messages"]))
    assert usage.output_tokens == len("four")


async def test_cost_follows_the_configured_prices() -> None:
    prices = {"input_per_mtok_usd": 2.0, "output_per_mtok_usd": 10.0}
    async with served(answer("hi", usage=(1_000_000, 500_000)), prices=prices) as (model, _):
        assert (await ask(model)).usage.cost == Decimal(7)


def test_published_prices_are_those_of_the_vendor_at_the_address() -> None:
    openai = price_of(ModelConfiguration(provider="openai_compatible", name="gpt-4o"))
    assert openai is not None
    # https://openai.com/api/pricing: 2.50 and 10 dollars per million tokens, half of the former from the cache.
    assert openai(1_000_000, 0, 1_000_000) == Decimal("12.5")
    assert openai(1_000_000, 1_000_000, 0) == Decimal("1.25")
    elsewhere = ModelConfiguration(provider="openai_compatible", name="gpt-4o", base_url="http://llm.internal/v1")
    assert price_of(elsewhere) is None
    assert price_of(ModelConfiguration(provider="openai_compatible", name="no-such-model")) is None


async def test_tests_may_not_reach_a_model_by_accident() -> None:
    configuration = ModelConfiguration(provider="openai_compatible", name="gpt-4o")
    with models.override_allow_model_requests(False), pytest.raises(RuntimeError, match="not allowed"):
        await ask(OpenAICompatibleModel(configuration, secrets, None))
