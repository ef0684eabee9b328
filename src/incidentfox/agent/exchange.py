"""What a model said, as the timeline keeps it, and back: enough to give the same answers again without the model.

`policy.py` records, `replay.py` plays. Thoughts are not kept: no tool call and no claim rests on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic_ai.messages import ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.usage import RequestUsage

from incidentfox.kernel.redaction import Redactor


def redacted_parts(parts: Iterable[ModelResponsePart], redactor: Redactor) -> list[ModelResponsePart]:
    """The reply without secrets, before anything acts on it: what is called is then what is on record."""
    return [_redacted(part, redactor) for part in parts]


def recorded_parts(parts: Iterable[ModelResponsePart]) -> list[dict[str, Any]]:
    """The texts and tool calls of a reply as JSON. `arguments` is an object, or text where the model sent no JSON."""
    kept: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, TextPart):
            kept.append({"text": part.content})
        elif isinstance(part, ToolCallPart):
            kept.append({"tool": part.tool_name, "arguments": _arguments(part)})
    return kept


def replayed_response(data: dict[str, Any]) -> ModelResponse:
    """The reply that a `model.responded` event recorded."""
    parts: Sequence[ModelResponsePart] = [
        ToolCallPart(part["tool"], part["arguments"]) if "tool" in part else TextPart(part["text"])
        for part in data["parts"]
    ]
    usage = data["usage"]
    return ModelResponse(
        parts=parts,
        model_name=data["model"],
        usage=RequestUsage(input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"]),
    )


def _redacted(part: ModelResponsePart, redactor: Redactor) -> ModelResponsePart:
    if isinstance(part, TextPart):
        return replace(part, content=redactor.redact_text(part.content))
    if isinstance(part, ToolCallPart):
        return replace(part, args=redactor.redact(_arguments(part)))
    return part


def _arguments(part: ToolCallPart) -> Any:
    """The arguments as they will be read: an object where they are one, else the model's own words."""
    if not isinstance(part.args, str):
        return part.args or {}
    try:
        read = json.loads(part.args)
    except ValueError:
        return part.args
    return read if isinstance(read, dict) else part.args
