"""From a committed delivery to a run that an agent has: routed, on record, correlated, exactly once."""

import asyncio
import signal

import httpx2
import pytest
from starlette.responses import JSONResponse, StreamingResponse
from tests.orchestrator.conftest import ORG, incident_event
from tests.orchestrator.platform import until

from incidentfox.clients.agent import AgentClient
from incidentfox.clients.transport import ServiceCredential
from incidentfox.contracts.runs import ExecuteRun, RunStatus
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.kernel.db.retention import Retention
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant
from incidentfox.orchestrator.dispatch import service as dispatch_service
from incidentfox.orchestrator.dispatch.metrics import STEP_RETRIES
from incidentfox.orchestrator.worker import create_app as create_worker

pytestmark = pytest.mark.anyio


def problem(status: int, code: str) -> JSONResponse:
    body = {"type": f"https://incidentfox.dev/problems/{code}", "title": "t", "status": status, "code": code}
    return JSONResponse({**body, "detail": "as told"}, status, media_type="application/problem+json")


async def test_a_trigger_becomes_one_run_of_the_owning_team(platform) -> None:
    created = await platform.door.endpoint()
    response = await platform.door.pagerduty(created, incident_event())
    async with platform.worker():
        [delivery] = await platform.settled()
    [run] = await platform.runs()
    assert delivery["status"] == "processed"
    assert (delivery["team_node_id"], delivery["run_id"]) == ("checkout", run.run_id)
    assert run.run_id == "run_" + response.json()["delivery_id"][4:]
    assert (run.team_node_id, run.source, run.status) == ("checkout", "pagerduty", RunStatus.QUEUED)
    assert (run.delivery_id, run.incident_id) == (delivery["delivery_id"], delivery["incident_id"])
    assert run.correlation_id == response.headers["x-correlation-id"]
    assert run.input.alert is not None
    assert run.input.alert.title == "A little bump in the road"
    assert platform.agent.calls == [{"run_id": run.run_id, "org_id": ORG, "team_node_id": "checkout", "input": None}]
    assert platform.agent.headers[0]["prefer"] == "respond-async"
    assert platform.agent.headers[0]["x-correlation-id"] == run.correlation_id
    events = (await platform.platform.run_events(ORG, run.run_id)).items
    assert [event.type for event in events] == ["delivery.accepted", "delivery.routed"]
    assert events[1].data["team_node_id"] == "checkout"
    assert events[1].data["matched"]["value"] == "PF9KMXH"


async def test_the_decision_is_on_record_before_anything_runs(platform) -> None:
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    async with platform.worker():
        [delivery] = await platform.settled()
    [audited] = await platform.audited("delivery.routed")
    [run] = await platform.runs()
    assert (audited.target, audited.team_node_id) == (delivery["delivery_id"], "checkout")
    assert audited.correlation_id == run.correlation_id
    assert audited.detail["reason"]
    assert audited.at < run.created_at


async def test_a_database_in_trouble_delays_a_delivery_and_never_fails_it(platform, owner) -> None:
    """A lock that is held too long stands for all that passes: a deadlock, a full server, a fail-over."""
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    await owner.execute(f"ALTER DATABASE {platform.database.name} SET statement_timeout = '100ms'")
    retries = STEP_RETRIES.labels("record", "write_contention")._value
    before = retries.get()

    async def tried() -> bool:
        [delivery] = await platform.deliveries()
        return retries.get() > before or delivery["status"] != "received"

    async with platform.worker():
        async with owner.transaction():
            await owner.execute("LOCK TABLE orchestrator_incidents")
            await until(tried)
        [delivery] = await platform.settled()
    assert (delivery["status"], delivery["reason"]) == ("processed", None)
    assert len(platform.agent.calls) == 1


async def test_an_unrouted_trigger_is_on_record_and_runs_nothing(platform) -> None:
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event(service="PNOBODY"))
    async with platform.worker():
        [delivery] = await platform.settled()
    assert (delivery["status"], delivery["run_id"], delivery["team_node_id"]) == ("unrouted", None, None)
    assert delivery["reason"]
    assert await platform.runs() == []
    assert platform.agent.calls == []
    [audited] = await platform.audited("delivery.unrouted")
    assert audited.target == delivery["delivery_id"]
    rules = [attempt["rule"] for attempt in audited.detail["tried"]]
    assert rules == ["identifier"] * 3 + ["service_pattern", "default_team"]


