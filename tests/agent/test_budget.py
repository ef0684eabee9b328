"""Whole runs with a model that costs something: what it is shown, what is counted, and what happens at the limit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.function import FunctionModel
from starlette.responses import Response
from tests.agent.conftest import AgentProcess, Surroundings
from tests.agent.model_twin import ModelTwin, Turn, answer, cut, hanging, refusal
from tests.agent.scenes import ORG, TEAM, alert_of, asked, document, planner, recorded, small_incident
from tests.agent.twins import serve

from incidentfox.agent import Runner, provider
from incidentfox.agent.journal import Body
from incidentfox.agent.provider import ModelBusy, Provider
from incidentfox.agent.runner import investigate
from incidentfox.contracts.budgets import TeamBudget
from incidentfox.contracts.runs import Run, RunStatus
from incidentfox.kernel.durable import NO_RETRY, Retry
from incidentfox.kernel.errors import Temporary
from incidentfox.kernel.ids import new_id

pytestmark = pytest.mark.anyio

KEY = "sk-test-0123456789abcdefghij"
PRICES = {"input_per_mtok_usd": 10.0, "output_per_mtok_usd": 50.0}
LOOK = answer(calls=[("rank_anomalies", {"limit": 5})], usage=(1000, 50))
REPORT = answer(
    calls=[
        (
            "write_report",
            {
                "root_cause": {"service": "orders", "change": None, "kind": "unknown", "summary": "It fails."},
                "confidence": 0.6,
                "evidence": [
                    {"claim": "errors rose", "tool_call_id": "call_1", "excerpt": "http_5xx_ratio"},
                    {"claim": "the moon is full", "tool_call_id": "call_1", "excerpt": "full moon"},
                ],
            },
        )
    ],
    usage=(2000, 100),
)


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    """These requests go to a server of the test's own."""
    with models.override_allow_model_requests(True):
        yield


def investigates(body: dict[str, Any]) -> Response:
    """Looks once, then reports: for runs that go on at the same time."""
    return (REPORT if any(message["role"] == "tool" for message in body["messages"]) else LOOK)(body)


@asynccontextmanager
async def team(
    surroundings: Surroundings, script: list[Turn], budgets: dict[str, float] | None = None, **model: Any
) -> AsyncIterator[ModelTwin]:
    """The team with this model and these budgets."""
    twin = ModelTwin(script)
    await surroundings.put_secret("model-key", KEY)
    async with serve(twin.app()) as url:
        configured = {
            "provider": "openai_compatible",
            "name": "twin-1",
            "base_url": f"{url}/v1",
            "api_key": {"$secret": "model-key"},
            "prices": PRICES,
            "max_output_tokens": 500,
            **model,
        }
        await surroundings.configure(document(models={"default": configured}, budgets=budgets or {}))
        yield twin


async def new_run(surroundings: Surroundings) -> str:
    recording_id = await surroundings.upload(small_incident())
    return await surroundings.add_run(asked(alert_of(small_incident()), recording_id=recording_id))


async def carried_out(surroundings: Surroundings) -> Run:
    run_id = await new_run(surroundings)
    async with surroundings.agent() as url:
        return await surroundings.client(url).run(surroundings.execute(run_id))


async def today(surroundings: Surroundings) -> TeamBudget:
    return await surroundings.config.team_budget(ORG, TEAM)


async def test_a_run_is_counted_priced_and_keeps_the_key_to_itself(surroundings: Surroundings) -> None:
    async with team(surroundings, [LOOK, REPORT]) as twin:
        run = await carried_out(surroundings)
    assert run.status is RunStatus.SUCCEEDED
    assert run.answer is not None
    assert [evidence.claim for evidence in run.answer.evidence] == ["errors rose"]
    assert run.answer.dropped_claims == 1
    assert (run.usage.requests, run.usage.input_tokens, run.usage.output_tokens) == (2, 3000, 150)
    assert run.usage.cost_usd == pytest.approx(3000 * 10e-6 + 150 * 50e-6)
    assert run.usage.budget_exhausted is None
    used = await today(surroundings)
    assert (used.spent_tokens, used.reserved_tokens) == (3150, 0)
    assert used.spent_usd == pytest.approx(run.usage.cost_usd)
    assert {one["authorization"] for one in twin.headers} == {f"Bearer {KEY}"}
    everything = str(await surroundings.events(run.run_id)) + run.model_dump_json() + json.dumps(twin.requests)
    assert KEY not in everything
    system, question = twin.requests[0]["messages"]
    assert "on-call engineer" in system["content"]
    assert "<untrusted " in question["content"]
    assert twin.requests[1]["messages"][-1]["content"].startswith('<untrusted source="tool:rank_anomalies"')
    resolved = await surroundings.config.audit_events(ORG, action="secret.resolved")
    assert len(resolved.items) == 1, "the key is resolved once for the run"


