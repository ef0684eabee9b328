"""Budgets on model use: reserved before each model call, settled after it. The limits are `configuration.Budgets`."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from incidentfox.contracts.configuration import Budgets
from incidentfox.contracts.model import NodeId, OrgId, WireModel

BudgetLimit = Literal["run_tokens", "day_tokens", "run_usd", "day_usd"]
"""The name of a limit, as in the configuration."""

CallId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Tokens = Annotated[int, Field(ge=0, le=1_000_000_000)]
Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class ReserveBudget(WireModel):
    """Asks for the most that one attempt of a model call may cost. Idempotent on (run, `call`, `attempt`).

    Another attempt of the same call counts the one before as spent in full, unless that was settled: nobody knows what
    came of it. `usd` null: the model's price is not known.
    """

    call: CallId
    attempt: CallId
    tokens: Tokens
    usd: Usd | None


class ExceededBudget(WireModel):
    """The limit that a reservation would break. `wanted` null: the price is not known, and the limit is on money."""

    limit: BudgetLimit
    allowed: float
    used: float
    wanted: float | None


class Reservation(WireModel):
    """Whether the call may be made; where not, why. A refusal holds nothing."""

    granted: bool
    exceeded: ExceededBudget | None = None


class SettleBudget(WireModel):
    """Reports what a call cost. Settles what is open of it; again, or with nothing open, it changes nothing."""

    call: CallId
    tokens: Tokens
    usd: Usd | None


class TeamBudget(WireModel):
    """A team's use of its models on one day (UTC). Reserved is what calls under way may still cost."""

    org_id: OrgId
    team_node_id: NodeId
    day: date
    limits: Budgets
    spent_tokens: int
    reserved_tokens: int
    spent_usd: float
    reserved_usd: float
