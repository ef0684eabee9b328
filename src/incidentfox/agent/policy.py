"""Policy as wrappers, one small class each, round tools and round models: the loop never knows that it is watched.

Round a tool, from the inside out:

    boundary    whatever it raises becomes a result that says what went wrong; it may not hang
    redact      secrets leave the result before anything else sees it
    checkpoint  one durable step: a finished call is not repeated after a crash
    limit       so many calls per run; so many bytes per result
    record      tool.called and tool.returned on the timeline; the result kept for the evidence check
    fence       what the model gets is marked as data from outside

Round a model: budget (reserved before, settled after; see budget.py) round checkpoint (one durable step per request),
number (short call ids, unique in the run), limit (so many turns; the last one may only report), record
(model.responded on the timeline).
"""

from __future__ import annotations

import asyncio
import json
import traceback
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_ai.usage import UsageLimits
from pydantic_core import to_jsonable_python

from incidentfox.agent.budget import KeepWithinBudget, Meter, ReserveAttempts
from incidentfox.agent.evidence import ToolResult
from incidentfox.agent.exchange import recorded_parts, redacted_parts
from incidentfox.agent.fences import fence
from incidentfox.agent.scope import RunScope
from incidentfox.agent.toolbox import Context, catalogue
from incidentfox.contracts.events import RunEventType
from incidentfox.kernel.durable import FOR_EVER, Retry
from incidentfox.kernel.errors import Failure, Permanent
from incidentfox.kernel.logging import get_logger

log = get_logger(__name__)

TOOL_TIMEOUT_S = 45.0
MAX_RESULT_BYTES = 96 * 1024
"""A larger result is refused with the advice to narrow the question: it would crowd out everything else."""
MODEL_RETRY = Retry(attempts=6, base_s=0.5, cap_s=30.0)

NO_LIMITS = UsageLimits(request_limit=None)
"""The library's own limits, switched off: the run's are kept here, over all of its agents together."""

Definition = ToolsetTool[RunScope]
_RESPONSE: TypeAdapter[ModelResponse] = TypeAdapter(ModelResponse)


class TurnsExhausted(Permanent):
    """The model went on after its last turn."""

    default_code = "turns_exhausted"


@dataclass(frozen=True)
class Outcome:
    """How a tool call ended, between the wrappers. Times are Unix seconds, as recorded."""

    result: Any
    is_error: bool
    duration_ms: float = 0.0
    reads: tuple[dict[str, Any], ...] = ()


def failed(code: str, detail: str) -> Outcome:
    """The outcome of a call that gave nothing."""
    return Outcome({"error": {"code": code, "detail": detail}}, is_error=True)


# -- tools -------------------------------------------------------------------------------------------------------------


class Boundary(WrapperToolset[RunScope]):
    """Turns a tool's return or exception into an Outcome. One of the places that may catch Exception."""

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Context, tool: Definition) -> Outcome:
        """Calls the tool."""
        try:
            async with asyncio.timeout(TOOL_TIMEOUT_S):
                result = await self.wrapped.call_tool(name, tool_args, ctx, tool)
            return Outcome(to_jsonable_python(result, inf_nan_mode="null"), is_error=False)
        except Failure as failure:
            return failed(failure.code, failure.detail)
        except ModelRetry as retry:
            return failed("wrong_arguments", retry.message)
        except TimeoutError:
            return failed("tool_timed_out", f"{name} did not finish within {TOOL_TIMEOUT_S:.0f} s.")
        except Exception as error:  # noqa: BLE001
            # Where it broke, without the exception's words: they may quote what must not be logged.
            where = traceback.format_tb(error.__traceback__)[-4:]
            log.error("tool failed", tool=name, error=type(error).__name__, where=where)  # noqa: TRY400
            return failed("tool_failed", f"{name} failed: {type(error).__name__}.")


