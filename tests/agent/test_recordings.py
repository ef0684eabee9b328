"""Recorded incidents through the whole agent, in one process: every claim that leaves holds, twice over the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agent.scenes import alert_of, asked, document, planner, recorded, recording_files, small_incident

from incidentfox.agent import Runner
from incidentfox.agent.evidence import ToolResult, why_not
from incidentfox.agent.runner import RunResult
from incidentfox.contracts.answer import Answer
from incidentfox.contracts.events import RunEventType

pytestmark = pytest.mark.anyio

WHAT_VARIES = {"run_id", "duration_s"}


async def investigate(files: dict[str, str], **changes: object) -> RunResult:
    return await Runner.run(planner(recorded(files), document(**changes)), asked(alert_of(files)))


def cited_results(result: RunResult) -> dict[str, ToolResult]:
    returned = [event.data for event in result.events if event.type is RunEventType.TOOL_RETURNED]
    return {data["tool_call_id"]: ToolResult(data["tool"], data["result"], data["is_error"]) for data in returned}


async def test_every_recording_gets_an_answer_whose_claims_hold(recordings: Path) -> None:
    folders = [folder for folder in sorted(recordings.iterdir()) if (folder / "alert.json").exists()]
    assert folders
    for folder in folders:
        result = await investigate(recording_files(folder))
        answer = result.answer
        assert answer.dropped_claims == 0, folder.name
        assert answer.root_cause is None or answer.evidence, folder.name
        results = cited_results(result)
        assert [why_not(one, results) for one in answer.evidence] == [None] * len(answer.evidence), folder.name
        assert answer.plots, folder.name
        assert all(len(plot.times) <= 120 for plot in answer.plots), folder.name


async def test_the_same_recording_gives_the_same_answer(recordings: Path) -> None:
    files = recording_files(next(folder for folder in sorted(recordings.iterdir()) if folder.is_dir()))
    one, two = [(await investigate(files)).answer.model_dump(exclude=WHAT_VARIES) for _ in range(2)]
    assert one == two


async def test_a_small_incident_is_traced_to_its_commit() -> None:
    result = await investigate(small_incident())
    cause = result.answer.root_cause
    assert cause is not None
    assert (cause.service, cause.change) == ("orders", "a" * 40)
    assert result.answer.first_failing_service == "orders"
    assert result.usage.tool_calls == 5
    assert result.output is result.answer


async def test_the_events_tell_the_whole_run_in_order() -> None:
    result = await investigate(small_incident())
    kinds = [event.type for event in result.events]
    assert kinds[0] is RunEventType.RUN_STARTED
    assert kinds[-2:] == [RunEventType.ANSWER_READY, RunEventType.RUN_FINISHED]
    assert [event.seq for event in result.events] == list(range(1, len(kinds) + 1))
    called = [event.data["tool_call_id"] for event in result.events if event.type is RunEventType.TOOL_CALLED]
    returned = [event.data["tool_call_id"] for event in result.events if event.type is RunEventType.TOOL_RETURNED]
    assert called == returned
    assert len(set(called)) == len(called)
    assert Answer.model_validate(result.events[-2].data) == result.answer


@pytest.mark.parametrize("missing", ["metrics.csv", "logs.ndjson", "traces.json"])
async def test_a_missing_signal_is_done_without(missing: str) -> None:
    files = small_incident()
    del files[missing]
    result = await investigate(files)
    assert result.answer.dropped_claims == 0


async def test_without_changes_nobody_is_blamed() -> None:
    files = {name: text for name, text in small_incident().items() if not name.startswith("context/")}
    cause = (await investigate(files)).answer.root_cause
    assert cause is None or cause.change is None


async def test_with_no_signal_at_all_the_answer_is_not_enough_evidence() -> None:
    files = {"alert.json": small_incident()["alert.json"]}
    answer = (await investigate(files)).answer
    assert answer.root_cause is None
    assert answer.remediation is None
    assert answer.confidence <= 0.3
    assert answer.evidence == ()


async def test_tools_that_are_switched_off_are_not_called() -> None:
    result = await investigate(small_incident(), tools={"rank_changes": {"enabled": False}})
    called = {event.data["tool"] for event in result.events if event.type is RunEventType.TOOL_CALLED}
    assert "rank_changes" not in called
    assert "rank_anomalies" in called


async def test_a_source_that_is_broken_is_an_error_on_the_timeline_and_no_more() -> None:
    result = await investigate({**small_incident(), "traces.json": "{not json"})
    failed = [event.data for event in result.events if event.data.get("is_error")]
    assert [one["tool"] for one in failed] == ["analyse_traces"]
    assert failed[0]["result"]["error"]["code"] == "telemetry_unreadable"
    assert result.answer.root_cause is not None


async def test_a_plain_question_needs_no_alert() -> None:
    result = await Runner.run(planner(recorded(small_incident())), "Investigate high latency")
    assert result.answer.suspects or result.answer.root_cause is None
