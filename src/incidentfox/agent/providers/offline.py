"""The offline model: a real model that ships. It plans with the same tools and writes the same report, without a key.

It reads the conversation as a language model would: the alert from the fenced prompt, findings from the fenced tool
results, nothing else. What it concludes comes from `analysis.diagnosis`, so it is deterministic, it can only claim
what a tool returned, and it says "not enough evidence" when that is the truth. It makes do with the tools it is given.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from incidentfox.agent.evidence import occurs
from incidentfox.agent.fences import Fenced, read_fences
from incidentfox.agent.provider import Provider
from incidentfox.analysis.diagnosis import diagnose, symptom_of
from incidentfox.analysis.findings import (
    Anomaly,
    ChangeFinding,
    Claim,
    Diagnosis,
    LockFinding,
    LogFinding,
    TraceReport,
)
from incidentfox.analysis.runbooks import RunbookSection, next_step
from incidentfox.analysis.signals import Alert, StatusNotice
from incidentfox.contracts.answer import AnswerMoment, AnswerSuspect, Evidence, NextStep, Report, RootCause
from incidentfox.contracts.runs import AlertInput
from incidentfox.kernel.clock import utc

ALERT_SOURCE = "alert"
"""The provenance of the fence in the prompt that holds the alert as JSON."""

_QUERY_CHARACTERS = 500

Basis = Literal["anomalies", "logs", "traces", "changes", "database", "notices"]
Found = TypeVar("Found")

# Which tools carry a kind of finding: the one that is most worth quoting first.
_BASIS: dict[Basis, tuple[str, ...]] = {
    "anomalies": ("rank_anomalies",),
    "logs": ("find_log_patterns",),
    "traces": ("analyse_traces",),
    "changes": ("show_change", "rank_changes"),
    "database": ("database_activity",),
    "notices": ("status_notices",),
}


@dataclass(frozen=True)
class _Returned:
    """What one tool call of the conversation gave."""

    call_id: str
    result: dict[str, Any]


@dataclass
class _Notes:
    """What the conversation holds so far: the alert, tools already asked, and their results where they succeeded."""

    alert: AlertInput | None = None
    asked: set[str] = field(default_factory=set)
    returned: dict[str, _Returned] = field(default_factory=dict)

    def read(self, tool: str, key: str, kind: type[Found]) -> tuple[Found, ...]:
        """The findings under `key` of a tool's result; none if the tool was not asked or failed."""
        if tool not in self.returned:
            return ()
        rows = self.returned[tool].result.get(key) or ()
        return TypeAdapter(tuple[kind, ...]).validate_python(rows)  # type: ignore[valid-type]


class OfflineModel(Model):
    """See the module. One instance may serve any number of runs: it keeps nothing."""

    @property
    def model_name(self) -> str:
        """`offline`."""
        return "offline"

    @property
    def system(self) -> str:
        """The provider's name."""
        return "incidentfox"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The next tool calls, or the report when there is nothing left to ask."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        notes = _take_notes(messages)
        offered = {tool.name for tool in parameters.function_tools}
        calls = [(name, arguments) for name, arguments in _next(notes) if name in offered]
        parts: list[TextPart | ToolCallPart]
        if calls:
            parts = [ToolCallPart(name, arguments) for name, arguments in calls]
        else:
            # It computes: other runs of this process go on meanwhile.
            report = (await asyncio.to_thread(_report, notes)).model_dump(mode="json")
            outputs = parameters.output_tools
            parts = [ToolCallPart(outputs[0].name, report)] if outputs else [TextPart(json.dumps(report))]
        # No token is bought: saying so keeps the run's usage honest.
        return ModelResponse(parts=parts, model_name=self.model_name, usage=RequestUsage())


def _take_notes(messages: Sequence[ModelMessage]) -> _Notes:
    notes = _Notes()
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart) and isinstance(part.content, str):
                notes.alert = notes.alert or _alert(read_fences(part.content))
            elif isinstance(part, ToolCallPart):
                notes.asked.add(part.tool_name)
            elif isinstance(part, ToolReturnPart) and isinstance(part.content, str):
                for fenced in read_fences(part.content):
                    if fenced.source == f"tool:{part.tool_name}" and fenced.call == part.tool_call_id:
                        notes.returned[part.tool_name] = _Returned(part.tool_call_id, json.loads(fenced.text))
    return notes


def _alert(fences: Sequence[Fenced]) -> AlertInput | None:
    for fenced in fences:
        if fenced.source == ALERT_SOURCE:
            try:
                return AlertInput.model_validate_json(fenced.text)
            except ValidationError:
                return None
    return None


