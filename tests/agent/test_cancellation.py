"""A run that somebody cancels stops, wherever it is, and posts nothing."""

from __future__ import annotations

import asyncio

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from tests.agent.conftest import Surroundings
from tests.agent.scenes import ORG, alert_of, asked, document, small_incident
from tests.agent.twins import SlackTwin, serve

from incidentfox.agent import cancellation, provider
from incidentfox.agent.cancellation import unless_over
from incidentfox.agent.provider import Provider
from incidentfox.contracts.runs import CancelRun, RunStatus
from incidentfox.kernel.errors import Unavailable

pytestmark = pytest.mark.anyio


async def never() -> bool:
    return False


async def test_work_that_nobody_ends_is_done_and_its_failure_is_its_own() -> None:
    async def fail() -> None:
        raise Unavailable("Away.")

    assert await unless_over(asyncio.sleep(0), never, every_s=0.001)
    with pytest.raises(Unavailable):
        await unless_over(fail(), never)


async def test_work_is_stopped_once_it_is_over_and_not_while_nobody_can_tell() -> None:
    answers: list[bool | Unavailable] = [Unavailable("Away."), False, Unavailable("Away."), True]
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def is_over() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    assert not await unless_over(work(), is_over, every_s=0.001)
    assert stopped.is_set()
    assert answers == []


async def test_a_watch_that_breaks_is_no_cancellation() -> None:
    async def breaks() -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await unless_over(asyncio.sleep(60), breaks, every_s=0.001)


async def test_whoever_cancels_the_caller_cancels_the_work() -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.create_task(unless_over(work(), never))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()


async def test_a_run_in_the_middle_of_a_model_request_stops_and_posts_nothing(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinking, stopped = asyncio.Event(), asyncio.Event()

    async def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("rank_anomalies", {})])
        thinking.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    scripted = {"scripted": Provider("scripted", "", lambda *_: FunctionModel(think, model_name="scripted"))}
    monkeypatch.setattr(provider, "known_providers", lambda: scripted)
    monkeypatch.setattr(cancellation, "ASK_EVERY_S", 0.05)
    slack = SlackTwin()
    await surroundings.put_secret("slack", "xoxb-" + "3" * 12)
    async with serve(slack.app()) as slack_url, surroundings.agent() as url:
        integration = {"enabled": True, "bot_token": {"$secret": "slack"}, "base_url": f"{slack_url}/api/"}
        await surroundings.configure(
            document(
                models={"default": {"provider": "scripted", "name": "x"}},
                integrations={"slack": integration},
                destinations={"slack": {"channel": "#incidents"}},
            )
        )
        recording_id = await surroundings.upload(small_incident())
        run_id = await surroundings.add_run(asked(alert_of(small_incident()), recording_id=recording_id))
        waiting = asyncio.create_task(surroundings.client(url).run(surroundings.execute(run_id)))
        await thinking.wait()
        cancelled = await surroundings.config.cancel_run(ORG, run_id, CancelRun(reason="False alarm."))
        await stopped.wait()
        answered = await waiting
    assert answered == cancelled
    assert answered.status is RunStatus.CANCELLED
    assert slack.calls.total() == 0
    kinds = await surroundings.kinds(run_id)
    assert kinds.count("run.finished") == 1
    assert kinds[-1] == "run.finished"


async def test_a_run_that_was_cancelled_before_it_began_does_nothing(surroundings: Surroundings) -> None:
    await surroundings.configure(document())
    recording_id = await surroundings.upload(small_incident())
    run_id = await surroundings.add_run(asked(alert_of(small_incident()), recording_id=recording_id))
    await surroundings.config.cancel_run(ORG, run_id, CancelRun())
    async with surroundings.agent() as url:
        run = await surroundings.client(url).run(surroundings.execute(run_id))
    assert run.status is RunStatus.CANCELLED
    assert await surroundings.kinds(run_id) == ["run.finished"]