async def test_a_resolve_that_overtook_its_trigger_leaves_nothing_to_run(platform) -> None:
    created = await platform.door.endpoint()
    async with platform.worker():
        await platform.door.pagerduty(created, incident_event("incident.resolved", at="2026-11-24T03:05:00Z"))
        await platform.settled(1)
        await platform.door.pagerduty(created, incident_event(at="2026-11-24T03:00:00Z"))
        deliveries = await platform.settled(2)
    assert [(row["status"], row["reason"]) for row in deliveries] == [
        ("processed", "recorded:resolve"),
        ("processed", "resolved_before_trigger"),
    ]
    assert await platform.runs() == []
    incident = await platform.owner.fetchrow("SELECT * FROM orchestrator_incidents")
    assert (incident["status"], incident["run_id"]) == ("resolved", None)
    assert incident["opened_at"].isoformat() == "2026-11-24T03:00:00+00:00"


async def test_an_incident_has_one_run_until_it_comes_back(platform) -> None:
    created = await platform.door.endpoint()
    story = [
        ("incident.triggered", "03:00"),
        ("incident.triggered", "03:01"),
        ("incident.acknowledged", "03:02"),
        ("incident.resolved", "03:03"),
        ("incident.reopened", "03:04"),
        ("incident.triggered", "03:05"),
        ("incident.triggered", "03:06"),
    ]
    async with platform.worker():
        for count, (event_type, minute) in enumerate(story, 1):
            await platform.door.pagerduty(created, incident_event(event_type, at=f"2026-11-24T{minute}:00Z"))
            deliveries = await platform.settled(count)
    assert [row["reason"] for row in deliveries] == [
        None,
        "incident_has_run",
        "recorded:acknowledge",
        "recorded:resolve",
        "recorded:reopen",
        None,
        "incident_has_run",
    ]
    assert len(await platform.runs()) == 2
    incident = await platform.owner.fetchrow("SELECT * FROM orchestrator_incidents")
    assert (incident["status"], incident["run_id"]) == ("triggered", deliveries[5]["run_id"])
    assert await platform.owner.fetchval("SELECT count(*) FROM orchestrator_incident_events") == 7


async def test_an_event_that_names_only_its_incident_goes_to_the_incidents_team(platform) -> None:
    created = await platform.door.endpoint()
    note = incident_event("incident.annotated")
    note["event"]["data"] = {
        "id": "NOTE",
        "type": "incident_note",
        "incident": {"id": "PGR0VU2", "type": "incident_reference", "summary": "A little bump in the road"},
    }
    async with platform.worker():
        await platform.door.pagerduty(created, note)
        await platform.settled(1)
        await platform.door.pagerduty(created, incident_event())
        await platform.settled(2)
        note["event"]["id"] = "SECOND"
        await platform.door.pagerduty(created, note)
        before, _, after = await platform.settled(3)
    assert (before["status"], before["team_node_id"]) == ("unrouted", None)
    assert (after["status"], after["team_node_id"]) == ("processed", "checkout")


async def test_a_custom_alert_carries_its_whole_context_into_the_run(platform) -> None:
    created = await platform.door.endpoint("custom")
    data = {
        "title": "Checkout is slow",
        "service": "payments",
        "metric": "latency_p99",
        "threshold": 0.5,
        "observed": 3.25,
        "fired_at": "2026-11-24T03:00:00Z",
        "slack_channel": "C0INCIDENTS",
        "slack_thread_ts": "1.2",
        "recording_id": "sha256:" + "0" * 64,
    }
    response = await platform.door.custom(created, {"type": "alert.triggered", "data": data})
    assert response.status_code == 202
    async with platform.worker():
        [delivery] = await platform.settled()
    [run] = await platform.runs()
    assert (delivery["status"], run.team_node_id) == ("processed", "payments")
    assert run.input.alert is not None
    assert (run.input.alert.metric, run.input.alert.observed) == ("latency_p99", 3.25)
    assert run.input.reply_to.slack_channel == "C0INCIDENTS"
    assert run.input.recording_id == data["recording_id"]