async def test_at_the_limit_the_offline_model_writes_the_best_answer(surroundings: Surroundings) -> None:
    # Room for the first request, whose bound is a token for each of its bytes, and not for a second beside it.
    look = answer(calls=[("rank_anomalies", {"limit": 80})], usage=(9000, 400))
    async with team(surroundings, [look, REPORT], {"run_tokens": 16_000}) as twin:
        run = await carried_out(surroundings)
    assert len(twin.requests) == 1
    assert run.status is RunStatus.SUCCEEDED
    assert run.answer is not None
    assert run.answer.root_cause is not None
    assert run.answer.root_cause.change == "a" * 40
    assert run.usage.budget_exhausted == run.answer.usage.budget_exhausted == "run_tokens"
    assert run.usage.input_tokens + run.usage.output_tokens == 9400
    events = await surroundings.events(run.run_id)
    (exhausted,) = [event.data for event in events if event.type == "budget.exhausted"]
    assert (exhausted["limit"], exhausted["allowed"], exhausted["used"]) == ("run_tokens", 16_000, 9400)
    assert exhausted["used"] + exhausted["wanted"] > exhausted["allowed"]
    assert [event.data["model"] for event in events if event.type == "model.responded"][:2] == ["twin-1", "offline"]
    tools = [event.data["tool"] for event in events if event.type == "tool.called"]
    assert tools.count("rank_anomalies") == 1, "what was gathered is read, not asked for again"


async def test_the_second_attempt_of_a_request_needs_its_own_room(surroundings: Surroundings) -> None:
    async with team(surroundings, [cut(), LOOK, REPORT], {"run_tokens": 16_000}) as twin:
        run = await carried_out(surroundings)
    assert len(twin.requests) == 1
    assert run.status is RunStatus.SUCCEEDED
    assert run.usage.budget_exhausted == "run_tokens"
    used = await today(surroundings)
    assert 8_000 < used.spent_tokens <= 16_000
    assert used.reserved_tokens == 0


async def test_with_nothing_left_at_all_the_run_still_answers(surroundings: Surroundings) -> None:
    async with team(surroundings, [LOOK], {"day_usd": 0.0001}) as twin:
        run = await carried_out(surroundings)
    assert not twin.requests
    assert run.answer is not None
    assert run.answer.root_cause is not None
    assert (run.usage.budget_exhausted, run.usage.cost_usd) == ("day_usd", 0.0)


async def test_concurrent_runs_never_exceed_the_day_together(surroundings: Surroundings) -> None:
    allowed_tokens = 40_000
    async with team(surroundings, [investigates], {"day_tokens": allowed_tokens}), surroundings.agent() as url:
        client = surroundings.client(url)
        runs = [await new_run(surroundings) for _ in range(8)]
        finished = await asyncio.gather(*(client.run(surroundings.execute(run_id)) for run_id in runs))
        more = [await new_run(surroundings) for _ in range(8)]
        finished += await asyncio.gather(*(client.run(surroundings.execute(run_id)) for run_id in more))
    assert {run.status for run in finished} == {RunStatus.SUCCEEDED}
    spent = sum(run.usage.input_tokens + run.usage.output_tokens for run in finished)
    used = await today(surroundings)
    assert used.spent_tokens == spent
    assert 0 < spent <= allowed_tokens
    assert {run.usage.budget_exhausted for run in finished} == {None, "day_tokens"}


async def test_a_request_that_was_turned_away_costs_nothing(surroundings: Surroundings) -> None:
    async with team(surroundings, [refusal(429, "slow down", retry_after="0"), LOOK, refusal(503, "busy"), REPORT]):
        run = await carried_out(surroundings)
    assert run.status is RunStatus.SUCCEEDED
    used = await today(surroundings)
    assert (used.spent_tokens, used.reserved_tokens) == (3150, 0)


async def test_a_request_that_broke_off_counts_in_full(surroundings: Surroundings) -> None:
    async with team(surroundings, [cut(), LOOK, REPORT]) as twin:
        run = await carried_out(surroundings)
    assert run.status is RunStatus.SUCCEEDED
    used = await today(surroundings)
    assert used.reserved_tokens == 0
    assert used.spent_tokens >= 3150 + len(json.dumps(twin.requests[0]["messages"]))


@pytest.mark.parametrize(
    ("turns", "code", "spent"),
    [
        ([refusal(401, f"Incorrect API key provided: {KEY}")], "model_key_refused", False),
        ([refusal(404, "no such model", "model_not_found")], "model_not_found", False),
        ([LOOK, refusal(400, "too long", "context_length_exceeded")], "model_context_full", True),
        ([answer(calls=[("rank_anomalies", '{"limit": ')])], "malformed_tool_call", True),
    ],
)
async def test_a_model_that_cannot_be_used_ends_the_run_clearly(
    surroundings: Surroundings, turns: list[Turn], code: str, spent: bool
) -> None:
    async with team(surroundings, turns) as twin:
        run = await carried_out(surroundings)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.startswith(f"{code}: ")
    assert KEY not in run.error
    used = await today(surroundings)
    assert used.reserved_tokens == 0
    assert bool(used.spent_tokens) is spent
    if code == "malformed_tool_call":
        assert len(twin.requests) == 3
        assert "json_invalid" in twin.requests[-1]["messages"][-1]["content"]


