"""One test judges every tool: described, bounded, deterministic, read-only, honest about what it cannot answer."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from pydantic_ai import RunContext
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from tests.agent.scenes import alert_of, recorded, small_incident

from incidentfox.agent.journal import PassingJournal
from incidentfox.agent.policy import MAX_RESULT_BYTES
from incidentfox.agent.scope import RunScope
from incidentfox.agent.telemetry.protocol import NoTelemetry, Signal, Telemetry
from incidentfox.agent.toolbox import Tool, catalogue
from incidentfox.analysis.signals import DatabaseSession, StatusNotice
from incidentfox.contracts.configuration import AgentLimits, Runbook
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.redaction import redact

pytestmark = pytest.mark.anyio

ARGUMENTS: dict[str, dict[str, Any]] = {
    "rank_anomalies": {},
    "query_metrics": {"service": "orders", "metric": "http_5xx_ratio"},
    "find_log_patterns": {},
    "search_logs": {"text": "timeout"},
    "analyse_traces": {},
    "rank_changes": {"services": ["orders"], "onset": 1772361600.0, "identifiers": ["list_orders"]},
    "show_change": {"ref": "a" * 12},
    "database_activity": {},
    "status_notices": {},
    "find_runbooks": {"query": "statement timeout", "services": ["orders"]},
}
RUNBOOKS = {
    "orders": Runbook(
        title="Orders: slow queries",
        text="# Symptoms\n\nA statement timeout in the logs.\n\n# Mitigation\n\nRoll back the last deploy of orders.",
        services=("orders*",),
        url="https://wiki.test/orders",
    ),
    "mail": Runbook(title="Mail", text="A statement timeout here is harmless.", services=("mailer",)),
}


class Everything:
    """The small incident, with a database and a status feed."""

    def __init__(self) -> None:
        self._recorded = recorded(small_incident())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorded, name)

    async def available(self) -> frozenset[Signal]:
        return frozenset(Signal)

    async def database(self) -> list[DatabaseSession]:
        holder = DatabaseSession(7, "orders", "idle in transaction", "Client:ClientRead", 90.0, 80.0, "UPDATE stock")
        waiter = DatabaseSession(8, "frontend", "active", "Lock:transactionid", 30.0, 30.0, "UPDATE stock", (7,))
        return [holder, waiter]

    async def notices(self) -> list[StatusNotice]:
        return [StatusNotice(1772361000.0, "dns", "degraded", "resolver not responding")]


def context(telemetry: Telemetry, runbooks: dict[str, Runbook] | None = None) -> RunContext[RunScope]:
    alert = alert_of(small_incident())
    scope = RunScope(
        run_id="run_x",
        alert=alert,
        fired_at=alert.fired_at.timestamp(),
        telemetry=telemetry,
        signals=frozenset(Signal),
        journal=PassingJournal(),
        limits=AgentLimits(),
        nonce="0" * 16,
        started_at=0.0,
        emit=lambda _: None,
        runbooks=RUNBOOKS if runbooks is None else runbooks,
    )
    return RunContext(deps=scope, model=TestModel(), usage=RunUsage())


def test_every_tool_has_its_case() -> None:
    assert set(ARGUMENTS) == set(catalogue())


@pytest.mark.parametrize("tool", catalogue().values(), ids=catalogue())
async def test_tool(tool: Tool) -> None:
    definition = tool.definition()
    schema = definition.function_schema.json_schema
    assert definition.description
    assert tool.effect == "read"
    assert bool(tool.needs) == (tool.reads == "signals")
    assert all(field.get("description") for field in schema["properties"].values())
    assert inspect.getmodule(tool.function).__doc__  # type: ignore[union-attr]

    everything: Any = Everything()
    first, second = [await tool.function(context(everything), **ARGUMENTS[tool.name]) for _ in range(2)]
    text = json.dumps(first, allow_nan=False)
    assert json.loads(text) == json.loads(json.dumps(second))
    assert len(text) < MAX_RESULT_BYTES
    assert json.loads(json.dumps(redact(first))) == json.loads(text), "an innocent result is not redacted"
    if "limit" in schema["properties"]:
        await tool.function(context(everything), **ARGUMENTS[tool.name], limit=10**9)
        await tool.function(context(everything), **ARGUMENTS[tool.name], limit=-1)

    where = r"integrations\.telemetry" if tool.reads == "signals" else r"knowledge\.runbooks"
    with pytest.raises(Failure, match=where):
        await tool.function(context(NoTelemetry(), {}), **ARGUMENTS[tool.name])


async def test_what_does_not_exist_is_said_with_what_does() -> None:
    everything: Any = Everything()
    query = catalogue()["query_metrics"].function
    with pytest.raises(Failure, match="db_query_duration_p99_ms"):
        await query(context(everything), service="orders", metric="nonsense")
    with pytest.raises(Failure, match="frontend"):
        await query(context(everything), service="nonsense", metric="x")
    with pytest.raises(Failure, match="No commit or flag"):
        await catalogue()["show_change"].function(context(everything), ref="fffffff")


async def test_the_blocker_is_found() -> None:
    everything: Any = Everything()
    result = await catalogue()["database_activity"].function(context(everything))
    assert [one["pid"] for one in result["blockers"]] == [7]
    assert result["states"] == {"active": 1, "idle in transaction": 1}


async def test_runbooks_are_found_with_their_source_and_those_of_others_are_not() -> None:
    find = catalogue()["find_runbooks"].function
    result = await find(context(NoTelemetry()), query="statement timeouts", services=["orders-api"])
    assert result["runbooks"] == 2
    assert [(one["runbook"], one["heading"]) for one in result["sections"]] == [
        ("orders", "Symptoms"),
        ("orders", "Mitigation"),
    ]
    assert {one["url"] for one in result["sections"]} == {"https://wiki.test/orders"}
    assert result["sections"][0]["excerpt"] == "A statement timeout in the logs."
    assert result["titles"] == []
    nothing = await find(context(NoTelemetry()), query="certificate expired")
    assert nothing["sections"] == []
    assert nothing["titles"] == ["Mail", "Orders: slow queries"]


@pytest.mark.parametrize("letter", ["u", "\U0001f98a"])
async def test_the_longest_runbooks_make_a_bounded_result(letter: str) -> None:
    text = f"# timeout {letter * 5000}\n\n" + f"timeout {letter * 20} " * 800
    many = {
        f"r{number}": Runbook(
            title=letter * 200,
            text=text,
            services=tuple(f"{letter * 120}-{service}" for service in range(100)),
            url="https://w.test/" + letter * 1900,
        )
        for number in range(12)
    }
    query = "timeout " + letter * 3000
    result = await catalogue()["find_runbooks"].function(context(NoTelemetry(), many), query=query, limit=99)
    assert 2 <= len(result["sections"]) <= 10
    assert result["left_out"] > 0
    assert len(json.dumps(result, ensure_ascii=False).encode()) < MAX_RESULT_BYTES // 1.5