class Redact(WrapperToolset[RunScope]):
    """Takes secrets out of the result."""

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Context, tool: Definition) -> Outcome:
        """Calls the tool."""
        outcome: Outcome = await self.wrapped.call_tool(name, tool_args, ctx, tool)
        return replace(outcome, result=ctx.deps.redactor.redact(outcome.result))


class Checkpoint(WrapperToolset[RunScope]):
    """Makes the call a durable step."""

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Context, tool: Definition) -> Outcome:
        """Calls the tool, or hands back what it returned before the crash."""

        outcome: Outcome | None = None

        async def body() -> dict[str, Any]:
            nonlocal outcome
            if outcome is None:
                log.info("tool called", run_id=ctx.deps.run_id, tool=name, tool_call_id=ctx.tool_call_id)
                outcome = await self.wrapped.call_tool(name, tool_args, ctx, tool)
            # Before the call counts as finished: after a crash it would not be read again. This alone is repeated.
            reads = [read.model_dump(mode="json") for read in await ctx.deps.telemetry.keep()]
            return {"result": outcome.result, "is_error": outcome.is_error, "reads": reads}

        before = ctx.deps.spent_s
        kept = await ctx.deps.timed_step(f"tool {name}", body, retry=FOR_EVER)
        duration_ms = round((ctx.deps.spent_s - before) * 1000, 1)
        return Outcome(kept["result"], kept["is_error"], duration_ms, tuple(kept.get("reads", ())))


class Limit(WrapperToolset[RunScope]):
    """Holds the run to its number of calls and each result to its size."""

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Context, tool: Definition) -> Outcome:
        """Calls the tool, unless the run has used up its calls."""
        most = ctx.deps.limits.max_tool_calls
        if ctx.deps.calls > most:
            return failed("tool_calls_exhausted", f"All {most} tool calls of this run are used: write the report now.")
        outcome: Outcome = await self.wrapped.call_tool(name, tool_args, ctx, tool)
        size = len(json.dumps(outcome.result, ensure_ascii=False).encode())
        if size > MAX_RESULT_BYTES:
            words = f"The result has {size} bytes, more than {MAX_RESULT_BYTES}: narrow the question."
            return replace(outcome, result=failed("result_too_large", words).result, is_error=True)
        return outcome


class Record(WrapperToolset[RunScope]):
    """Puts the call and its outcome on the timeline and keeps the result for the evidence check."""

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Context, tool: Definition) -> Outcome:
        """Calls the tool."""
        scope, call_id = ctx.deps, ctx.tool_call_id or ""
        scope.calls += 1
        key = f"tool-{scope.calls}"
        about = {"tool_call_id": call_id, "tool": name}
        arguments = scope.redactor.redact(to_jsonable_python(tool_args, inf_nan_mode="null"))
        scope.note(RunEventType.TOOL_CALLED, f"{key}-called", {**about, "arguments": arguments})
        outcome: Outcome = await self.wrapped.call_tool(name, tool_args, ctx, tool)
        known = catalogue().get(name)
        observed = known is None or known.reads == "signals"
        scope.results[call_id] = ToolResult(name, outcome.result, outcome.is_error, observed)
        ended = {"result": outcome.result, "is_error": outcome.is_error, "duration_ms": outcome.duration_ms}
        if outcome.reads:
            ended["reads"] = list(outcome.reads)
        scope.note(RunEventType.TOOL_RETURNED, f"{key}-returned", {**about, **ended})
        return outcome


@dataclass
class Fence(WrapperToolset[RunScope]):
    """Gives the model the result as marked data. `origin` is the kind of its provenance: `tool`, or `mcp`."""

    origin: str = "tool"

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Context, tool: Definition) -> str:
        """Calls the tool."""
        outcome: Outcome = await self.wrapped.call_tool(name, tool_args, ctx, tool)
        text = json.dumps(outcome.result, ensure_ascii=False)
        source = f"{self.origin}:{name}" if not outcome.is_error else f"{self.origin}-error:{name}"
        return fence(text, source=source, nonce=ctx.deps.nonce, call=ctx.tool_call_id or "")


