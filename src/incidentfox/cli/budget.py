"""`incidentfox budget …`: what a team may spend on its models, and what it has spent today."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from incidentfox.cli.output import Json, console
from incidentfox.cli.session import Session, call
from incidentfox.contracts.budgets import TeamBudget

app = typer.Typer(help="Limits on what a team's models may cost, and today's use of them.")


@app.callback()
def budget() -> None:
    """Model budgets."""


@app.command("show")
def show_budget(team: Annotated[str, typer.Argument(help="The team.")], as_json: Json = False) -> None:
    """Print a team's limits and what it has spent of them today. Set limits with `config patch`, at `budgets`."""

    async def fetch(session: Session) -> TeamBudget:
        return await session.config_service.team_budget(session.org_id, team)

    found = call(fetch)
    if as_json:
        print(found.model_dump_json(indent=2))
        return
    limits = found.limits
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in (f"{found.day} UTC", "SPENT", "RESERVED", "DAY LIMIT", "RUN LIMIT"):
        table.add_column(title, no_wrap=True)
    tokens = (found.spent_tokens, found.reserved_tokens, limits.day_tokens, limits.run_tokens)
    dollars = (found.spent_usd, found.reserved_usd, limits.day_usd, limits.run_usd)
    table.add_row("tokens", *("none" if count is None else f"{count:,}" for count in tokens))
    table.add_row("US dollars", *("none" if amount is None else f"{amount:.4f}" for amount in dollars))
    console.print(table)
