"""`POST /api/v1/run` in its three forms, on a real Postgres: idempotent, resumable, for nobody else's team."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from tests.agent.conftest import Surroundings, config_service
from tests.agent.scenes import ORG, TEAM, alert_of, asked, document, small_incident
from tests.agent.twins import serve
from tests.environment import Database, Trusted

from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential, TokenCredential
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.runs import RunInput, RunStatus
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.kernel import errors
from incidentfox.kernel.ids import new_id

pytestmark = pytest.mark.anyio


async def recorded_run(surroundings: Surroundings) -> str:
    return await surroundings.add_run(await recorded_input(surroundings))


async def recorded_input(surroundings: Surroundings) -> RunInput:
    return asked(alert_of(small_incident()), recording_id=await surroundings.upload(small_incident()))


async def test_a_plain_call_waits_for_the_end(surroundings: Surroundings) -> None:
    run_id = await recorded_run(surroundings)
    async with surroundings.agent() as url:
        run = await surroundings.client(url).run(surroundings.execute(run_id))
    assert run.status is RunStatus.SUCCEEDED
    assert run.answer is not None
    assert run.answer.root_cause is not None
    assert run.answer.root_cause.change == "a" * 40
    assert run.config_hash == run.answer.config_hash == (await surroundings.config.effective(ORG, TEAM)).hash
    kinds = await surroundings.kinds(run_id)
    assert kinds[0] == "run.started"
    assert kinds[-2:] == ["answer.ready", "run.finished"]


async def test_a_repeated_call_is_the_same_run(surroundings: Surroundings) -> None:
    run_id = await recorded_run(surroundings)
    async with surroundings.agent() as url:
        client = surroundings.client(url)
        first, second = await asyncio.gather(*(client.run(surroundings.execute(run_id)) for _ in range(2)))
        third = await client.run(surroundings.execute(run_id))
    assert first == second == third
    kinds = await surroundings.kinds(run_id)
    assert kinds.count("run.started") == kinds.count("run.finished") == 1
    assert kinds.count("model.responded") == 5


async def test_respond_async_answers_at_once_and_the_run_goes_on(surroundings: Surroundings) -> None:
    run_id = await recorded_run(surroundings)
    async with surroundings.agent() as url:
        accepted = await surroundings.client(url).start(surroundings.execute(run_id))
        again = await surroundings.client(url).start(surroundings.execute(run_id))
        assert accepted.run_id == again.run_id == run_id
        assert (await surroundings.finished(run_id)).status is RunStatus.SUCCEEDED


async def test_a_stream_can_be_resumed_where_it_was_left(surroundings: Surroundings) -> None:
    run_id = await recorded_run(surroundings)
    async with surroundings.agent() as url:
        client = surroundings.client(url)
        async with client.stream(surroundings.execute(run_id)) as events:
            first = [await anext(events) for _ in range(4)]
        async with client.stream(surroundings.execute(run_id), after=first[-1].seq) as events:
            rest = [event async for event in events]
    assert (*first, *rest) == await surroundings.events(run_id)
    assert rest[-1].type == "run.finished"


async def test_a_caller_may_send_the_question_itself(surroundings: Surroundings) -> None:
    question = await recorded_input(surroundings)
    async with surroundings.agent() as url:
        client = surroundings.client(url)
        run = await client.run(surroundings.execute(input=question))
        own = new_id("run")
        named = [await client.run(surroundings.execute(own, input=question)) for _ in range(2)]
    assert run.status is RunStatus.SUCCEEDED
    assert run.source == "api"
    assert named[0] == named[1]
    assert named[0].run_id == own


async def test_an_unknown_run_is_not_found_and_starts_nothing(surroundings: Surroundings) -> None:
    async with surroundings.agent() as url:
        client = surroundings.client(url)
        with pytest.raises(errors.NotFound):
            await client.run(surroundings.execute(new_id("run")))
        with pytest.raises(errors.Invalid):
            await client.run(surroundings.execute("not-an-id"))
        with pytest.raises(errors.Invalid, match="run_id"):
            await client.run(surroundings.execute())


async def test_nobody_executes_for_a_team_his_credential_is_not_bound_to(surroundings: Surroundings) -> None:
    run_id = await recorded_run(surroundings)
    identity = surroundings.trusted.identity("orchestrator")
    execute = surroundings.execute(run_id).model_dump(mode="json")

    async def status(org: str | None, team: str | None, *permissions: Permission, service: str = "agent") -> int:
        token = identity.token(service, frozenset(permissions or {Permission.RUNS_EXECUTE}), org, team)
        headers = {"Authorization": f"Bearer {token}", "Prefer": "respond-async"}
        return (await http.post("/api/v1/run", json=execute, headers=headers)).status_code

    async with surroundings.agent() as url, httpx2.AsyncClient(base_url=url) as http:
        assert await status(ORG, "another-team") == 403
        assert await status(ORG, None) == 403
        assert await status(None, None) == 403
        assert await status("another-org", TEAM) == 404
        assert await status(ORG, TEAM, Permission.RUNS_READ) == 403
        assert await status(ORG, TEAM, service="config-service") == 401
        assert (await http.post("/api/v1/run", json=execute)).status_code == 401
        assert await surroundings.events(run_id) == ()
        assert await status(ORG, TEAM) == 202


async def test_an_opaque_token_is_looked_up_and_refused_when_unknown(surroundings: Surroundings) -> None:
    async with surroundings.agent() as url:
        client = surroundings.client(url)
        client._transport._credential = TokenCredential("ift_nonsense")
        with pytest.raises(errors.Unauthenticated):
            await client.start(surroundings.execute(new_id("run")))


async def test_a_configuration_that_cannot_be_built_fails_the_run_with_its_reason(surroundings: Surroundings) -> None:
    tools = {"no_such_tool": {"enabled": True}}
    await surroundings.configure(document(agents={"sre": {"tools": ["no_such_tool"]}}, tools=tools))
    run_id = await recorded_run(surroundings)
    async with surroundings.agent() as url:
        run = await surroundings.client(url).run(surroundings.execute(run_id))
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.startswith("unknown_tool: ")
    assert (await surroundings.events(run_id))[-1].data["status"] == "failed"


async def test_a_config_service_that_is_away_is_waited_for(database: Database, trusted: Trusted) -> None:
    async with serve(config_service(database, trusted)) as url:
        client = ConfigServiceClient(url, ServiceCredential(trusted.identity("platform")))
        surroundings = Surroundings(database, trusted, url, client)
        await client.create_organisation(CreateOrganisation(org_id=ORG, name="Acme"))
        await client.create_node(ORG, CreateNode(node_id=TEAM, parent_id=ORG, kind=NodeKind.TEAM, name="Platform"))
        await surroundings.configure(document())
        run_id = await recorded_run(surroundings)
    async with surroundings.agent() as agent_url:
        agent = surroundings.client(agent_url)
        await agent.start(surroundings.execute(run_id))
        with pytest.raises(errors.Temporary):
            await agent.run(surroundings.execute(run_id))
        async with serve(config_service(database, trusted), port=int(url.rsplit(":", 1)[1])):
            run = await surroundings.finished(run_id)
            events = await surroundings.events(run_id)
    await client.close()
    assert run.status is RunStatus.SUCCEEDED
    assert [event.seq for event in events] == list(range(1, 19))


async def test_health_and_readiness_need_no_credential(surroundings: Surroundings) -> None:
    async with surroundings.agent() as url, httpx2.AsyncClient(base_url=url) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok", "service": "agent"}
        assert (await http.get("/readyz")).status_code == 200