async def test_a_budget_in_money_needs_a_price(surroundings: Surroundings) -> None:
    async with team(surroundings, [LOOK, REPORT], {"day_usd": 5.0}, prices=None) as twin:
        run = await carried_out(surroundings)
    assert run.error is not None
    assert run.error.startswith("unknown_price: ")
    assert not twin.requests


async def test_a_missing_key_says_which_secret(surroundings: Surroundings) -> None:
    async with team(surroundings, [LOOK], api_key={"$secret": "nowhere"}) as twin:
        run = await carried_out(surroundings)
    assert run.error is not None
    assert run.error.startswith("secret_missing: ")
    assert "nowhere" in run.error
    assert not twin.requests


async def test_after_a_crash_no_answered_request_is_repeated_and_the_lost_one_is_counted(
    surroundings: Surroundings, agent_process: Callable[[], AgentProcess]
) -> None:
    never = asyncio.Event()
    async with team(surroundings, [LOOK, hanging(never), REPORT]) as twin:
        run_id = await new_run(surroundings)
        first, second = agent_process(), agent_process()
        await first.start()
        await surroundings.client(first.url).start(surroundings.execute(run_id))
        async with asyncio.timeout(30):
            while len(twin.requests) < 2:
                await asyncio.sleep(0.02)
        await first.kill()
        never.set()
        await second.start()
        run = await surroundings.finished(run_id)
    assert run.status is RunStatus.SUCCEEDED
    assert len(twin.requests) == 3
    assert twin.requests[1]["messages"] == twin.requests[2]["messages"]
    used = await today(surroundings)
    assert used.reserved_tokens == 0
    assert used.spent_tokens > 3150, "what the vendor may have billed for the lost request"
    assert KEY not in first.log.read_text() + second.log.read_text()


async def test_without_a_service_a_model_that_costs_is_refused() -> None:
    costly = {"default": {"provider": "openai_compatible", "name": "gpt-4o"}}
    events = [
        event
        async for event in Runner.stream(
            planner(recorded(small_incident()), document(models=costly)), asked(alert_of(small_incident()))
        )
    ]
    assert events[-1].data["error"].startswith("config_service_required: ")


async def test_at_the_limit_of_a_helper_the_whole_run_goes_on_offline(
    surroundings: Surroundings,
) -> None:
    asks = answer(calls=[("ask_helper", {"question": "What do the metrics say?"})], usage=(4000, 100))
    looks = answer(calls=[("rank_anomalies", {"limit": 80})], usage=(9000, 400))
    async with team(surroundings, [asks, looks, REPORT], {"run_tokens": 22_000}) as twin:
        models_as_set = (await surroundings.config.effective(ORG, TEAM)).document.models
        base = document().agents["sre"].model_dump(mode="json")
        await surroundings.configure(
            document(
                agents={"sre": {**base, "sub_agents": ["helper"]}, "helper": base},
                models={key: one.model_dump(mode="json", by_alias=True) for key, one in models_as_set.items()},
                budgets={"run_tokens": 22_000},
            )
        )
        run = await carried_out(surroundings)
    assert len(twin.requests) == 2
    assert run.status is RunStatus.SUCCEEDED
    assert run.answer is not None
    assert run.answer.root_cause is not None
    assert run.answer.root_cause.change == "a" * 40
    kinds = await surroundings.kinds(run.run_id)
    assert kinds.count("budget.exhausted") == 1
    assert (await today(surroundings)).spent_tokens == 13_500


class Impatient:
    """A journal that tries again at once and keeps the waits that it was told to take."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def step(self, name: str, body: Body, *, retry: Retry = NO_RETRY) -> Any:
        failures = 0
        while True:
            try:
                return json.loads(json.dumps(await body()))
            except Temporary as failure:
                failures += 1
                if retry.attempts is not None and failures >= retry.attempts:
                    raise
                self.waits.append(retry.delay_s(failures, failure.retry_after_s))


async def test_a_model_that_stays_busy_is_asked_six_times_and_no_sooner_than_it_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked_times = 0

    def busy(*_: Any) -> ModelResponse:
        nonlocal asked_times
        asked_times += 1
        raise ModelBusy("Slow down.", code="model_rate_limited", retry_after_s=17.0)

    scripted = {"scripted": Provider("scripted", "", lambda *_: FunctionModel(busy, model_name="scripted"))}
    monkeypatch.setattr(provider, "known_providers", lambda: scripted)
    made = planner(
        recorded(small_incident()), document(models={"default": {"provider": "scripted", "name": "scripted"}})
    )
    journal = Impatient()
    with pytest.raises(ModelBusy) as caught:
        async for _ in investigate(made, asked(alert_of(small_incident())), new_id("run"), journal):
            pass
    assert caught.value.code == "model_rate_limited"
    assert asked_times == 6
    assert journal.waits == [17.0] * 5
