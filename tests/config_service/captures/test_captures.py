"""Captures: what a run read, kept once, within limits, for its own team; and a run as a recording."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.config_service.surroundings import Service, Tenants, as_superuser, new_run, query, tenant_settings

from incidentfox.config_service.captures import service as captures
from incidentfox.config_service.runs.store import PURGE
from incidentfox.contracts.captures import KeepCapture
from incidentfox.contracts.recordings import UploadRecording
from incidentfox.contracts.runs import AlertInput, FinishRun, RunInput, RunStatus, StartedRun
from incidentfox.kernel.db.retention import Retention
from incidentfox.kernel.errors import Conflict, Failure, Gone, NotFound, TooLarge, Unprocessable
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio

LOGS = KeepCapture(files={"logs.ndjson": '{"m": 1}\n' * 500})
METRICS = KeepCapture(files={"metrics.csv": "timestamp,service,metric,value\n"})
ALERT = AlertInput(title="checkout is slow", service="checkout", fired_at=datetime(2026, 3, 1, tzinfo=UTC))


async def a_run(service: Service, tenants: Tenants, **rest: object) -> str:
    return (await service.as_service("orchestrator").create_run(tenants.org, new_run(**rest))).run_id


async def test_what_was_read_twice_is_kept_once_and_comes_back_whole(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run_id = await a_run(service, tenants)
    first = await agent.keep_capture(tenant, run_id, LOGS)
    assert await agent.keep_capture(tenant, run_id, LOGS) == first
    assert (await agent.capture(tenant, run_id, first.capture_id)).files == LOGS.files
    [(stored,)] = query(
        service.database, "SELECT length(content) FROM config_run_captures", tenant_settings(tenants.org)
    )
    assert stored < first.size_bytes / 10


async def test_a_sibling_team_does_not_see_it(service: Service, tenants: Tenants) -> None:
    agent = service.as_service("agent")
    run_id = await a_run(service, tenants)
    kept = await agent.keep_capture(Tenant(tenants.org, "checkout"), run_id, LOGS)
    with pytest.raises(NotFound):
        await agent.capture(Tenant(tenants.org, "payments"), run_id, kept.capture_id)
    with pytest.raises(NotFound):
        await agent.keep_capture(Tenant(tenants.org, "payments"), run_id, METRICS)
    with pytest.raises(NotFound):
        await service.with_token(tenants.teams["payments"]).run_recording(tenants.org, run_id)


async def test_a_run_that_is_over_reads_nothing_more(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run_id = await a_run(service, tenants)
    kept = await agent.keep_capture(tenant, run_id, LOGS)
    await agent.start_run(tenant, run_id, StartedRun(config_hash="sha256:" + "0" * 64))
    await agent.finish_run(tenant, run_id, FinishRun(status=RunStatus.FAILED, error="x: y"))
    assert await agent.keep_capture(tenant, run_id, LOGS) == kept
    with pytest.raises(Conflict):
        await agent.keep_capture(tenant, run_id, METRICS)


async def test_all_captures_of_a_run_together_have_a_limit(
    service: Service, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run_id = await a_run(service, tenants)
    first = await agent.keep_capture(tenant, run_id, LOGS)
    monkeypatch.setattr(captures, "MAX_RUN_CAPTURE_BYTES", first.size_bytes + 1)
    with pytest.raises(TooLarge):
        await agent.keep_capture(tenant, run_id, METRICS)
    with pytest.raises(Unprocessable):
        await agent.keep_capture(tenant, run_id, KeepCapture(files={}))


async def test_a_run_whose_captures_aged_out_says_so(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    old = await a_run(service, tenants, input=RunInput(prompt="", alert=ALERT))
    kept = await agent.keep_capture(tenant, old, LOGS)
    admin = service.with_token(tenants.admin)
    assert (await admin.run_recording(tenants.org, old)).files.keys() == {"alert.json", "logs.ndjson"}
    await agent.finish_run(tenant, old, FinishRun(status=RunStatus.FAILED, error="test"))
    as_superuser(
        service.database,
        f"UPDATE config_run_captures SET created_at = now() - interval '91 days' WHERE org_id = '{tenants.org}'",
    )
    ninety = timedelta(days=90)
    await Retention(service.app.state.parts.database, PURGE, ninety, ninety, 100).purge()
    with pytest.raises(NotFound, match="limited time"):
        await agent.capture(tenant, old, kept.capture_id)
    with pytest.raises(Gone):
        await admin.run_recording(tenants.org, old)


async def test_a_damaged_capture_is_never_served(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    run_id = await a_run(service, tenants)
    kept = await agent.keep_capture(tenant, run_id, LOGS)
    as_superuser(
        service.database, f"UPDATE config_run_captures SET content = 'nonsense'::bytea WHERE run_id = '{run_id}'"
    )
    with pytest.raises(Failure) as failure:
        await agent.capture(tenant, run_id, kept.capture_id)
    assert failure.value.code == "integrity_failure"


async def test_a_run_on_a_recording_is_that_recording_with_its_own_alert(service: Service, tenants: Tenants) -> None:
    uploaded = UploadRecording(files={"alert.json": "{}", "metrics.csv": "timestamp,service,metric,value\n"})
    recording_id = (await service.as_service("platform").upload_recording(tenants.org, uploaded)).recording_id
    run_id = await a_run(service, tenants, input=RunInput(prompt="", alert=ALERT, recording_id=recording_id))
    files = (await service.with_token(tenants.teams["checkout"]).run_recording(tenants.org, run_id)).files
    assert files["metrics.csv"] == uploaded.files["metrics.csv"]
    assert json.loads(files["alert.json"])["service"] == "checkout"


async def test_a_question_is_no_incident(service: Service, tenants: Tenants) -> None:
    with pytest.raises(Unprocessable, match="question"):
        await service.with_token(tenants.admin).run_recording(tenants.org, await a_run(service, tenants))


async def test_the_configuration_of_a_run_stays_readable(service: Service, tenants: Tenants) -> None:
    agent, tenant = service.as_service("agent"), Tenant(tenants.org, "checkout")
    before = await agent.team_effective(tenant)
    admin = service.with_token(tenants.admin)
    await admin.put_configuration(tenants.org, "checkout", {"budgets": {"run_tokens": 5}})
    assert (await admin.effective(tenants.org, "checkout")).hash != before.hash
    assert (await agent.team_effective_of_run(tenant, before.hash)).document == before.document
    with pytest.raises(NotFound):
        await agent.team_effective_of_run(tenant, "sha256:" + "0" * 64)
    with pytest.raises(NotFound):
        await agent.team_effective_of_run(Tenant(tenants.org, "payments"), before.hash)
