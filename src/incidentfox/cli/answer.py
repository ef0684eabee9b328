"""An answer in the terminal: the same object that API, Slack and console show."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from incidentfox.cli.output import console
from incidentfox.contracts.answer import Answer
from incidentfox.contracts.runs import Run


def print_run(run: Run) -> None:
    """The run's head and, when there is one, its answer."""
    console.print(Text.assemble((run.run_id, "bold"), f"  {run.status}  team {run.team_node_id}"))
    console.print(Text(run.input.alert.title if run.input.alert else run.input.prompt, style="dim"))
    if run.error:
        console.print(Text(f"error: {run.error}", style="red"))
    if run.answer is not None:
        console.print()
        print_answer(run.answer)


def print_answer(answer: Answer) -> None:
    """Root cause, evidence, next step, suspects."""
    _print_verdict(answer)
    for step in answer.next_steps:
        console.print(Text.assemble(("\nRunbook     ", "bold"), step.claim, (f"  [{step.tool_call_id}]", "dim")))
        for line in (*step.excerpt.splitlines(), *([step.url] if step.url else [])):
            console.print(Text(f"    {line}", style="dim"))
    if answer.evidence:
        console.print(Text("\nEvidence", style="bold"))
        for item in answer.evidence:
            console.print(Text.assemble("  • ", item.claim, (f"  [{item.tool_call_id}] ", "dim")))
            console.print(Text(f"    {item.excerpt}", style="dim"))
    if answer.suspects:
        console.print(Text("\nSuspects", style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for suspect in answer.suspects:
            change = suspect.change[:10] if suspect.change else "-"
            table.add_row(f"  {suspect.score:.2f}", Text(suspect.service), Text(change), Text(suspect.reason))
        console.print(table)
    usage = answer.usage
    if usage.budget_exhausted:
        words = f"\nThe budget {usage.budget_exhausted} was used up: the offline model finished this investigation."
        console.print(Text(words, style="yellow"))
    console.print(
        Text(
            f"\n{usage.requests} model requests, {usage.tool_calls} tool calls, {answer.duration_s:.1f} s, "
            f"configuration {answer.config_hash[:19]}",
            style="dim",
        )
    )


def _print_verdict(answer: Answer) -> None:
    cause = answer.root_cause
    if cause is None:
        console.print(Text("Not enough evidence to name a root cause.", style="bold yellow"))
        return
    change = cause.change or "no change of yours"
    console.print(Text.assemble(("Root cause  ", "bold"), (cause.service, "bold green"), f"  {cause.kind}"))
    console.print(Text.assemble(("Change      ", "bold"), change))
    console.print(Text.assemble(("Summary     ", "bold"), cause.summary))
    console.print(Text.assemble(("Confidence  ", "bold"), f"{answer.confidence:.0%}"))
    if answer.remediation:
        console.print(Text.assemble(("Next step   ", "bold"), answer.remediation))
    if answer.blast_radius:
        console.print(Text.assemble(("Also hit    ", "bold"), ", ".join(answer.blast_radius)))