def _next(notes: _Notes) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the next turn: first what needs nothing, then what builds on it. Empty when all has been asked."""
    stages: list[list[tuple[str, dict[str, Any]]]] = [
        [
            ("rank_anomalies", {"limit": 80}),
            ("analyse_traces", {"limit": 40}),
            ("database_activity", {"limit": 20}),
            ("status_notices", {"limit": 50}),
        ],
        [("find_log_patterns", {"onset": _onset(notes), "limit": 40})],
        [("rank_changes", {**asdict(_symptom(notes)), "limit": 30})],
    ]
    for stage in stages:
        if not notes.asked & {name for name, _ in stage}:
            return stage
    if "show_change" not in notes.asked and (ref := _most_suspect(notes)) is not None:
        return [("show_change", {"ref": ref})]
    diagnosis = _diagnosis(notes)
    if "find_runbooks" not in notes.asked and _is_found(diagnosis):
        question = {"query": _trouble(notes, diagnosis), "services": _struck(notes, diagnosis), "limit": 10}
        return [("find_runbooks", question)]
    return []


def _is_found(diagnosis: Diagnosis) -> bool:
    return diagnosis.enough_evidence and diagnosis.service is not None


def _trouble(notes: _Notes, diagnosis: Diagnosis) -> str:
    """What to look for in the runbooks: the cause, the remedy and the symptom."""
    alert = _analysed_alert(notes)
    return " ".join((diagnosis.kind, diagnosis.remediation or "", alert.metric, alert.summary))[:_QUERY_CHARACTERS]


def _struck(notes: _Notes, diagnosis: Diagnosis) -> list[str]:
    """The services that a runbook may be about: the guilty one first, then the one that the page was for."""
    names = (diagnosis.service, diagnosis.first_failing_service, _analysed_alert(notes).service)
    return list(dict.fromkeys(name for name in names if name))


def _most_suspect(notes: _Notes) -> str | None:
    """The change that the verdict would name as things stand, else the best ranked one."""
    ranked = notes.read("rank_changes", "changes", ChangeFinding)
    return _diagnosis(notes).change or (ranked[0].ref if ranked else None)


def _onset(notes: _Notes) -> float | None:
    """The earliest departure before the alert; None (the alert's own time) where nothing departed."""
    fired_at = _analysed_alert(notes).fired_at
    onsets = [anomaly.onset for anomaly in notes.read("rank_anomalies", "anomalies", Anomaly)]
    return min((onset for onset in onsets if onset <= fired_at), default=None)


def _analysed_alert(notes: _Notes) -> Alert:
    """The alert in the words of `analysis`. Without one, the strongest anomaly stands in for it."""
    anomalies = notes.read("rank_anomalies", "anomalies", Anomaly)
    first = anomalies[0] if anomalies else None
    if notes.alert is None:
        returned = notes.returned.get("rank_anomalies")
        fired_at = float(returned.result.get("fired_at") or 0.0) if returned else 0.0
        return Alert(first.service if first else "", first.metric if first else "", "", fired_at)
    alert = notes.alert
    return Alert(
        service=alert.service or (first.service if first else ""),
        metric=alert.metric or "",
        summary=alert.summary or alert.title,
        fired_at=alert.fired_at.timestamp(),
        severity=alert.severity,
        monitor=alert.monitor,
        threshold=alert.threshold,
        observed=alert.observed,
    )


def _traces(notes: _Notes) -> TraceReport:
    returned = notes.returned.get("analyse_traces")
    return TypeAdapter(TraceReport).validate_python(returned.result) if returned else TraceReport()


def _symptom(notes: _Notes) -> Any:
    return symptom_of(
        _analysed_alert(notes),
        notes.read("rank_anomalies", "anomalies", Anomaly),
        notes.read("find_log_patterns", "patterns", LogFinding),
        _traces(notes),
    )


def _diagnosis(notes: _Notes) -> Diagnosis:
    """The verdict on what the notes hold."""
    return diagnose(
        _analysed_alert(notes),
        anomalies=notes.read("rank_anomalies", "anomalies", Anomaly),
        logs=notes.read("find_log_patterns", "patterns", LogFinding),
        traces=_traces(notes),
        changes=notes.read("rank_changes", "changes", ChangeFinding),
        locks=notes.read("database_activity", "blockers", LockFinding),
        notices=notes.read("status_notices", "notices", StatusNotice),
    )


def _report(notes: _Notes) -> Report:
    """The verdict as the report that ends the run."""
    diagnosis = _diagnosis(notes)
    enough = _is_found(diagnosis)
    return Report(
        root_cause=_root_cause(diagnosis) if enough else None,
        first_failing_service=diagnosis.first_failing_service or None,
        suspects=tuple(
            AnswerSuspect(service=one.service, change=one.change, score=_share(one.score), reason=one.reason)
            for one in diagnosis.suspects
        ),
        blast_radius=diagnosis.blast_radius,
        remediation=diagnosis.remediation if enough else None,
        confidence=_share(diagnosis.confidence),
        evidence=tuple(evidence for claim in diagnosis.claims for evidence in _cited(claim, notes)),
        next_steps=_next_steps(notes, diagnosis) if enough else (),
        timeline=tuple(AnswerMoment(at=utc(moment.time), text=moment.text) for moment in diagnosis.timeline),
    )


def _next_steps(notes: _Notes, diagnosis: Diagnosis) -> tuple[NextStep, ...]:
    """The section of a runbook to follow now, quoted. It is chosen for the verdict and changes nothing of it."""
    returned = notes.returned.get("find_runbooks")
    found = notes.read("find_runbooks", "sections", RunbookSection)
    step = next_step(found, _struck(notes, diagnosis), diagnosis.remediation)
    if returned is None or step is None:
        return ()
    where = f"{step.title} › {step.heading}" if step.heading else step.title
    return (NextStep(claim=where, tool_call_id=returned.call_id, excerpt=step.excerpt, url=step.url),)


def _root_cause(diagnosis: Diagnosis) -> RootCause:
    return RootCause(
        service=diagnosis.service or "", change=diagnosis.change, kind=diagnosis.kind, summary=diagnosis.summary
    )


def _cited(claim: Claim, notes: _Notes) -> list[Evidence]:
    """The claim with the call it rests on: of the tools that carry its kind of finding, the first that shows the words.

    Where none shows them the claim keeps the last one, and falls at the evidence check, on record.
    """
    calls = [notes.returned[tool] for tool in _BASIS[claim.basis] if tool in notes.returned]
    if not calls:
        return []
    shown = next((call for call in calls if occurs(claim.excerpt, call.result)), calls[-1])
    return [Evidence(claim=claim.text, tool_call_id=shown.call_id, excerpt=claim.excerpt)]


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)


provider = Provider("offline", "Needs no key and no network: plans with the same tools.", lambda *_: OfflineModel())
