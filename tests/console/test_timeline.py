"""Events as entries: what belongs together stands together, and each change has its element."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.console import investigation

from incidentfox.cli.timeline import describe
from incidentfox.console.timeline import Timeline, build, call_anchor, web_address
from incidentfox.contracts.events import RunEvent, RunEventType

RUN = "run_1"


def events(*, finished: bool = True) -> Sequence[RunEvent]:
    return [
        RunEvent(run_id=RUN, seq=seq, type=event.type, at=event.at, data=event.data)
        for seq, event in enumerate(investigation.events(RUN, finished=finished), 1)
    ]


def event(kind: RunEventType, data: dict[str, object], seq: int = 1) -> RunEvent:
    return RunEvent(run_id=RUN, seq=seq, type=kind, at=investigation.FIRED, data=data)


def test_a_call_and_its_return_are_one_entry() -> None:
    timeline = build(events(), None)
    calls = [entry for entry in timeline.entries if entry.call]
    assert [entry.key for entry in calls] == [f"call-c{number}" for number in range(1, 7)]
    assert [entry.tone for entry in calls] == ["ok"] * 5 + ["bad"]


def test_an_intent_and_its_end_are_one_entry() -> None:
    posts = [entry for entry in build(events(), None).entries if entry.key.startswith("effect-")]
    assert [(entry.title, entry.url) for entry in posts] == [("Posted to Slack #inc-4711", investigation.POST_URL)]


def test_a_budget_that_is_used_up_is_said() -> None:
    data: dict[str, object] = {"limit": "day_tokens", "allowed": 200000.0, "used": 198500.0, "wanted": 9000.0}
    (entry,) = build([event(RunEventType.BUDGET_EXHAUSTED, data)], None).entries
    assert (entry.tone, entry.title) == ("warn", "Budget used up: the offline model goes on")
    assert entry.detail == "day_tokens: 198,500 of 200,000 used, the next request may take 9,000"


def test_what_of_an_mcp_server_is_used_and_what_is_not_is_said() -> None:
    offered: dict[str, object] = {
        "server": "books",
        "tools": [{"tool": "search", "name": "books_search"}],
        "withheld": [{"tool": "delete", "code": "not_read_only", "reason": "It does not declare that it only reads."}],
        "away": None,
    }
    away: dict[str, object] = {"server": "ops", "away": {"code": "mcp_timed_out", "detail": "It did not answer."}}
    listed = [event(RunEventType.MCP_LISTED, offered), event(RunEventType.MCP_LISTED, away, 2)]
    books, ops = build(listed, None).entries
    assert (books.tone, books.detail) == ("warn", "1 of 2 listed tools offered")
    assert books.note == "delete: It does not declare that it only reads."
    assert (ops.tone, ops.title) == ("warn", "MCP server ops is away: the run goes on without it")
    assert [describe(one).split("mcp.listed")[1].strip() for one in listed] == [
        "books offers 1 of 2 listed tools, not delete (not_read_only)",
        "ops is away (mcp_timed_out): the run goes on without it",
    ]


def test_calls_know_which_evidence_rests_on_them() -> None:
    """Also where the answer is on the timeline only: the run's own record follows a moment later."""
    for answer in (None, investigation.answer(RUN)):
        cited = {key: call.cited_by for key, call in build(events(), answer).calls.items() if call.cited_by}
        assert cited == {"c1": (1,), "c3": (2,), "c5": (3,), "c4": (4,)}


def test_following_live_gives_the_same_entries_as_reading_the_whole() -> None:
    live = Timeline(investigation.evidence())
    changed = [live.add(one).key for one in events()]
    whole = build(events(), None)
    assert [entry.key for entry in live.entries] == [entry.key for entry in whole.entries]
    assert list(dict.fromkeys(changed)) == [entry.key for entry in live.entries]
    assert live.finished
    assert live.last_seq == len(events())


def test_a_call_without_its_return_is_running() -> None:
    last = build(events(finished=False), None).entries[-1]
    assert (last.key, last.detail, last.tone) == ("call-c3", "running", "live")


def test_a_return_without_its_call_is_shown_all_the_same() -> None:
    data = {"tool_call_id": "c9", "tool": "search_logs", "result": {"lines": 3}, "is_error": False}
    [entry] = build([event(RunEventType.TOOL_RETURNED, data)], None).entries
    assert entry.call is not None
    assert entry.call.duration_ms is None


@pytest.mark.parametrize("kind", list(RunEventType))
def test_an_event_without_its_data_is_no_reason_to_fail(kind: RunEventType) -> None:
    [entry] = build([event(kind, {})], None).entries
    assert entry.title or entry.call


def test_an_answer_of_another_release_waits_for_the_record() -> None:
    timeline = build([event(RunEventType.ANSWER_READY, {"root_cause": {"new": "shape"}})], None)
    assert timeline.answer is None
    assert timeline.entries[0].title == "Answer ready"


def test_anchors_are_plain_words() -> None:
    assert call_anchor("c1") == "call-c1"
    hostile = call_anchor('c1" onclick="x')
    assert hostile.removeprefix("call-").isalnum()
    assert hostile != call_anchor('c1" onclick="y')


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://example.com/x", True),
        ("http://127.0.0.1:8090/x", True),
        ("HTTPS://example.com", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//example.com", False),
        (None, False),
        (7, False),
    ],
)
def test_only_web_addresses_become_links(address: object, kept: bool) -> None:
    assert (web_address(address) is not None) == kept