async def test_a_dedicated_team_is_served_by_its_own_deployment(platform) -> None:
    await platform.platform.patch_configuration(
        ORG, "checkout", {"runtime": {"mode": "dedicated", "agent_url": platform.agent_peer.url}}
    )
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    settings = platform.settings()
    nowhere = settings.model_copy(update={"agent_url": "http://127.0.0.1:9"})
    platform.settings = lambda: nowhere
    async with platform.worker():
        [delivery] = await platform.settled()
    assert delivery["status"] == "processed"
    assert platform.agent.runs == [delivery["run_id"]]


@pytest.mark.parametrize("url", ["http://169.254.169.254", "http://["])
async def test_an_agent_where_none_can_be_is_a_failed_run_that_says_so(platform, url) -> None:
    runtime = {"runtime": {"mode": "dedicated", "agent_url": url}}
    await platform.platform.patch_configuration(ORG, "checkout", runtime)
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    async with platform.worker():
        [delivery] = await platform.settled()
    [run] = await platform.runs()
    assert (delivery["status"], run.status) == ("failed", RunStatus.FAILED)
    assert run.error.startswith("address_refused: ")


async def test_a_client_that_is_put_aside_serves_who_holds_it(platform, trusted, monkeypatch) -> None:
    """More deployments than are kept: a delivery between two of its acts still reaches its own."""
    monkeypatch.setattr(dispatch_service, "_KEEP_AGENTS", 1)
    agents = dispatch_service.Agents("http://127.0.0.1:9", ServiceCredential(trusted.identity("orchestrator")))
    held = await agents.at(platform.agent_peer.url)
    for port in range(1, 4):
        await agents.at(f"http://127.0.0.1:{port}")
    run_id = new_id("run")
    await held.start(ExecuteRun(run_id=run_id, org_id=ORG, team_node_id="checkout"))
    assert platform.agent.runs == [run_id]
    await agents.close()
    with pytest.raises(RuntimeError, match="closed"):
        await held.start(ExecuteRun(run_id=run_id, org_id=ORG, team_node_id="checkout"))


async def test_an_agent_that_answers_a_byte_at_a_time_holds_nobody_up(platform, monkeypatch) -> None:
    async def drip():
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    monkeypatch.setattr(dispatch_service, "_START_S", 0.2)
    timeouts = STEP_RETRIES.labels("start", "timeout")._value
    before = timeouts.get()
    platform.agent.answer = StreamingResponse(drip(), 202, media_type="application/json")
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    async with platform.worker():
        await until(lambda: asyncio.sleep(0, timeouts.get() > before))
        platform.agent.answer = None
        [delivery] = await platform.settled()
    assert delivery["status"] == "processed"


async def test_what_the_agent_refuses_for_good_is_a_failed_run_on_record(platform) -> None:
    platform.agent.answer = problem(422, "model_unknown")
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    async with platform.worker():
        [delivery] = await platform.settled()
    [run] = await platform.runs()
    assert (delivery["status"], run.status) == ("failed", RunStatus.FAILED)
    assert delivery["reason"] == run.error == "model_unknown: as told"
    assert len(platform.agent.calls) == 1


@pytest.mark.parametrize("answer", [problem(503, "unavailable"), problem(403, "forbidden"), JSONResponse({}, 404)])
async def test_an_agent_that_cannot_take_it_now_is_asked_again(platform, answer) -> None:
    platform.agent.answer = answer
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())

    async def asked_twice() -> bool:
        return len(platform.agent.calls) >= 2

    async with platform.worker():
        await until(asked_twice)
        platform.agent.answer = None
        [delivery] = await platform.settled()
    assert delivery["status"] == "processed"
    assert len(set(platform.agent.runs)) == 1
    assert len(await platform.runs()) == 1


