"""What a run needs of the Config Service, from an empty organisation to the finished run, through the client."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.config_service.surroundings import Service, Tenants

from incidentfox.contracts.answer import Answer, RootCause, Usage
from incidentfox.contracts.audit import AppendAuditEvent
from incidentfox.contracts.configuration import ResolveSecrets
from incidentfox.contracts.events import AppendRunEvent, AppendRunEvents, RunEventType
from incidentfox.contracts.routing import Identifier, IdentifierKind, RoutingLookup
from incidentfox.contracts.runs import (
    CreateRun,
    EffectStatus,
    FinishRun,
    IntendEffect,
    RunInput,
    RunStatus,
    SettleEffect,
    StartedRun,
)
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.tenant import Tenant

pytestmark = pytest.mark.anyio


async def test_an_event_becomes_a_finished_run(service: Service, tenants: Tenants) -> None:
    admin = service.with_token(tenants.admin)
    orchestrator, agent = service.as_service("orchestrator"), service.as_service("agent")
    await admin.put_secret(tenants.org, tenants.org, "slack-bot", "xoxb-1")
    await admin.put_configuration(
        tenants.org,
        "checkout",
        {
            "routing": {"pagerduty_services": ["p123"]},
            "integrations": {"slack": {"enabled": True, "bot_token": {"$secret": "slack-bot"}}},
        },
    )

    lookup = RoutingLookup(identifiers=(Identifier(kind=IdentifierKind.PAGERDUTY_SERVICE, value="P123"),))
    route = await orchestrator.lookup_route(tenants.org, lookup)
    assert route.team_node_id == "checkout"
    assert route.reason == "pagerduty_service P123 belongs to checkout"
    await orchestrator.append_audit_event(
        tenants.org, AppendAuditEvent(event_key="d1", team_node_id="checkout", action="delivery.routed", target="dlv_1")
    )

    run_id, tenant = new_id("run"), Tenant(tenants.org, "checkout")
    request = CreateRun(
        run_id=run_id,
        team_node_id="checkout",
        input=RunInput(prompt="Why?"),
        source="pagerduty",
        correlation_id="cor_12345678",
    )
    assert (await orchestrator.create_run(tenants.org, request)).status is RunStatus.QUEUED

    effective = await agent.team_effective(tenant)
    await agent.start_run(tenant, run_id, StartedRun(config_hash=effective.hash))
    secrets = await agent.resolve_secrets(tenant, ResolveSecrets(run_id=run_id, names=("slack-bot", "absent")))
    assert secrets.values == {"slack-bot": "xoxb-1"}
    event = AppendRunEvent(event_key="e1", type=RunEventType.RUN_STARTED, at=datetime.now(UTC), data={"a": 1})
    appended = await agent.append_run_events(tenant, run_id, AppendRunEvents(events=(event,)))
    assert [item.seq for item in appended.items] == [1]
    await agent.intend_effect(tenant, run_id, IntendEffect(effect_key="slack/C1", destination="slack", target="C1"))
    settled = await agent.settle_effect(
        tenant, run_id, "slack/C1", SettleEffect(status=EffectStatus.DONE, external_id="1.2")
    )
    assert settled.status is EffectStatus.DONE
    answer = Answer(
        run_id=run_id,
        config_hash=effective.hash,
        usage=Usage(requests=2),
        duration_s=1.5,
        root_cause=RootCause(service="checkout", change=None, kind="deploy", summary="It broke."),
        confidence=0.9,
    )
    finished = await agent.finish_run(tenant, run_id, FinishRun(status=RunStatus.SUCCEEDED, answer=answer))
    assert finished.answer == answer

    team = service.with_token(tenants.teams["checkout"])
    assert (await team.run(tenants.org, run_id)).status is RunStatus.SUCCEEDED
    assert [item.run_id for item in (await team.runs(tenants.org, status="succeeded")).items] == [run_id]
    types = [item.type for item in (await team.run_events(tenants.org, run_id)).items]
    assert types == [RunEventType.RUN_STARTED, RunEventType.RUN_FINISHED]
    assert [item.external_id for item in (await team.run_effects(tenants.org, run_id)).items] == ["1.2"]
    actions = {item.action for item in (await team.audit_events(tenants.org)).items}
    assert {"delivery.routed", "run.created", "run.started", "run.finished", "secret.resolved"} <= actions
