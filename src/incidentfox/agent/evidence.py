"""Evidence or silence: which claims of a report hold, and what is left of the report without the others.

Pure. A claim holds when the tool call it cites exists, did not fail, and returned the words it quotes (white space
aside). What the words *mean* is not judged here; that they are there is. Services and changes that a report names must
occur in what the run was told, too: a name that was talked into the model, or made up, does not leave. What a runbook
says was written before the incident: it can be quoted as a next step, and neither carries nor names a cause.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from incidentfox.contracts.answer import Evidence, NextStep, Report

UNSUPPORTED_CONFIDENCE = 0.2
"""The most confidence that a report without any evidence may carry."""
MINIMUM_EXCERPT = 3
"""Shorter excerpts prove nothing: every result contains them."""

Cited = TypeVar("Cited", bound=Evidence)

_SPACE = re.compile(r"\s+")
_SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")


@dataclass(frozen=True)
class ToolResult:
    """What a tool call of the run returned, as the model saw it: redacted.

    `observed` is False for what was written down beforehand: a runbook.
    """

    tool: str
    result: Any
    is_error: bool
    observed: bool = True


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
    kept, dropped = _holding(report.evidence, results, why_not)
    steps, made_of_nothing = _holding(report.next_steps, results, why_no_step)
    dropped += made_of_nothing
    cause = report.root_cause
    made_up = [name for name in (cause.service, cause.change) if name and name not in named] if cause else []
    if made_up:
        claim = Evidence(claim=f"The root cause is {' '.join(made_up)}.", tool_call_id="", excerpt="")
        dropped.append(Dropped(claim, "No tool call of the run named it."))
    changed: dict[str, Any] = {
        "evidence": tuple(kept),
        "next_steps": tuple(steps),
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


def _holding(
    cited: Sequence[Cited], results: Mapping[str, ToolResult], objection: Callable[[Cited, Any], str | None]
) -> tuple[list[Cited], list[Dropped]]:
    """What holds, and what does not with the reason."""
    judged = [(one, objection(one, results)) for one in cited]
    return [one for one, reason in judged if reason is None], [Dropped(one, reason) for one, reason in judged if reason]


class _Names:
    """The names that the run was told: by tools that did not fail, and by the alert."""

    def __init__(self, results: Mapping[str, ToolResult], alerted: str | None) -> None:
        told = (leaf for one in results.values() if one.observed and not one.is_error for leaf in _leaves(one.result))
        self._names = {_folded(name) for name in (alerted or "", *told)}

    def __contains__(self, name: object) -> bool:
        """Whether something is called that; a commit may be called by the beginning of its sha."""
        if not isinstance(name, str) or not name:
            return False
        return _folded(name) in self._names or (
            _SHORT_SHA.fullmatch(name) is not None and any(one.startswith(name) for one in self._names)
        )


def why_not(evidence: Evidence, results: Mapping[str, ToolResult]) -> str | None:
    """Why a claim about the incident does not hold; None when it does."""
    cited = results.get(evidence.tool_call_id)
    if cited is not None and not cited.observed:
        return "A runbook is no evidence of what happened: quote it as a next step."
    return _why_not_quoted(evidence, results)


def why_no_step(step: NextStep, results: Mapping[str, ToolResult]) -> str | None:
    """Why a next step does not leave; None when a runbook says it, and has that address."""
    cited = results.get(step.tool_call_id)
    if cited is not None and cited.observed:
        return "A next step quotes a runbook."
    if cited is not None and step.url is not None and step.url not in _leaves(cited.result):
        return "The cited result does not have this address."
    return _why_not_quoted(step, results)


def _why_not_quoted(evidence: Evidence, results: Mapping[str, ToolResult]) -> str | None:
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
