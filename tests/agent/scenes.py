"""What the agent's tests are made of: a team's configuration, planners over recordings, and inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from incidentfox.agent.planner import Planner
from incidentfox.agent.telemetry.protocol import Telemetry
from incidentfox.agent.telemetry.recording import RecordingTelemetry
from incidentfox.agent.toolbox import catalogue
from incidentfox.contracts.configuration import EffectiveConfiguration, TeamConfiguration
from incidentfox.contracts.runs import AlertInput, RunInput

ORG, TEAM = "acme", "platform-sre"
HASH = "sha256:" + "0" * 64
ALL_TOOLS = tuple(sorted(catalogue()))


def document(**changes: Any) -> TeamConfiguration:
    """A team's effective document with one agent that has every tool."""
    agent = {"tools": ALL_TOOLS, "prompt": {"system": "You are the on-call engineer of the platform team."}}
    tools = {name: {"enabled": True} for name in ALL_TOOLS} | changes.pop("tools", {})
    base = {"entrance_agent": "sre", "agents": {"sre": agent}}
    return TeamConfiguration.model_validate({**base, **changes, "tools": tools})


def effective(wanted: TeamConfiguration | None = None) -> EffectiveConfiguration:
    """The effective configuration of the team."""
    return EffectiveConfiguration(org_id=ORG, team_node_id=TEAM, hash=HASH, document=wanted or document())


def planner(telemetry: Telemetry, wanted: TeamConfiguration | None = None) -> Planner:
    """A planner whose runs read the given telemetry."""

    async def nothing() -> None:
        return None

    return Planner(effective(wanted), lambda *_: telemetry, nothing)


def recording_files(folder: Path) -> dict[str, str]:
    """A recording as it would be uploaded: every file but the graded answer."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "truth.json"
    }


def recorded(files: Mapping[str, str]) -> RecordingTelemetry:
    """Telemetry from a recording's files."""

    async def load() -> Mapping[str, str]:
        return files

    return RecordingTelemetry(load)


def alert_of(files: Mapping[str, str]) -> AlertInput:
    """The alert of a recording."""
    alert = json.loads(files["alert.json"])
    return AlertInput(title=f"{alert['service']}: {alert['metric']}", **alert)


def asked(alert: AlertInput | None, prompt: str = "", **rest: Any) -> RunInput:
    """A run's input."""
    return RunInput(prompt=prompt, alert=alert, **rest)


def small_incident() -> dict[str, str]:
    """A recording of our own: a commit takes the bound off a query, the service times out, its caller suffers."""
    minutes = range(60)
    rows = ["timestamp,service,metric,value"]
    for minute in minutes:
        at = f"2026-03-01T10:{minute:02d}:00Z"
        bad = minute >= 40
        rows.append(f"{at},orders,db_query_duration_p99_ms,{900 + minute if bad else 10 + minute % 3}")
        rows.append(f"{at},orders,http_5xx_ratio,{0.4 if bad else 0.001}")
        rows.append(f"{at},frontend,http_5xx_ratio,{0.3 if bad else 0.001}")
        rows.append(f"{at},frontend,cpu_utilization,{20 + minute % 2}")
    logs = []
    for minute in minutes:
        at = f"2026-03-01T10:{minute:02d}:30Z"
        logs.append(
            {"timestamp": at, "service": "orders", "severity_text": "INFO", "msg": f"listed orders in {minute} ms"}
        )
        if minute >= 40:
            words = "list_orders: statement timeout, 812000 rows examined"
            logs.append({"timestamp": at, "service": "orders", "severity_text": "ERROR", "msg": words})
    span = {"trace_id": "t1", "start": "2026-03-01T10:50:00Z", "status": "ERROR"}
    spans = [
        {**span, "span_id": "a", "parent_id": None, "service": "frontend", "name": "GET /orders", "duration_ms": 3010},
        {**span, "span_id": "b", "parent_id": "a", "service": "orders", "name": "list_orders", "duration_ms": 3000,
         "error": "statement timeout"},
    ]  # fmt: skip
    guilty = (
        "@@ orders/store.py @@ def list_orders\n"
        "-    rows = db.query(SELECT_ORDERS + ' LIMIT 100')\n"
        "+    rows = db.query(SELECT_ORDERS)\n"
    )
    innocent = "@@ frontend/theme.css @@\n-color: red\n+color: blue\n"
    commits = [
        {"sha": "a" * 40, "author": "kim", "timestamp": "2026-03-01T10:20:00Z", "message": "tidy list_orders",
         "files_changed": ["orders/store.py"], "diff": guilty},
        {"sha": "b" * 40, "author": "lee", "timestamp": "2026-03-01T10:36:00Z", "message": "new colours",
         "files_changed": ["frontend/theme.css"], "diff": innocent},
    ]  # fmt: skip
    deploys = [
        {"timestamp": "2026-03-01T10:38:30Z", "service": "orders", "commit_sha": "a" * 40, "version": "v7"},
        {"timestamp": "2026-03-01T10:39:00Z", "service": "frontend", "commit_sha": "b" * 40, "version": "v9"},
    ]
    alert = {
        "service": "orders", "metric": "http_5xx_ratio", "threshold": 0.05, "observed": 0.4, "severity": "critical",
        "fired_at": "2026-03-01T10:45:00Z", "monitor": "orders-errors",
        "summary": "orders is failing: statement timeout",
    }  # fmt: skip
    return {
        "alert.json": json.dumps(alert),
        "metrics.csv": "\n".join(rows) + "\n",
        "logs.ndjson": "\n".join(json.dumps(line) for line in logs) + "\n",
        "traces.json": json.dumps(spans),
        "context/commits.json": json.dumps(commits),
        "context/deploys.json": json.dumps(deploys),
        "context/flags.json": "[]",
    }
