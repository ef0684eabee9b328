"""A finished run once more, offline: the same bytes, or the first difference; and a run as a recording."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import psycopg
import pytest
from tests.agent.conftest import Surroundings
from tests.agent.scenes import ORG, TEAM, alert_of, asked, document, planner, recorded, small_incident
from tests.agent.twins import FeedsTwin, serve

from incidentfox.agent import Runner
from incidentfox.agent.differences import first_difference
from incidentfox.clients.agent import AgentClient
from incidentfox.clients.transport import TokenCredential
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.replay import Replay
from incidentfox.contracts.runs import Run, RunStatus
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.errors import Conflict, Gone, NotFound, Unprocessable

pytestmark = pytest.mark.anyio

SECRET = "ghp_" + "a1B2" * 9


@asynccontextmanager
async def live(surroundings: Surroundings, files: dict[str, str]) -> AsyncIterator[FeedsTwin]:
    """The team's telemetry is live while the block lasts; after it, nothing answers there."""
    twin = FeedsTwin(files)
    async with serve(twin.app()) as url:
        feeds = {f"{name}_url": f"{url}/{name}" for name in ("metrics", "logs", "traces", "changes")}
        await surroundings.configure(document(integrations={"telemetry": {"backend": "http", **feeds}}))
        yield twin


async def finished_live_run(surroundings: Surroundings, agent: str, files: dict[str, str]) -> Run:
    async with live(surroundings, files):
        run_id = await surroundings.add_run(asked(alert_of(files)))
        return await surroundings.client(agent).run(surroundings.execute(run_id))


async def replayed(surroundings: Surroundings, agent: str, run_id: str) -> Replay:
    client = surroundings.client(agent, "platform")
    try:
        return await client.replay(ORG, run_id)
    finally:
        await client.close()


def tamper(surroundings: Surroundings, statement: str) -> None:
    with psycopg.connect(surroundings.database.superuser_url, autocommit=True) as connection:
        connection.execute(statement.encode())


async def test_a_live_run_replays_byte_for_byte_with_no_telemetry(surroundings: Surroundings) -> None:
    async with surroundings.agent() as agent:
        run = await finished_live_run(surroundings, agent, small_incident())
        assert run.status is RunStatus.SUCCEEDED
        before = await surroundings.events(run.run_id)
        again = await replayed(surroundings, agent, run.run_id)
        # Whatever the team's configuration became since, the run's own is replayed.
        await surroundings.configure(document(agents={"sre": {"tools": []}}))
        later = await replayed(surroundings, agent, run.run_id)
    assert again.equal
    assert again == later
    assert [call.tool for call in again.calls] == [
        "rank_anomalies", "analyse_traces", "find_log_patterns", "rank_changes", "show_change",
    ]  # fmt: skip
    assert again.ended is None
    assert again.answer_difference is None
    # A replay is no run: nothing is on the timeline, in the ledger or on the run that was not there before.
    assert await surroundings.events(run.run_id) == before
    assert await surroundings.config.run(ORG, run.run_id) == run
    assert (await surroundings.config.run_effects(ORG, run.run_id)).items == ()
    assert len((await surroundings.config.runs(ORG)).items) == 1


async def test_a_run_on_a_recording_replays_too(surroundings: Surroundings) -> None:
    files = small_incident()
    run_id = await surroundings.add_run(asked(alert_of(files), recording_id=await surroundings.upload(files)))
    async with surroundings.agent() as agent:
        await surroundings.client(agent).run(surroundings.execute(run_id))
        again = await replayed(surroundings, agent, run_id)
    assert again.equal
    assert len(again.calls) == 5


async def test_a_question_without_an_alert_replays_at_the_moment_it_was_asked(surroundings: Surroundings) -> None:
    recording_id = await surroundings.upload(small_incident())
    run_id = await surroundings.add_run(asked(None, "Why is it slow?", recording_id=recording_id))
    async with surroundings.agent() as agent:
        await surroundings.client(agent).run(surroundings.execute(run_id))
        assert (await replayed(surroundings, agent, run_id)).equal


async def test_a_source_that_failed_fails_again_in_the_same_words(surroundings: Surroundings) -> None:
    async with surroundings.agent() as agent:
        run = await finished_live_run(surroundings, agent, {**small_incident(), "traces.json": '[{"trace_id": "t"}]'})
        again = await replayed(surroundings, agent, run.run_id)
    assert [call.tool for call in again.calls if call.is_error] == ["analyse_traces"]
    assert again.equal


async def test_what_was_tampered_with_is_the_first_difference(surroundings: Surroundings) -> None:
    async with surroundings.agent() as agent:
        run = await finished_live_run(surroundings, agent, small_incident())
        tamper(
            surroundings,
            "UPDATE config_run_events SET data = jsonb_set(data, '{result,anomalies,0,score}', '0.5')"
            " WHERE type = 'tool.returned' AND data->>'tool' = 'rank_anomalies'",
        )
        again = await replayed(surroundings, agent, run.run_id)
    assert not again.equal
    [different] = [call for call in again.calls if call.difference is not None]
    assert different.tool == "rank_anomalies"
    assert different.difference is not None
    assert (different.difference.pointer, different.difference.recorded) == ("/result/anomalies/0/score", "0.5")


async def test_a_run_whose_captures_have_aged_out_says_so(surroundings: Surroundings) -> None:
    async with surroundings.agent() as agent:
        run = await finished_live_run(surroundings, agent, small_incident())
        tamper(surroundings, "DELETE FROM config_run_captures")
        with pytest.raises(Gone, match="aged out"):
            await replayed(surroundings, agent, run.run_id)


