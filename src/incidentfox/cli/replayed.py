"""A replay for a terminal: each tool call with equal or different, the first difference, the verdict."""

from __future__ import annotations

from incidentfox.cli.output import console
from incidentfox.contracts.replay import Difference, Replay

_SHOWN_ARGUMENTS = 60


def print_replay(replay: Replay) -> None:
    """Prints what a replay found."""
    for call in replay.calls:
        arguments = call.arguments if len(call.arguments) <= _SHOWN_ARGUMENTS else call.arguments[:59] + "…"
        verdict = "equal" if call.difference is None else "DIFFERENT"
        line = f"{call.tool_call_id:<9} {call.tool:<18} {verdict:<10} {call.result_bytes:>7} bytes  {arguments}"
        console.print(line, markup=False, soft_wrap=True, style=None if call.difference is None else "red")
    first = next((call.difference for call in replay.calls if call.difference is not None), None)
    if first is not None:
        _print_difference("the first difference", first)
    if replay.answer_difference is not None:
        _print_difference("the answer differs", replay.answer_difference)
    if replay.ended is not None:
        console.print(f"ended with {replay.ended}", markup=False, soft_wrap=True)
    words = "equal to what is on record, byte for byte" if replay.equal else "NOT what is on record"
    counted = f"{len(replay.calls)} tool calls, {replay.model_responses} model responses"
    console.print(f"{replay.run_id}: {words} ({counted})", markup=False, soft_wrap=True)


def _print_difference(title: str, difference: Difference) -> None:
    console.print(f"{title}: at {difference.pointer or '/'}", markup=False, soft_wrap=True)
    console.print(f"  recorded  {difference.recorded}", markup=False, soft_wrap=True)
    console.print(f"  replayed  {difference.replayed}", markup=False, soft_wrap=True)
