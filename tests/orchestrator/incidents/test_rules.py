"""What events do to an incident, in whatever order they arrive."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidentfox.orchestrator.incidents.rules import IncidentState, decide
from incidentfox.orchestrator.webhooks.source import Action

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def tell(*events: tuple[Action, int]) -> tuple[IncidentState, list[int], list[str | None]]:
    """The state in the end, the minutes whose trigger started a run, and the reasons of all."""
    state, runs, reasons = IncidentState(), [], []
    for action, minute in events:
        decision = decide(state, action, at(minute), routed=True)
        state = decision.state
        reasons.append(decision.reason)
        if decision.starts_run:
            runs.append(minute)
    return state, runs, reasons


def test_a_trigger_starts_a_run_and_the_next_one_does_not() -> None:
    _, runs, reasons = tell((Action.TRIGGER, 0), (Action.TRIGGER, 1))
    assert (runs, reasons) == ([0], [None, "incident_has_run"])


def test_a_trigger_older_than_a_resolve_starts_nothing() -> None:
    state, runs, reasons = tell((Action.RESOLVE, 5), (Action.TRIGGER, 0))
    assert (state.status, runs, reasons[1]) == ("resolved", [], "resolved_before_trigger")


@pytest.mark.parametrize("between", [Action.RESOLVE, Action.REOPEN])
def test_a_trigger_after_a_new_episode_began_starts_another_run(between) -> None:
    _, runs, _ = tell((Action.TRIGGER, 0), (between, 1), (Action.TRIGGER, 2), (Action.TRIGGER, 3))
    assert runs == [0, 2]


def test_one_resolve_begins_one_episode_even_when_everything_happens_in_one_instant() -> None:
    _, runs, _ = tell((Action.TRIGGER, 0), (Action.RESOLVE, 0), (Action.TRIGGER, 0), (Action.TRIGGER, 0))
    assert len(runs) == 2
    _, runs, _ = tell((Action.TRIGGER, 0), (Action.RESOLVE, 2), (Action.TRIGGER, 2), (Action.TRIGGER, 4))
    assert runs == [0, 2]
    _, runs, _ = tell((Action.TRIGGER, 0), (Action.RESOLVE, 0), (Action.TRIGGER, 2))
    assert runs == [0, 2]


def test_an_acknowledgement_is_no_new_episode() -> None:
    state, runs, _ = tell((Action.TRIGGER, 0), (Action.ACKNOWLEDGE, 1), (Action.TRIGGER, 2), (Action.RECORD, 3))
    assert (state.status, runs) == ("triggered", [0])


def test_a_late_acknowledgement_does_not_reopen_what_is_resolved() -> None:
    state, _, _ = tell((Action.TRIGGER, 0), (Action.RESOLVE, 2), (Action.ACKNOWLEDGE, 1), (Action.UNACKNOWLEDGE, 1))
    assert state.status == "resolved"


def test_an_unrouted_trigger_starts_nothing_and_does_not_use_the_episode_up() -> None:
    decision = decide(IncidentState(), Action.TRIGGER, at(0), routed=False)
    assert (decision.starts_run, decision.reason) == (False, "unrouted")
    assert decide(decision.state, Action.TRIGGER, at(1), routed=True).starts_run


def test_the_status_in_the_end_is_the_newest_event_s_in_every_order() -> None:
    story = [(Action.TRIGGER, 0), (Action.ACKNOWLEDGE, 1), (Action.RESOLVE, 2), (Action.REOPEN, 3)]
    assert {tell(*order)[0].status for order in permutations(story)} == {"triggered"}
    assert {tell(*order)[0].status for order in permutations(story[:3])} == {"resolved"}


@given(
    st.lists(st.tuples(st.sampled_from([a for a in Action if a is not Action.IGNORE]), st.integers(0, 20)), max_size=30)
)
def test_each_episode_has_one_run_at_most(events) -> None:
    _, runs, _ = tell(*events)
    ends = sum(1 for action, _ in events if action in (Action.RESOLVE, Action.REOPEN))
    assert len(runs) <= ends + 1
