"""Evidence or silence: which claims of a report hold, and what is left of the report without the others.

Pure. A claim holds when the tool call it cites exists, did not fail, and returned the words it quotes (white space
aside). What the words *mean* is not judged here; that they are there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from incidentfox.contracts.answer import Evidence, Report

UNSUPPORTED_CONFIDENCE = 0.2
"""The most confidence that a report without any evidence may carry."""
MINIMUM_EXCERPT = 3
"""Shorter excerpts prove nothing: every result contains them."""

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class ToolResult:
    """What a tool call of the run returned, as the model saw it: redacted."""

    tool: str
    result: Any
    is_error: bool


@dataclass(frozen=True)
class Dropped:
    """A claim that does not leave the system, and why."""

    evidence: Evidence
    reason: str


@dataclass(frozen=True)
class Checked:
    """A report without the claims that did not hold."""

    report: Report
    dropped: tuple[Dropped, ...]


def check(report: Report, results: Mapping[str, ToolResult]) -> Checked:
    """Drops every claim whose citation does not hold. With no evidence left, no root cause leaves either."""
    kept, dropped = [], []
    for evidence in report.evidence:
        reason = why_not(evidence, results)
        if reason is None:
            kept.append(evidence)
        else:
            dropped.append(Dropped(evidence, reason))
    changed: dict[str, Any] = {"evidence": tuple(kept)}
    if not kept:
        changed |= {
            "root_cause": None,
            "remediation": None,
            "confidence": min(report.confidence, UNSUPPORTED_CONFIDENCE),
        }
    return Checked(report.model_copy(update=changed), tuple(dropped))


def why_not(evidence: Evidence, results: Mapping[str, ToolResult]) -> str | None:
    """Why a citation does not hold; None when it does."""
    cited = results.get(evidence.tool_call_id)
    if cited is None:
        return "The run made no such tool call."
    if cited.is_error:
        return "The cited tool call failed."
    if len(_folded(evidence.excerpt)) < MINIMUM_EXCERPT:
        return "The excerpt is too short to prove anything."
    if not occurs(evidence.excerpt, cited.result):
        return "The excerpt does not occur in the cited result."
    return None


def occurs(excerpt: str, result: Any) -> bool:
    """Whether the words stand in the result: in its JSON text, or in one of its strings or numbers as they are."""
    wanted = _folded(excerpt)
    return wanted in _folded(json.dumps(result, ensure_ascii=False)) or any(
        wanted in _folded(leaf) for leaf in _leaves(result)
    )


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value] if isinstance(value, str) else []


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
