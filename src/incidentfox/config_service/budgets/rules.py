"""Which limit a reservation would break. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from incidentfox.contracts.budgets import BudgetLimit, ExceededBudget
from incidentfox.contracts.configuration import Budgets


@dataclass(frozen=True)
class Use:
    """Tokens and US dollars: spent, and held by calls under way."""

    spent_tokens: int
    reserved_tokens: int
    spent_usd: Decimal
    reserved_usd: Decimal

    @property
    def tokens(self) -> int:
        """What counts against a limit on tokens."""
        return self.spent_tokens + self.reserved_tokens

    @property
    def usd(self) -> Decimal:
        """What counts against a limit on money."""
        return self.spent_usd + self.reserved_usd


def exceeded(budgets: Budgets, run: Use, day: Use, tokens: int, usd: Decimal | None) -> ExceededBudget | None:
    """The first limit that would not hold with so much more; None where all do.

    What is reserved counts as spent. With an unknown price no limit on money can hold.
    """
    for limit, allowed, used, wanted in _checks(budgets, run, day, tokens, usd):
        if wanted is None or used + wanted > allowed:
            return ExceededBudget(
                limit=limit,
                allowed=float(allowed),
                used=float(used),
                wanted=None if wanted is None else float(wanted),
            )
    return None


def _checks(
    budgets: Budgets, run: Use, day: Use, tokens: int, usd: Decimal | None
) -> Iterator[tuple[BudgetLimit, Decimal, Decimal, Decimal | None]]:
    """(limit, allowed, used, wanted) of each limit that is set."""
    if budgets.run_tokens is not None:
        yield "run_tokens", Decimal(budgets.run_tokens), Decimal(run.tokens), Decimal(tokens)
    if budgets.day_tokens is not None:
        yield "day_tokens", Decimal(budgets.day_tokens), Decimal(day.tokens), Decimal(tokens)
    if budgets.run_usd is not None:
        yield "run_usd", Decimal(str(budgets.run_usd)), run.usd, usd
    if budgets.day_usd is not None:
        yield "day_usd", Decimal(str(budgets.day_usd)), day.usd, usd