async def test_deliveries_wait_for_a_config_service_that_is_away(platform) -> None:
    created = await platform.door.endpoint()
    await platform.config.stop()
    async with platform.worker():
        responses = [
            await platform.door.pagerduty(created, incident_event(incident=f"P{number}")) for number in range(5)
        ]
        assert {response.status_code for response in responses} == {202}, "receiving does not need it"

        async def retried() -> bool:
            return (
                await platform.owner.fetchval(
                    "SELECT count(*) FROM orchestrator_dbos.workflow_status"
                    " WHERE name = 'deliver' AND status <> 'ENQUEUED'"
                )
                > 0
            )

        await until(retried)
        assert (
            await platform.owner.fetchval("SELECT count(*) FROM orchestrator_deliveries WHERE status <> 'received'")
            == 0
        )
        await platform.config.start()
        deliveries = await platform.settled(5)
    assert {row["status"] for row in deliveries} == {"processed"}
    assert sorted(platform.agent.runs) == sorted(row["run_id"] for row in deliveries)
    assert len(await platform.runs()) == 5


async def test_an_error_of_ours_is_on_record_with_the_delivery(platform) -> None:
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    await platform.owner.execute("""UPDATE orchestrator_deliveries SET event = '{"nonsense": 1}'""")
    async with platform.worker():
        [delivery] = await platform.settled()
    assert (delivery["status"], delivery["run_id"]) == ("failed", None)
    assert delivery["reason"].startswith("internal_error")


async def test_an_error_of_ours_at_the_start_fails_the_run_as_well(platform, monkeypatch) -> None:
    async def broken(*_: object) -> None:
        raise AttributeError("an error in the code")

    monkeypatch.setattr(AgentClient, "start", broken)
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    async with platform.worker():
        [delivery] = await platform.settled()
    [run] = await platform.runs()
    assert (delivery["status"], run.status) == ("failed", RunStatus.FAILED)
    assert delivery["reason"] == run.error == "internal_error: the worker's log has the details"


async def test_an_organisation_whose_agent_hangs_leaves_places_to_the_others(platform, monkeypatch) -> None:
    """Its deliveries are about many things, hence in many partitions; its agent takes connections and never answers."""
    monkeypatch.setattr(dispatch_service, "_START_S", 3600.0)
    hanging, released = 0, asyncio.Event()
    start = AgentClient.start

    async def hang(client: AgentClient, request: ExecuteRun) -> None:
        nonlocal hanging
        if request.org_id == ORG:
            hanging += 1
            await released.wait()
        await start(client, request)

    monkeypatch.setattr(AgentClient, "start", hang)
    await platform.platform.create_organisation(CreateOrganisation(org_id="globex", name="Globex"))
    node = CreateNode(node_id="sales", parent_id="globex", kind=NodeKind.TEAM, name="sales")
    await platform.platform.create_node("globex", node)
    await platform.platform.put_configuration("globex", "sales", {"routing": {"pagerduty_services": ["PF9KMXH"]}})
    services = [f"P{number}" for number in range(12)]
    await platform.platform.put_configuration(ORG, "checkout", {"routing": {"pagerduty_services": services}})
    created, others = await platform.door.endpoint(), await platform.door.endpoint(org="globex")
    async with platform.worker():
        for service in services:
            await platform.door.pagerduty(created, incident_event(incident=service, service=service))
        await until(lambda: asyncio.sleep(0, hanging >= 4))
        await platform.door.pagerduty(others, incident_event())
        [delivery] = await platform.settled()
        assert (delivery["org_id"], delivery["status"], hanging) == ("globex", "processed", 4)
        released.set()
        assert {row["status"] for row in await platform.settled(1 + len(services))} == {"processed"}


