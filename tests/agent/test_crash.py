"""`kill -9` of a real agent process in mid-run: the run goes on elsewhere, and nothing finished is done again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.agent.conftest import AgentProcess, Surroundings
from tests.agent.scenes import ORG, alert_of, asked, document, small_incident
from tests.agent.twins import FeedsTwin, SlackTwin, serve

from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.runs import RunStatus

pytestmark = pytest.mark.anyio

MakeAgent = Callable[[], AgentProcess]


def live_document(feeds: str, slack: str | None = None) -> TeamConfiguration:
    telemetry = {
        "backend": "http",
        **{f"{one}_url": f"{feeds}/{one}" for one in ("metrics", "logs", "traces", "changes")},
    }
    integrations: dict[str, object] = {"telemetry": telemetry}
    if slack is None:
        return document(integrations=integrations)
    integrations["slack"] = {"enabled": True, "bot_token": {"$secret": "slack"}, "base_url": f"{slack}/api/"}
    return document(integrations=integrations, destinations={"slack": {"channel": "C0INCIDENTS"}})


def done(process: AgentProcess, message: str, field: str) -> Counter[str]:
    """How often the process began something, by its log."""
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
    return Counter(str(line[field]) for line in lines if line.get("event") == message)


async def test_no_model_request_and_no_finished_tool_is_repeated(
    surroundings: Surroundings, agent_process: MakeAgent
) -> None:
    feeds = FeedsTwin(small_incident(), held={"logs": asyncio.Event()})
    async with serve(feeds.app()) as feeds_url:
        await surroundings.configure(live_document(feeds_url))
        run_id = await surroundings.add_run(asked(alert_of(small_incident())))
        first, second = agent_process(), agent_process()
        await first.start()
        await surroundings.client(first.url).start(surroundings.execute(run_id))
        async with asyncio.timeout(30):
            while await feeds.asked.get() != "logs":
                pass
        # Two model requests and two tools are done; the third tool hangs on its feed.
        await first.kill()
        feeds.held["logs"].set()
        await second.start()
        run = await surroundings.finished(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert run.answer is not None
    assert run.answer.root_cause is not None
    assert run.answer.root_cause.change == "a" * 40
    requests = [done(process, "model asked", "request") for process in (first, second)]
    assert requests[0] == Counter({"1": 1, "2": 1})
    assert requests[1] == Counter({"3": 1, "4": 1, "5": 1})
    tools = [done(process, "tool called", "tool") for process in (first, second)]
    assert tools[0] == Counter(rank_anomalies=1, analyse_traces=1, find_log_patterns=1)
    assert tools[1] == Counter(find_log_patterns=1, rank_changes=1, show_change=1)
    assert feeds.reads["traces"] == 1
    kinds = await surroundings.kinds(run_id)
    assert kinds.count("model.responded") == 5
    assert kinds.count("tool.called") == kinds.count("tool.returned") == 5
    assert kinds.count("run.started") == kinds.count("answer.ready") == kinds.count("run.finished") == 1


async def test_a_crash_between_post_and_settle_posts_once_and_leaks_nothing(
    surroundings: Surroundings, agent_process: MakeAgent
) -> None:
    slack = SlackTwin(hold=asyncio.Event())
    feeds = FeedsTwin(small_incident())
    token = "xoxb-" + "1" * 12
    await surroundings.put_secret("slack", token)
    async with serve(feeds.app()) as feeds_url, serve(slack.app()) as slack_url:
        await surroundings.configure(live_document(feeds_url, slack_url))
        run_id = await surroundings.add_run(asked(alert_of(small_incident())))
        first, second = agent_process(), agent_process()
        await first.start()
        await surroundings.client(first.url).start(surroundings.execute(run_id))
        async with asyncio.timeout(30):
            await slack.posted.wait()
        # Slack has the message, the agent does not know yet.
        await first.kill()
        assert slack.hold is not None
        slack.hold.set()
        await second.start()
        run = await surroundings.finished(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert len(slack.messages) == 1
    effect = (await surroundings.config.run_effects(ORG, run_id)).items[0]
    assert effect.status == "done"
    assert effect.external_id == f"C0INCIDENTS/{slack.messages[0]['ts']}"
    kinds = await surroundings.kinds(run_id)
    assert kinds[-3:] == ["effect.intended", "effect.done", "run.finished"]
    # The bot token was used by both processes, and left nowhere.
    assert slack.tokens == {token}
    assert token not in first.log.read_text() + second.log.read_text()
    assert token not in str(await surroundings.events(run_id))
    assert token not in await everything_durable(surroundings)


async def everything_durable(surroundings: Surroundings) -> str:
    """Every row of the agent's durable state, as text."""
    connection = await asyncpg.connect(surroundings.database.url("incidentfox_agent"))
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'agent_dbos'")
        rows = [await connection.fetch(f"SELECT t::text FROM agent_dbos.{table['tablename']} t") for table in tables]
        return str(rows)
    finally:
        await connection.close()
