"""Pure rules of incidents: what an event does to one, and whether it starts a run.

Events are ordered by when they happened at the source (`occurred_at`), not by when they arrived; senders retry and
overtake themselves. An incident has *episodes*: the first begins with it, a further one when it was resolved or
reopened before a trigger. Each episode starts at most one run, however often it is triggered, and a trigger that is
older than a recorded resolve starts none: the incident is over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from incidentfox.orchestrator.webhooks.source import Action

TRIGGERED, ACKNOWLEDGED, RESOLVED = "triggered", "acknowledged", "resolved"

_STATUS = {
    Action.TRIGGER: TRIGGERED,
    Action.ACKNOWLEDGE: ACKNOWLEDGED,
    Action.UNACKNOWLEDGE: TRIGGERED,
    Action.RESOLVE: RESOLVED,
    Action.REOPEN: TRIGGERED,
}


@dataclass(frozen=True)
class IncidentState:
    """What is remembered of an incident's past. The times are the source's."""

    status: str = TRIGGERED
    status_at: datetime | None = None
    resolved_at: datetime | None = None
    """The newest resolve."""
    reopened_at: datetime | None = None
    """The newest reopening."""
    run_triggered_at: datetime | None = None
    """The trigger that started the newest run."""


@dataclass(frozen=True)
class Decision:
    """What an event comes to: the state after it, and whether it starts a run; if not, why."""

    state: IncidentState
    starts_run: bool
    reason: str | None


def decide(state: IncidentState, action: Action, occurred_at: datetime, *, routed: bool) -> Decision:
    """Applies one event. An event whose team is unknown (`routed` false) starts nothing."""
    after = _advance(state, action, occurred_at)
    if action is not Action.TRIGGER:
        return Decision(after, False, f"recorded:{action}")
    if not routed:
        return Decision(after, False, "unrouted")
    if state.resolved_at is not None and occurred_at < state.resolved_at:
        return Decision(after, False, "resolved_before_trigger")
    if state.run_triggered_at is not None and not _new_episode(state, occurred_at):
        return Decision(after, False, "incident_has_run")
    return Decision(replace(after, run_triggered_at=occurred_at), True, None)


def _new_episode(state: IncidentState, occurred_at: datetime) -> bool:
    """Whether something ended the episode of the newest run before this trigger.

    Sources with coarse clocks give an end and its trigger the same time. Then only a resolve that was told last counts:
    else one end would begin an episode for every trigger of that instant.
    """
    began = state.run_triggered_at
    assert began is not None
    if began == state.resolved_at and state.status == RESOLVED:
        return True
    return any(end is not None and began < end <= occurred_at for end in (state.resolved_at, state.reopened_at))


def _advance(state: IncidentState, action: Action, occurred_at: datetime) -> IncidentState:
    if action is Action.RESOLVE:
        state = replace(state, resolved_at=_newest(state.resolved_at, occurred_at))
    if action is Action.REOPEN:
        state = replace(state, reopened_at=_newest(state.reopened_at, occurred_at))
    status = _STATUS.get(action)
    if status is None or (state.status_at is not None and occurred_at < state.status_at):
        return state
    return replace(state, status=status, status_at=occurred_at)


def _newest(known: datetime | None, occurred_at: datetime) -> datetime:
    return occurred_at if known is None else max(known, occurred_at)
