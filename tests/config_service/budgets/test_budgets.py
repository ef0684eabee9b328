"""Hard budgets: reserved before, settled after, and never exceeded, however many ask at once."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, new_run

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.budgets import Reservation, ReserveBudget, SettleBudget, TeamBudget
from incidentfox.contracts.permissions import SERVICE_PERMISSIONS, Permission
from incidentfox.contracts.runs import FinishRun, RunStatus
from incidentfox.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

TEAM = "checkout"


class Ledger:
    """The ledger of one team, as its agent uses it."""

    def __init__(self, service: Service, tenants: Tenants) -> None:
        self.service, self.tenants = service, tenants
        self.agent: ConfigServiceClient = service.as_service("agent")
        self.admin = service.with_token(tenants.admin)
        self.tenant = Tenant(tenants.org, TEAM)

    async def limit(self, **budgets: float) -> None:
        await self.admin.put_configuration(self.tenants.org, TEAM, {"budgets": budgets})

    async def run(self, team: str = TEAM) -> str:
        return (await self.service.as_service("orchestrator").create_run(self.tenants.org, new_run(team))).run_id

    async def reserve(
        self, run_id: str, tokens: int, call: str = "c1", attempt: str = "a", usd: str | None = "0"
    ) -> Reservation:
        wanted = ReserveBudget(call=call, attempt=attempt, tokens=tokens, usd=None if usd is None else Decimal(usd))
        return await self.agent.reserve_budget(self.tenant, run_id, wanted)

    async def settle(self, run_id: str, tokens: int, call: str = "c1", usd: str = "0") -> None:
        await self.agent.settle_budget(self.tenant, run_id, SettleBudget(call=call, tokens=tokens, usd=Decimal(usd)))

    async def today(self) -> TeamBudget:
        return await self.admin.team_budget(self.tenants.org, TEAM)


@pytest.fixture
def ledger(service: Service, tenants: Tenants) -> Ledger:
    return Ledger(service, tenants)


async def test_what_is_reserved_counts_until_it_is_settled(ledger: Ledger) -> None:
    await ledger.limit(run_tokens=1000)
    run_id = await ledger.run()
    assert (await ledger.reserve(run_id, 900)).granted
    refused = await ledger.reserve(run_id, 200, "c2")
    assert not refused.granted
    assert refused.exceeded is not None
    assert (refused.exceeded.limit, refused.exceeded.allowed, refused.exceeded.used, refused.exceeded.wanted) == (
        "run_tokens", 1000, 900, 200,
    )  # fmt: skip
    await ledger.settle(run_id, 300)
    assert (await ledger.reserve(run_id, 700, "c2")).granted
    assert not (await ledger.reserve(run_id, 1, "c3")).granted
    today = await ledger.today()
    assert (today.spent_tokens, today.reserved_tokens, today.limits.run_tokens) == (300, 700, 1000)


async def test_concurrent_runs_never_exceed_the_day(ledger: Ledger) -> None:
    await ledger.limit(day_tokens=1000, day_usd=0.5)
    runs = [await ledger.run() for _ in range(12)]
    granted: list[str] = []

    async def spend(run_id: str) -> None:
        for number in range(3):
            if (await ledger.reserve(run_id, 90, f"c{number}", usd="0.02")).granted:
                granted.append(run_id)
                await ledger.settle(run_id, 90, f"c{number}", "0.02")

    async with anyio.create_task_group() as group:
        for run_id in runs:
            group.start_soon(spend, run_id)
    assert len(granted) == 11
    today = await ledger.today()
    assert (today.spent_tokens, today.reserved_tokens) == (990, 0)
    assert today.spent_usd == pytest.approx(0.22)


async def test_concurrent_reservations_alone_never_exceed_the_limit(ledger: Ledger) -> None:
    await ledger.limit(day_usd=1.0)
    runs = [await ledger.run() for _ in range(10)]
    granted: list[bool] = []

    async def ask(run_id: str) -> None:
        granted.append((await ledger.reserve(run_id, 1, usd="0.3")).granted)

    async with anyio.create_task_group() as group:
        for run_id in runs:
            group.start_soon(ask, run_id)
    assert sum(granted) == 3


async def test_a_retried_step_neither_reserves_nor_settles_twice(ledger: Ledger) -> None:
    await ledger.limit(run_tokens=1000)
    run_id = await ledger.run()
    for _ in range(3):
        assert (await ledger.reserve(run_id, 600)).granted
    assert (await ledger.today()).reserved_tokens == 600
    for _ in range(3):
        await ledger.settle(run_id, 250)
    await ledger.settle(run_id, 999)
    assert (await ledger.reserve(run_id, 600)).granted
    today = await ledger.today()
    assert (today.spent_tokens, today.reserved_tokens) == (250, 0)


async def test_an_attempt_that_never_reported_counts_in_full(ledger: Ledger) -> None:
    await ledger.limit(run_tokens=1000)
    run_id = await ledger.run()
    assert (await ledger.reserve(run_id, 400, attempt="a")).granted
    assert (await ledger.reserve(run_id, 400, attempt="b")).granted
    today = await ledger.today()
    assert (today.spent_tokens, today.reserved_tokens) == (400, 400)
    assert not (await ledger.reserve(run_id, 400, attempt="c")).granted
    assert (await ledger.today()).spent_tokens == 800


async def test_what_a_dead_run_may_have_spent_stays_counted(ledger: Ledger) -> None:
    await ledger.limit(day_tokens=1000)
    dead, other = await ledger.run(), await ledger.run()
    assert (await ledger.reserve(dead, 600)).granted
    await ledger.agent.finish_run(ledger.tenant, dead, FinishRun(status=RunStatus.FAILED, error="x: y"))
    as_superuser(
        ledger.service.database,
        f"UPDATE config_budget_reservations SET reserved_at = now() - interval '4 hours' WHERE run_id = '{dead}'",
    )
    assert not (await ledger.reserve(other, 401)).granted
    # A late report says what it was in truth.
    await ledger.settle(dead, 150)
    today = await ledger.today()
    assert (today.spent_tokens, today.reserved_tokens) == (150, 0)
    assert (await ledger.reserve(other, 850, "c2")).granted
    with pytest.raises(Conflict):
        await ledger.reserve(dead, 1, "c2")


async def test_a_new_day_is_a_new_budget_and_the_run_s_own_goes_on(ledger: Ledger) -> None:
    await ledger.limit(day_tokens=1000, run_tokens=1500)
    run_id = await ledger.run()
    assert (await ledger.reserve(run_id, 1000)).granted
    await ledger.settle(run_id, 1000)
    assert not (await ledger.reserve(run_id, 400, "c2")).granted
    as_superuser(
        ledger.service.database, f"UPDATE config_budget_reservations SET day = day - 1 WHERE run_id = '{run_id}'"
    )
    assert (await ledger.reserve(run_id, 400, "c2")).granted
    refused = await ledger.reserve(run_id, 200, "c3")
    assert refused.exceeded is not None
    assert refused.exceeded.limit == "run_tokens"


async def test_without_a_price_no_limit_on_money_can_hold(ledger: Ledger) -> None:
    run_id = await ledger.run()
    assert (await ledger.reserve(run_id, 100, usd=None)).granted
    await ledger.limit(run_usd=100.0)
    refused = await ledger.reserve(run_id, 100, "c2", usd=None)
    assert refused.exceeded is not None
    assert (refused.exceeded.limit, refused.exceeded.wanted) == ("run_usd", None)


async def test_a_lowered_limit_holds_from_the_next_call_on(ledger: Ledger) -> None:
    run_id = await ledger.run()
    assert (await ledger.reserve(run_id, 5000)).granted
    await ledger.limit(run_tokens=100)
    assert not (await ledger.reserve(run_id, 50, "c2")).granted


async def test_only_the_agent_spends_and_only_for_its_team(ledger: Ledger, service: Service, tenants: Tenants) -> None:
    assert [name for name, may in SERVICE_PERMISSIONS.items() if Permission.BUDGETS_SPEND in may] == ["agent"]
    others = await ledger.run("payments")
    with pytest.raises(NotFound):
        await ledger.reserve(others, 1)
    wanted = ReserveBudget(call="c1", attempt="a", tokens=1, usd=None)
    with pytest.raises(Forbidden):
        await service.as_service("orchestrator").reserve_budget(ledger.tenant, await ledger.run(), wanted)
    assert (await service.with_token(tenants.teams[TEAM]).team_budget(tenants.org, TEAM)).spent_tokens == 0
    with pytest.raises(NotFound):
        await service.with_token(tenants.teams["payments"]).team_budget(tenants.org, TEAM)


@pytest.mark.parametrize(
    "body",
    [
        b'{"call": "C 1", "attempt": "a", "tokens": 1, "usd": null}',
        b'{"call": "c1", "attempt": "a", "tokens": -1, "usd": null}',
        b'{"call": "c1", "attempt": "a", "tokens": 1, "usd": "-0.1"}',
        b'{"call": "c1", "attempt": "a", "tokens": 1, "usd": "NaN"}',
        b'{"call": "c1", "attempt": "a", "tokens": 1e30, "usd": null}',
        b'{"call": "c1", "attempt": "a", "tokens": 1}',
    ],
)
async def test_bad_reservations_are_refused(ledger: Ledger, service: Service, body: bytes) -> None:
    run_id = await ledger.run()
    token = service.service_token("agent", Permission.BUDGETS_SPEND, ledger.tenants.org, TEAM)
    path = f"/api/v1/internal/runs/{run_id}/budget/reserve"
    response = await service.call("POST", path, token, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (Invalid.status, 422), response.text
    assert (await ledger.today()).reserved_tokens == 0