def guard_tools(tools: AbstractToolset[RunScope], origin: str = "tool") -> AbstractToolset[RunScope]:
    """The tools with every policy round them."""
    return Fence(Record(Limit(Checkpoint(Redact(Boundary(tools))))), origin)


# -- models ------------------------------------------------------------------------------------------------------------


class _Guarded(WrapperModel):
    def __init__(self, wrapped: Model, scope: RunScope) -> None:
        super().__init__(wrapped)
        self.scope = scope


class CheckpointRequests(_Guarded):
    """Makes each request a durable step; Temporary failures are tried again with back-off."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model, or hands back what it answered before the crash."""

        async def body() -> Any:
            log.info("model asked", run_id=self.scope.run_id, request=self.scope.requests + 1)
            response = await self.wrapped.request(messages, model_settings, model_request_parameters)
            return _RESPONSE.dump_python(
                replace(response, parts=redacted_parts(response.parts, self.scope.redactor)), mode="json"
            )

        return _RESPONSE.validate_python(await self.scope.timed_step("model request", body, retry=MODEL_RETRY))


class NumberCalls(_Guarded):
    """Gives each tool call a short id that is unique in the run: models repeat themselves, and citations need one."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model."""
        response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        return replace(response, parts=[self._numbered(part) for part in response.parts])

    def _numbered(self, part: Any) -> Any:
        if not isinstance(part, ToolCallPart):
            return part
        self.scope.numbered += 1
        return replace(part, tool_call_id=f"call_{self.scope.numbered}")


class LimitTurns(_Guarded):
    """Holds the run to its number of model requests. On the last one only the report can be written.

    `reserve` turns are left to the agents above: one for each level, so that theirs can still be written.
    """

    def __init__(self, wrapped: Model, scope: RunScope, reserve: int) -> None:
        super().__init__(wrapped, scope)
        self.reserve = reserve

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model."""
        most = max(1, self.scope.limits.max_turns - self.reserve)
        if self.scope.requests >= most:
            raise TurnsExhausted(f"The agent wrote no report within {most} model requests.")
        if self.scope.requests == most - 1:
            model_request_parameters = replace(model_request_parameters, function_tools=[])
        return await self.wrapped.request(messages, model_settings, model_request_parameters)


class RecordRequests(_Guarded):
    """Counts each request and what it cost, and puts the answer on the timeline."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model."""
        response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        scope = self.scope
        scope.requests += 1
        scope.input_tokens += response.usage.input_tokens
        scope.output_tokens += response.usage.output_tokens
        scope.cost_usd += float(response.usage.cost or 0)
        report = {tool.name for tool in model_request_parameters.output_tools}
        calls = [part for part in response.parts if isinstance(part, ToolCallPart) and part.tool_name not in report]
        data = {
            "model": response.model_name or self.model_name,
            "text": scope.redactor.redact_text(
                "\n".join(part.content for part in response.parts if isinstance(part, TextPart))
            ),
            "tool_calls": [{"tool_call_id": call.tool_call_id, "tool": call.tool_name} for call in calls],
            "parts": recorded_parts(response.parts),
            "usage": {
                "input_tokens": response.usage.input_tokens,
                "output_tokens": response.usage.output_tokens,
                "cost_usd": float(response.usage.cost or 0),
            },
        }
        scope.note(RunEventType.MODEL_RESPONDED, f"model-{scope.requests}", data)
        return response


def guard_model(model: Model, scope: RunScope, level: int, meter: Meter | None = None) -> Model:
    """The model with every policy round it. `level` is 0 for the entrance agent, one more for each level below.

    `meter` is the account that the model draws on; None for one that costs nothing.
    """
    if meter is None:
        checkpointed: Model = CheckpointRequests(model, scope)
    else:
        checkpointed = KeepWithinBudget(CheckpointRequests(ReserveAttempts(model, meter), scope), meter)
    return RecordRequests(LimitTurns(NumberCalls(checkpointed, scope), scope, reserve=level), scope)
