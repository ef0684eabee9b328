"""Replays: a finished run once more, from what is on record, with nothing outside asked."""

from __future__ import annotations

from incidentfox.contracts.model import WireModel


class Difference(WireModel):
    """Where two JSON values differ first. `pointer` is a JSON pointer (RFC 6901); the two are JSON text, cut short."""

    pointer: str
    recorded: str
    replayed: str


class ReplayedCall(WireModel):
    """One tool call, as it was and as it is. `difference` is None where the two are equal byte for byte (RFC 8785)."""

    tool_call_id: str
    tool: str
    arguments: str
    is_error: bool
    result_bytes: int
    difference: Difference | None


class Replay(WireModel):
    """What a replay found. `equal`: every tool call, its order and result, and the answer are what they were.

    `ended` says why the replay stopped before an answer, where the recorded run has none either or the two went apart.
    """

    run_id: str
    equal: bool
    calls: tuple[ReplayedCall, ...]
    model_responses: int
    answer_difference: Difference | None
    ended: str | None = None
