"""Evidence or silence: which claims of a report hold, and what is left of the report without the others.

Pure. A claim holds when the tool call it cites exists, did not fail, and returned the words it quotes (white space
aside). What the words *mean* is not judged here; that they are there is. Services and changes that a report names must
occur in what the run was told, too: a name that was talked into the model, or made up, does not leave.
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
_SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")


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


def check(report: Report, results: Mapping[str, ToolResult], alerted: str | None = None) -> Checked:
    """Drops every claim whose citation does not hold, and every name that nothing names.

    With no evidence left, or a made-up name in it, no root cause leaves either. `alerted` is the alert's own service.
    """
    named = _Names(results, alerted)
    kept, dropped = [], []
    for evidence in report.evidence:
        reason = why_not(evidence, results)
        if reason is None:
            kept.append(evidence)
        else:
            dropped.append(Dropped(evidence, reason))
    cause = report.root_cause
    made_up = [name for name in (cause.service, cause.change) if name and name not in named] if cause else []
    if made_up:
        claim = Evidence(claim=f"The root cause is {' '.join(made_up)}.", tool_call_id="", excerpt="")
        dropped.append(Dropped(claim, "No tool call of the run named it."))
    changed: dict[str, Any] = {
        "evidence": tuple(kept),
        "first_failing_service": report.first_failing_service if report.first_failing_service in named else None,
        "blast_radius": tuple(service for service in report.blast_radius if service in named),
        "suspects": tuple(
            one for one in report.suspects if one.service in named and (not one.change or one.change in named)
        ),
    }
    if not kept or made_up:
        changed |= {
            "root_cause": None,
            "remediation": None,
            "confidence": min(report.confidence, UNSUPPORTED_CONFIDENCE),
        }
    return Checked(report.model_copy(update=changed), tuple(dropped))


class _Names:
    """The names that the run was told: by tools that did not fail, and by the alert."""

    def __init__(self, results: Mapping[str, ToolResult], alerted: str | None) -> None:
        told = (leaf for one in results.values() if not one.is_error for leaf in _leaves(one.result))
        self._names = {_folded(name) for name in (alerted or "", *told)}

    def __contains__(self, name: object) -> bool:
        """Whether something is called that; a commit may be called by the beginning of its sha."""
        if not isinstance(name, str) or not name:
            return False
        return _folded(name) in self._names or (
            _SHORT_SHA.fullmatch(name) is not None and any(one.startswith(name) for one in self._names)
        )


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
