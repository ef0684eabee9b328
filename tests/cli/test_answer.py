"""An answer in the terminal."""

from __future__ import annotations

from tests.console.investigation import answer

from incidentfox.cli.answer import print_answer
from incidentfox.cli.output import console
from incidentfox.contracts.answer import NextStep


def test_a_quoted_runbook_stands_below_the_verdict_as_plain_text() -> None:
    step = NextStep(
        claim="Orders › Rolling back",
        tool_call_id="call_6",
        excerpt="1. [bold]Roll back.\n2. Watch.",
        url="https://w.test",
    )
    with console.capture() as captured:
        print_answer(answer("run_1").model_copy(update={"next_steps": (step,)}))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    start = lines.index("Runbook     Orders › Rolling back  [call_6]")
    assert lines[start + 1 : start + 4] == ["    1. [bold]Roll back.", "    2. Watch.", "    https://w.test"]
    assert lines.index("Evidence") > start
