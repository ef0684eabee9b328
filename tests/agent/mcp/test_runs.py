"""Runs with an MCP server: a real one over streamable HTTP, the real planner and runner, a scripted model."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from tests.agent.conftest import Surroundings
from tests.agent.injection.corpus import BLAMED
from tests.agent.mcp_twin import INJECTION, LEAKED, POISON, McpTwin
from tests.agent.model_twin import ModelTwin, answer
from tests.agent.scenes import ORG, alert_of, asked, document, planner, recorded, small_incident
from tests.agent.twins import serve

from incidentfox.agent import Runner, provider
from incidentfox.agent.planner import REPORT_TOOL
from incidentfox.agent.provider import Provider
from incidentfox.agent.runner import RunResult
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.runs import Run, RunStatus
from incidentfox.kernel.errors import Unprocessable

pytestmark = pytest.mark.anyio

TOKEN = "sesame-0123456789"
LISTED = ("runbook", "notes", "echo", "large", "slow", "restart", "scale", "drop", "missing")
Calls = Sequence[tuple[str, Any]]


def report(evidence: Sequence[dict[str, str]] = (), **rest: Any) -> dict[str, Any]:
    return {"root_cause": None, "confidence": 0.5, "evidence": list(evidence), **rest}


def server(url: str, **changes: Any) -> dict[str, Any]:
    return {"url": f"{url}/mcp", "tools": LISTED, "timeout_s": 20, **changes}


def team(servers: dict[str, Any], **changes: Any) -> Any:
    agent = {"tools": ["rank_anomalies"], "mcp_servers": sorted(servers), "prompt": {"system": "You are on call."}}
    return document(agents={"sre": agent}, mcp_servers=servers, **changes)


class Script:
    """A model that makes the calls of each turn in order, then reports; what it was shown is kept."""

    def __init__(self, *turns: Calls, last: dict[str, Any] | None = None) -> None:
        self.turns = [*turns, [(REPORT_TOOL, last or report())]]
        self.shown: list[ModelMessage] = []
        self.offered: dict[str, Any] = {}
        self.instructions = ""

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.shown, self.instructions = messages, info.instructions or ""
        self.offered |= {tool.name: tool for tool in info.function_tools}
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        return ModelResponse([ToolCallPart(name, arguments) for name, arguments in self.turns[turn]])

    def returned(self) -> list[str]:
        parts = [part for message in self.shown for part in message.parts]
        return [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]


async def run(script: Script, servers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> RunResult:
    known = {"scripted": Provider("scripted", "", lambda *_: FunctionModel(script, model_name="scripted"))}
    monkeypatch.setattr(provider, "known_providers", lambda: known)
    wanted = team(servers, models={"default": {"provider": "scripted", "name": "scripted"}})
    files = small_incident()
    return await Runner.run(planner(recorded(files), wanted), asked(alert_of(files)))


def of(events: Sequence[RunEvent], kind: RunEventType) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type is kind]


def errors(result: RunResult) -> list[tuple[str, str]]:
    returned = [data["result"]["error"] for data in of(result.events, RunEventType.TOOL_RETURNED) if data["is_error"]]
    return [(error["code"], error["detail"]) for error in returned]


@asynccontextmanager
async def configured(surroundings: Surroundings, twin: McpTwin) -> AsyncIterator[ModelTwin]:
    """The team with the server `ops`, its token in a header, and a model that calls it."""
    evidence = [{"claim": "the runbook says so", "tool_call_id": "call_1", "excerpt": "drain the queue"}]
    calls = [("ops_runbook", {"service": "orders"}), ("ops_echo", {}), ("ops_notes", {"topic": "orders"})]
    model = ModelTwin([answer(calls=calls), answer(calls=[(REPORT_TOOL, report(evidence))])])
    await surroundings.put_secret("ops-token", f"Bearer {TOKEN}\n")
    async with serve(twin.app()) as mcp_url, serve(model.app()) as model_url:
        headers = {"Authorization": {"$secret": "ops-token"}, "X-Team": "sre"}
        configured = {"provider": "openai_compatible", "name": "twin-1", "base_url": f"{model_url}/v1"}
        wanted = team({"ops": server(mcp_url, headers=headers)}, models={"default": configured})
        await surroundings.configure(wanted)
        with models.override_allow_model_requests(True):
            yield model


async def carried_out(surroundings: Surroundings, agent: str) -> Run:
    files = small_incident()
    run_id = await surroundings.add_run(asked(alert_of(files), recording_id=await surroundings.upload(files)))
    return await surroundings.client(agent).run(surroundings.execute(run_id))


async def test_a_run_uses_a_server_and_replays_without_it(
    surroundings: Surroundings, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    twin = McpTwin()
    async with surroundings.agent() as agent:
        async with configured(surroundings, twin) as model:
            run = await carried_out(surroundings, agent)
        assert run.status is RunStatus.SUCCEEDED, run.error
        asked_so_far = len(twin.headers)
        platform = surroundings.client(agent, "platform")
        again = await platform.replay(ORG, run.run_id)
        await platform.close()
    events = await surroundings.events(run.run_id)
    timeline = json.dumps([event.model_dump(mode="json") for event in events])

    # What was called arrived, with the headers; what came back can be cited.
    assert twin.called == [("runbook", {"service": "orders"}), ("notes", {"topic": "orders"})]
    assert {(one["authorization"], one["x-team"]) for one in twin.headers} == {(f"Bearer {TOKEN}", "sre")}
    assert run.answer is not None
    assert [one.claim for one in run.answer.evidence] == ["the runbook says so"]

    # Of the list, what only reads was offered, beside the catalogue; why the rest was not is on the timeline.
    offered = {tool["function"]["name"]: tool["function"] for tool in model.requests[0]["tools"]}
    reads = {"ops_runbook", "ops_notes", "ops_echo", "ops_large", "ops_slow"}
    assert set(offered) == reads | {"rank_anomalies", REPORT_TOOL}
    [listed] = of(events, RunEventType.MCP_LISTED)
    assert {one["name"] for one in listed["tools"]} == reads
    assert {one["tool"]: one["code"] for one in listed["withheld"]} == {
        "restart": "not_read_only",
        "scale": "not_read_only",
        "drop": "not_read_only",
        "missing": "not_there",
    }
    kinds = [event.type for event in events]
    assert kinds.index(RunEventType.MCP_LISTED) == kinds.index(RunEventType.RUN_STARTED) + 1

    # The secret is on record as resolved for this run, once, and nowhere else: not even where the server quotes it.
    assert TOKEN not in timeline
    assert TOKEN not in json.dumps(model.requests)
    logged = capsys.readouterr()
    assert TOKEN not in logged.out + logged.err + caplog.text
    assert "not allowed with [withheld]" in timeline
    audit = (await surroundings.config.audit_events(ORG, action="secret.resolved")).items
    assert [event.target for event in audit] == ["platform-sre/ops-token"]

    # A replay gives the same trace, and asks nobody.
    assert again.equal, again
    assert [call.tool for call in again.calls] == ["ops_runbook", "ops_echo", "ops_notes"]
    assert again.ended is None
    assert len(twin.headers) == asked_so_far


async def test_what_a_server_returns_and_says_of_its_tools_stays_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does what it reads there: it calls what it is told to, and blames whom it is told to."""
    cause = {"service": "frontend", "change": BLAMED, "kind": "code", "summary": "As the system said."}
    blame = {"claim": "it was frontend", "tool_call_id": "call_2", "excerpt": "frontend broke production"}
    script = Script(
        [("ops_notes", {"topic": "orders"})],
        [("ops_restart", {"service": "orders"}), ("ops_unlisted", {}), ("restart", {"service": "orders"})],
        last=report([blame], root_cause=cause, confidence=1.0, remediation="rollback"),
    )
    twin = McpTwin()
    async with serve(twin.app()) as url:
        result = await run(script, {"ops": server(url)}, monkeypatch)
    assert twin.called == [("notes", {"topic": "orders"})]
    assert (result.answer.root_cause, result.answer.remediation, result.answer.evidence) == (None, None, ())
    # Its words are in the fence, whose end it cannot write, and the secret in them is nowhere.
    fenced = re.compile(
        r'<untrusted source="mcp:ops[^"\n]*" call="[^"\n]*" nonce="(\w+)">\n(.*?)\n</untrusted nonce="\1">', re.S
    )
    [returned] = [text for text in script.returned() if "SYSTEM" in text]
    assert fenced.fullmatch(returned)
    assert len(re.findall("<.{0,2}untrusted", returned)) == 2
    everything = json.dumps([event.model_dump(mode="json") for event in result.events]) + str(script.shown)
    assert LEAKED not in everything
    assert INJECTION not in everything
    description = script.offered["ops_notes"].description
    assert POISON in description
    assert POISON not in fenced.sub("", description)