async def test_a_team_reads_its_own_deliveries_and_incidents_only(platform) -> None:
    created = await platform.door.endpoint()
    async with platform.worker():
        await platform.door.pagerduty(created, incident_event())
        await platform.door.pagerduty(created, incident_event(service="PNOBODY", incident="PNONE"))
        await platform.settled(2)
    seen = {}
    for team in ("checkout", "payments", None):
        tenant = Tenant(ORG, team)
        async with platform.door.app.state.database.transaction(tenant) as connection:
            counts = [
                (await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one()
                for table in ("orchestrator_deliveries", "orchestrator_incidents", "orchestrator_incident_events")
            ]
        seen[team] = counts
    assert seen == {"checkout": [1, 1, 1], "payments": [0, 0, 0], None: [2, 2, 2]}


async def test_tokens_of_people_reach_their_own_tenants_deliveries_only(platform) -> None:
    created = await platform.door.endpoint()
    async with platform.worker():
        await platform.door.pagerduty(created, incident_event())
        await platform.door.pagerduty(created, incident_event(service="PNOBODY", incident="PNONE"))
        await platform.settled(2)
    await platform.platform.create_organisation(CreateOrganisation(org_id="globex", name="Globex"))

    async def token(org: str, team: str | None) -> dict[str, str]:
        made = await platform.platform.create_token(org, CreateToken(name="t", team_node_id=team))
        return {"Authorization": f"Bearer {made.secret}"}

    people = {
        "admin": await token(ORG, None),
        "checkout": await token(ORG, "checkout"),
        "payments": await token(ORG, "payments"),
        "stranger": await token("globex", None),
    }
    http = platform.door.http
    for kind, key in (("deliveries", "delivery_id"), ("incidents", "incident_id")):
        path = f"/api/v1/orgs/{ORG}/{kind}"
        everything = (await http.get(path, headers=people["admin"])).json()["items"]
        assert len(everything) == 2
        [own] = (await http.get(path, headers=people["checkout"])).json()["items"]
        assert own["team_node_id"] == "checkout"
        assert (await http.get(path, headers=people["payments"])).json()["items"] == []
        assert (await http.get(path, headers=people["stranger"])).status_code == 404
        one = f"{path}/{own[key]}"
        codes = {name: (await http.get(one, headers=headers)).status_code for name, headers in people.items()}
        assert codes == {"admin": 200, "checkout": 200, "payments": 404, "stranger": 404}
        assert (await http.get(one.replace(ORG, "globex"), headers=people["stranger"])).status_code == 404
    endpoints = f"/api/v1/orgs/{ORG}/webhook-endpoints"
    assert (await http.get(endpoints, headers=people["checkout"])).status_code == 403
    assert (await http.get(endpoints, headers=people["admin"])).status_code == 200
    assert (await http.get(endpoints, headers={"Authorization": "Bearer ift_nonsense"})).status_code == 401


async def test_a_stopping_worker_leaves_its_work_to_the_others(platform) -> None:
    platform.agent.answer = problem(503, "unavailable")
    created = await platform.door.endpoint()
    await platform.door.pagerduty(created, incident_event())
    leaving = await platform.worker_process()

    async def asked() -> bool:
        return bool(platform.agent.calls)

    await until(asked)
    leaving.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        assert await leaving.wait() in (0, -signal.SIGTERM)  # uvicorn drains, then dies of the signal it caught
    platform.agent.answer = None
    async with platform.worker():
        [delivery] = await platform.settled()
    assert delivery["status"] == "processed"
    assert len(await platform.runs()) == 1


async def test_a_worker_whose_connections_are_cut_goes_on(platform) -> None:
    created = await platform.door.endpoint()
    async with platform.worker():
        for number in range(10):
            await platform.door.pagerduty(created, incident_event(incident=f"P{number}"))
            if number % 3 == 0:
                await platform.owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND usename = 'incidentfox_orchestrator' AND application_name <> 'incidentfox-ingress'"
                )
        deliveries = await platform.settled(10)
    assert {row["status"] for row in deliveries} == {"processed"}
    assert len(await platform.runs()) == 10


async def test_the_worker_is_ready_only_while_it_works(platform) -> None:
    app = create_worker(platform.settings())
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://worker") as http:
        assert (await http.get("/readyz")).status_code == 503
        async with app.router.lifespan_context(app):
            assert (await http.get("/readyz")).status_code == 200
            assert "incidentfox_deliveries_settled_total" in (await http.get("/metrics")).text
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200


async def test_a_start_that_fails_leaves_nothing_launched(platform, monkeypatch) -> None:
    def broken(_: Retention) -> None:
        raise RuntimeError("cannot start")

    with monkeypatch.context() as patch:
        patch.setattr(Retention, "start", broken)
        with pytest.raises(RuntimeError, match="cannot start"):
            async with platform.worker():
                pass
    async with platform.worker():
        created = await platform.door.endpoint()
        await platform.door.pagerduty(created, incident_event())
        [delivery] = await platform.settled()
    assert delivery["status"] == "processed"