async def test_an_unfinished_an_old_and_a_foreign_run_are_not_replayed(surroundings: Surroundings) -> None:
    files = small_incident()
    question = asked(alert_of(files), recording_id=await surroundings.upload(files))
    waiting, done = await surroundings.add_run(question), await surroundings.add_run(question)
    sibling = CreateNode(node_id="sibling", parent_id=ORG, kind=NodeKind.TEAM, name="Sibling")
    await surroundings.config.create_node(ORG, sibling)
    tokens = {
        team: (await surroundings.config.create_token(ORG, CreateToken(name=team, team_node_id=team))).secret
        for team in (TEAM, "sibling")
    }
    async with surroundings.agent() as url:
        await surroundings.client(url).run(surroundings.execute(done))
        with pytest.raises(Conflict):
            await replayed(surroundings, url, waiting)
        assert (await AgentClient(url, TokenCredential(tokens[TEAM])).replay(ORG, done)).equal
        with pytest.raises(NotFound):
            await AgentClient(url, TokenCredential(tokens["sibling"])).replay(ORG, done)
        with pytest.raises(NotFound):
            await AgentClient(url, TokenCredential(tokens[TEAM])).replay("another-org", done)
        writer = surroundings.trusted.identity("platform").token("agent", frozenset({Permission.RUNS_WRITE}), ORG)
        async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {writer}"}) as http:
            assert (await http.post(f"/api/v1/orgs/{ORG}/runs/{done}/replay")).status_code == 403
        tamper(surroundings, "UPDATE config_run_events SET data = data - 'parts' WHERE type = 'model.responded'")
        with pytest.raises(Unprocessable, match="older release"):
            await replayed(surroundings, url, done)


async def test_a_secret_in_live_telemetry_is_in_no_capture_and_in_no_export(surroundings: Surroundings) -> None:
    line = {"timestamp": "2026-03-01T10:44:00Z", "service": "orders", "severity_text": "ERROR", "msg": f"key {SECRET}",
            "db": {"password": "hunter22"}}  # fmt: skip
    files = small_incident()
    files["logs.ndjson"] += json.dumps(line) + "\n"
    async with surroundings.agent() as agent:
        run = await finished_live_run(surroundings, agent, files)
        assert (await replayed(surroundings, agent, run.run_id)).equal
    exported = await surroundings.config.run_recording(ORG, run.run_id)
    assert "[redacted:github-token]" in exported.files["logs.ndjson"]
    for text in (*exported.files.values(), json.dumps([event.data for event in await surroundings.events(run.run_id)])):
        assert SECRET not in text
        assert "hunter22" not in text


async def test_an_exported_live_run_is_a_recording_with_the_same_results_and_the_same_cause(
    surroundings: Surroundings,
) -> None:
    async with surroundings.agent() as agent:
        run = await finished_live_run(surroundings, agent, small_incident())
        exported = await surroundings.config.run_recording(ORG, run.run_id)
        # As `incidentfox evaluate` does it: uploaded, and investigated by a team without telemetry of its own.
        await surroundings.configure(document())
        files = {str(name): text for name, text in exported.files.items()}
        question = asked(alert_of(files), recording_id=await surroundings.upload(files))
        run_id = await surroundings.add_run(question)
        second = await surroundings.client(agent).run(surroundings.execute(run_id))
    assert set(files) == {
        "alert.json", "metrics.csv", "logs.ndjson", "traces.json",
        "context/commits.json", "context/deploys.json", "context/flags.json",
    }  # fmt: skip
    assert trace(await surroundings.events(run.run_id)) == trace(await surroundings.events(run_id))
    assert run.answer is not None
    assert second.answer is not None
    varies = {"run_id", "duration_s", "usage", "config_hash"}
    assert second.answer.model_dump(exclude=varies) == run.answer.model_dump(exclude=varies)
    assert second.answer.root_cause is not None
    assert second.answer.root_cause.change == "a" * 40


async def test_a_database_that_was_looked_at_is_part_of_the_recording() -> None:
    files = small_incident()
    holder = {"pid": 7, "application": "orders", "state": "idle in transaction", "wait_event": "Client:ClientRead",
              "transaction_age_s": 90.0, "query_age_s": 80.0, "query": "UPDATE stock", "blocked_by": []}  # fmt: skip
    waiter = {**holder, "pid": 8, "application": "frontend", "state": "active", "blocked_by": [7]}
    files["database_sessions.json"] = json.dumps([holder, waiter])
    result = await Runner.run(planner(recorded(files)), asked(alert_of(files)))
    [looked] = [event.data for event in result.events if event.data.get("tool") == "database_activity"][1:]
    assert looked["result"]["blockers"][0]["pid"] == 7


def trace(events: tuple[RunEvent, ...]) -> list[dict[str, Any]]:
    kept = ("tool_call_id", "tool", "arguments", "result", "is_error")
    kinds = (RunEventType.TOOL_CALLED, RunEventType.TOOL_RETURNED)
    return [{key: event.data.get(key) for key in kept} for event in events if event.type in kinds]


@pytest.mark.parametrize(
    ("was", "now", "pointer"),
    [
        ({"a": 1.0}, {"a": 1}, None),
        ({"a": 1e22}, {"a": 10**22}, None),
        ({"a": [1, {"b/c": "x"}]}, {"a": [1, {"b/c": "y"}]}, "/a/1/b~1c"),
        ({"a": 1}, {"a": 1, "b": None}, "/b"),
        ([1, 2], [1], "/1"),
        ({"a": "1"}, {"a": 1}, "/a"),
        (None, {"a": 1}, ""),
    ],
)
def test_the_first_difference(was: Any, now: Any, pointer: str | None) -> None:
    found = first_difference(was, now)
    assert (found.pointer if found else None) == pointer