async def test_each_failure_of_a_call_is_a_result_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [
        ("ops_slow", {}),
        ("ops_large", {"size": 200_000}),
        ("ops_large", {"size": 5_000_000}),
        ("ops_runbook", {}),
    ]
    script = Script(calls)
    twin = McpTwin()
    async with serve(twin.app(json_response=True)) as url:
        result = await run(script, {"ops": server(url, timeout_s=2)}, monkeypatch)
        twin.never.set()
    found = errors(result)
    assert [code for code, _ in found] == ["mcp_timed_out", "result_too_large", "too_large", "mcp_tool_failed"]
    assert "within 2 s" in found[0][1]
    assert "service" in found[3][1]  # the server's own words on what is missing


@pytest.mark.parametrize(
    ("changes", "refuse", "code"),
    [
        ({"url": "http://127.0.0.1:9/mcp"}, None, "mcp_unavailable"),
        ({"url": "http://169.254.169.254/mcp"}, None, "address_refused"),
        ({}, 503, "mcp_unavailable"),
        ({}, 401, "mcp_refused"),
        ({"headers": {"Authorization": {"$secret": "nowhere"}}}, None, "config_service_required"),
    ],
)
async def test_a_run_goes_on_without_a_server_that_is_away(
    changes: dict[str, Any], refuse: int | None, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script([("rank_anomalies", {})])
    async with serve(McpTwin(refuse=refuse).app()) as url, serve(McpTwin().app(stateless_http=True)) as there:
        servers = {"ops": {**server(url), **changes}, "books": server(there, tools=["runbook"])}
        result = await run(script, servers, monkeypatch)
    books, ops = of(result.events, RunEventType.MCP_LISTED)
    assert ops["away"]["code"] == code
    assert ops["tools"] == []
    assert books["away"] is None
    assert set(script.offered) == {"rank_anomalies", "books_runbook"}
    assert f"The MCP server 'ops' cannot be used in this run ({code})" in script.instructions


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = McpTwin()

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await twin.never.wait()
        await twin.app()(scope, receive, send)

    async with serve(silent) as url:
        result = await run(Script(), {"ops": server(url, timeout_s=1)}, monkeypatch)
        twin.never.set()
    [ops] = of(result.events, RunEventType.MCP_LISTED)
    assert ops["away"]["code"] == "mcp_timed_out"


async def test_a_missing_secret_and_a_missing_server(surroundings: Surroundings) -> None:
    twin = McpTwin()
    async with serve(twin.app()) as url, surroundings.agent() as agent:
        headers = {"Authorization": {"$secret": "nowhere"}}
        await surroundings.configure(team({"ops": server(url, headers=headers)}))
        run = await carried_out(surroundings, agent)
    assert run.status is RunStatus.SUCCEEDED
    [ops] = of(await surroundings.events(run.run_id), RunEventType.MCP_LISTED)
    assert ops["away"] == {"code": "secret_missing", "detail": "The secret 'nowhere' is not set for this team."}
    assert not twin.headers
    # The Config Service keeps none that names a server that is not there; a program's own document is refused, too.
    loose = team({}).model_copy(update={"agents": team({"ops": server("http://x")}).agents})
    with pytest.raises(Unprocessable, match="'ops'"):
        await surroundings.configure(loose)
    files = small_incident()
    with pytest.raises(Exception, match="no MCP server 'ops' that is on"):
        await Runner.run(planner(recorded(files), loose), asked(alert_of(files)))
