"""A run that has to wait gives its place up and comes back: for a model, and for Slack."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from starlette.responses import JSONResponse, Response
from tests.agent.conftest import Surroundings
from tests.agent.scenes import alert_of, asked, document, small_incident
from tests.agent.twins import SlackTwin, serve

from incidentfox.agent import provider
from incidentfox.agent.main import create_app
from incidentfox.agent.provider import Provider
from incidentfox.agent.settings import AgentSettings
from incidentfox.contracts.runs import RunStatus
from incidentfox.kernel.durable import EngineSettings
from incidentfox.kernel.errors import RateLimited

pytestmark = pytest.mark.anyio


class Hasty(AgentSettings):
    """Parks after a tenth of a second rather than five."""

    def engine(self) -> EngineSettings:
        return replace(super().engine(), park_after_s=0.1)


def settings(surroundings: Surroundings) -> AgentSettings:
    return Hasty.model_validate(surroundings.settings().model_dump())


async def test_a_model_that_is_rate_limited_is_asked_again_later(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_at: list[int] = []

    def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked_at.append(len(messages))
        if len(asked_at) == 2:
            raise RateLimited("Slow down.", retry_after_s=1.0)
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("rank_anomalies", {})])
        return ModelResponse(parts=[ToolCallPart("write_report", {"root_cause": None, "confidence": 0.1})])

    scripted = {"scripted": Provider("scripted", "", lambda *_: FunctionModel(think, model_name="scripted"))}
    monkeypatch.setattr(provider, "known_providers", lambda: scripted)
    await surroundings.configure(document(models={"default": {"provider": "scripted", "name": "x"}}))
    recording_id = await surroundings.upload(small_incident())
    run_id = await surroundings.add_run(asked(alert_of(small_incident()), recording_id=recording_id))
    async with serve(create_app(settings(surroundings))) as url:
        await surroundings.client(url).start(surroundings.execute(run_id))
        run = await surroundings.finished(run_id)
    assert run.status is RunStatus.SUCCEEDED
    assert asked_at == [1, 3, 3], "the first request is not repeated, the refused one is"
    kinds = await surroundings.kinds(run_id)
    assert kinds.count("model.responded") == 2
    assert kinds.count("tool.called") == 1


async def test_a_slack_that_asks_to_slow_down_gets_the_message_once(surroundings: Surroundings) -> None:
    slack = SlackTwin()
    slow = JSONResponse({"ok": False, "error": "ratelimited"}, 429, headers={"Retry-After": "1"})

    def refuse(method: str) -> Response | None:
        return slow if method == "chat.postMessage" and slack.calls[method] <= 2 else None

    slack.refuse = refuse
    await surroundings.put_secret("slack", "xoxb-" + "3" * 12)
    recording_id = await surroundings.upload(small_incident())
    async with serve(slack.app()) as slack_url, serve(create_app(settings(surroundings))) as url:
        integration = {"enabled": True, "bot_token": {"$secret": "slack"}, "base_url": f"{slack_url}/api/"}
        destinations = {"slack": {"channel": "#incidents"}}
        await surroundings.configure(document(integrations={"slack": integration}, destinations=destinations))
        run_id = await surroundings.add_run(asked(alert_of(small_incident()), recording_id=recording_id))
        run = await surroundings.client(url).run(surroundings.execute(run_id))
    assert run.status is RunStatus.SUCCEEDED
    assert slack.calls["chat.postMessage"] == 3
    assert len(slack.messages) == 1
    assert (await surroundings.kinds(run_id))[-2:] == ["effect.done", "run.finished"]


async def test_a_slack_that_refuses_is_on_record_and_the_run_succeeds(surroundings: Surroundings) -> None:
    slack = SlackTwin(channels={})
    await surroundings.put_secret("slack", "xoxb-" + "4" * 12)
    recording_id = await surroundings.upload(small_incident())
    async with serve(slack.app()) as slack_url, surroundings.agent() as url:
        integration = {"enabled": True, "bot_token": {"$secret": "slack"}, "base_url": f"{slack_url}/api/"}
        destinations = {"slack": {"channel": "#nowhere"}}
        await surroundings.configure(document(integrations={"slack": integration}, destinations=destinations))
        run_id = await surroundings.add_run(asked(alert_of(small_incident()), recording_id=recording_id))
        run = await surroundings.client(url).run(surroundings.execute(run_id))
    assert run.status is RunStatus.SUCCEEDED
    failed = (await surroundings.events(run_id))[-2]
    assert failed.type == "effect.failed"
    assert "channel_not_found" in failed.data["error"]
    [effect] = (await surroundings.config.run_effects(run.org_id, run_id)).items
    assert (effect.status, effect.error) == ("failed", failed.data["error"])
