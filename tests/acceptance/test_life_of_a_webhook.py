"""The whole path, by the processes and entry points of production: a signed alert becomes a posted root cause.

webhook → delivery → route → audit → run → tools → evidence → answer → Slack, console, CLI; one correlation id.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import sys
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from tests.acceptance.product import CHANNEL, GUILTY, PAGERDUTY_SERVICE, TEAM, Product, Tenancy
from tests.acceptance.sender import FIRED_AT, Message, custom_alert, pagerduty_event

from incidentfox.contracts.answer import Answer
from incidentfox.contracts.audit import AuditEvent
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.runs import EffectStatus, ExecuteRun, Run, RunStatus
from incidentfox.contracts.webhooks import AcceptedDelivery, Delivery, DeliveryStatus

pytestmark = pytest.mark.anyio

DETAILS = {"service": "orders", "metric": "http_5xx_ratio", "threshold": 0.05, "observed": 0.4, "fired_at": FIRED_AT}


@dataclass(frozen=True)
class Journey:
    """One alert and everything that became of it."""

    message: Message
    answered: httpx2.Response
    delivery: Delivery
    run: Run
    events: list[RunEvent]
    audit: list[AuditEvent]

    @property
    def answer(self) -> Answer:
        """The run's answer."""
        assert self.run.answer is not None
        return self.run.answer

    def moment(self, kind: RunEventType) -> RunEvent:
        """The first event of its kind on the timeline."""
        return next(event for event in self.events if event.type is kind)

    def audited(self, action: str) -> AuditEvent:
        """The one audit event of this action."""
        [found] = [event for event in self.audit if event.action == action]
        return found


@pytest.fixture(scope="module")
async def tenant(product: Product) -> Tenancy:
    """A team whose live telemetry is the recorded incident."""
    made = await product.tenant()
    telemetry = {"backend": "recording", "recording_id": made.recording_id}
    await made.admin.patch_configuration(made.org_id, TEAM, {"integrations": {"telemetry": telemetry}})
    return made


@pytest.fixture(scope="module")
async def paged(tenant: Tenancy) -> Journey:
    """A PagerDuty V3 `incident.triggered`, all the way."""
    message = pagerduty_event("incident.triggered", "PGR0VU2", PAGERDUTY_SERVICE, details=DETAILS)
    return await travel(tenant, message, await tenant.pagerduty.send(message))


async def travel(tenant: Tenancy, message: Message, answered: httpx2.Response) -> Journey:
    assert answered.status_code == 202, answered.text
    accepted = AcceptedDelivery.model_validate_json(answered.content)
    delivery = await tenant.delivery(accepted.delivery_id or "")
    run = await tenant.finished(delivery.run_id or "")
    events = (await tenant.admin.run_events(tenant.org_id, run.run_id)).items
    audit = (await tenant.admin.audit_events(tenant.org_id)).items
    about = [event for event in audit if event.correlation_id == delivery.correlation_id]
    return Journey(message, answered, delivery, run, list(events), about)


async def test_a_signed_alert_becomes_a_root_cause_with_evidence(paged: Journey) -> None:
    assert paged.run.status is RunStatus.SUCCEEDED, paged.run.error
    cause = paged.answer.root_cause
    assert cause is not None
    assert (cause.service, cause.change) == ("orders", GUILTY)
    assert paged.answer.first_failing_service == "orders"
    assert paged.answer.confidence > 0.5
    assert paged.answer.config_hash == paged.run.config_hash
    assert paged.answer.usage.tool_calls > 0


async def test_each_claim_quotes_the_tool_call_that_it_cites(paged: Journey) -> None:
    returned = {
        event.data["tool_call_id"]: json.dumps(event.data["result"], ensure_ascii=False)
        for event in paged.events
        if event.type is RunEventType.TOOL_RETURNED
    }
    assert paged.answer.evidence
    for claim in paged.answer.evidence:
        # The result is nested JSON; quotes within it are escaped once more than in the excerpt.
        assert _plain(claim.excerpt) in _plain(returned[claim.tool_call_id]), claim


async def test_the_team_is_found_by_its_pagerduty_service_and_the_reason_is_kept(paged: Journey) -> None:
    assert paged.delivery.status is DeliveryStatus.PROCESSED
    assert paged.delivery.team_node_id == paged.run.team_node_id == TEAM
    routed = paged.moment(RunEventType.DELIVERY_ROUTED)
    assert routed.data["matched"]["value"] == PAGERDUTY_SERVICE
    assert paged.audited("delivery.routed").detail["matched"] == routed.data["matched"]


async def test_it_is_on_record_before_anything_runs(paged: Journey) -> None:
    routed = paged.audited("delivery.routed")
    assert routed.target == paged.delivery.delivery_id
    order = ["delivery.routed", "run.created", "run.started", "run.finished"]
    happened = [event.action for event in sorted(paged.audit, key=lambda event: event.at) if event.action in order]
    assert happened == order
    started = paged.moment(RunEventType.RUN_STARTED)
    assert paged.run.started_at is not None
    assert paged.delivery.received_at <= routed.at <= paged.run.created_at <= paged.run.started_at <= started.at
    kinds = [event.type for event in paged.events]
    assert kinds[:3] == [RunEventType.DELIVERY_ACCEPTED, RunEventType.DELIVERY_ROUTED, RunEventType.RUN_STARTED]
    assert kinds[-1] is RunEventType.RUN_FINISHED
    assert [event.seq for event in paged.events] == list(range(1, len(kinds) + 1))


async def test_one_message_is_in_slack(product: Product, tenant: Tenancy, paged: Journey) -> None:
    [message] = await product.posts(paged.run.run_id)
    [effect] = (await tenant.admin.run_effects(tenant.org_id, paged.run.run_id)).items
    assert message["channel"] == CHANNEL
    assert effect.status is EffectStatus.DONE
    assert (effect.external_id or "").endswith(f"/{message['ts']}")
    assert message["metadata"] == {
        "event_type": "incidentfox_answer",
        "event_payload": {"run_id": paged.run.run_id, "effect_key": effect.effect_key},
    }
    words = json.dumps(message["blocks"], ensure_ascii=False)
    assert paged.answer.root_cause is not None
    assert GUILTY[:8] in words
    assert _plain(paged.answer.evidence[0].claim) in _plain(words)
    assert f"{product.url('console')}/runs/{paged.run.run_id}" in words


async def test_api_timeline_and_command_line_show_the_same_answer(
    product: Product, tenant: Tenancy, paged: Journey
) -> None:
    shown = json.loads(await command(product, tenant, "run", "show", paged.run.run_id, "--json"))
    assert Answer.model_validate(shown["answer"]) == paged.answer
    assert Run.model_validate(shown) == paged.run
    ready = paged.moment(RunEventType.ANSWER_READY)
    assert Answer.model_validate(ready.data) == paged.answer
    request = ExecuteRun(run_id=paged.run.run_id, org_id=tenant.org_id, team_node_id=TEAM)
    assert await product.agent.run(request) == paged.run


async def test_the_console_shows_the_run(product: Product, tenant: Tenancy, paged: Journey) -> None:
    console = product.url("console")
    code = (await tenant.admin.create_sign_in_code()).code
    async with httpx2.AsyncClient(base_url=console, headers={"Accept": "text/html"}, follow_redirects=True) as browser:
        assert (await browser.get(f"/runs/{paged.run.run_id}")).url.path == "/sign-in"
        signed_in = await browser.post("/sign-in", data={"code": code}, headers={"Origin": console})
        assert signed_in.url.path == "/runs"
        assert f"/runs/{paged.run.run_id}" in signed_in.text
        page = await browser.get(f"/runs/{paged.run.run_id}")
    assert page.status_code == 200
    words = _plain(html.unescape(page.text))
    assert paged.answer.root_cause is not None
    assert _plain(paged.answer.root_cause.summary) in words
    for claim in paged.answer.evidence:
        assert _plain(claim.claim) in words
    assert f" {paged.answer.confidence:.0%}"[:-1] in words
    assert GUILTY[:8] in page.text


async def test_one_correlation_id_from_the_webhook_to_the_answer(product: Product, paged: Journey) -> None:
    born = paged.answered.headers["x-correlation-id"]
    assert born == paged.delivery.correlation_id == paged.run.correlation_id
    assert {"delivery.routed", "run.created", "run.started", "run.finished"} <= {event.action for event in paged.audit}
    for process in ("orchestrator", "worker", "agent", "config-service"):
        lines = [line for line in product.log(process) if line.get("correlation_id") == born]
        assert lines, f"{process} has logged nothing about this event"


async def test_the_secrets_of_the_path_are_in_no_log(product: Product, tenant: Tenancy, paged: Journey) -> None:
    logs = "".join(path.read_text() for path in product.stack.installation.logs.iterdir())
    for secret in (product.slack_token, tenant.token, tenant.pagerduty.secret, tenant.custom.secret):
        assert secret not in logs


async def test_a_replay_starts_nothing(product: Product, tenant: Tenancy, paged: Journey) -> None:
    before = (await tenant.deliveries(), await tenant.runs())
    again = await tenant.pagerduty.send(paged.message)
    assert again.status_code == 200
    assert AcceptedDelivery.model_validate_json(again.content).delivery_id == paged.delivery.delivery_id
    # A further delivery, dispatched after the replay, shows that the replay has had its time.
    later = pagerduty_event("incident.annotated", "PGR0VU2", PAGERDUTY_SERVICE)
    await tenant.dispatched(tenant.pagerduty, later)
    deliveries, runs = before
    assert len(await tenant.deliveries()) == len(deliveries) + 1
    assert await tenant.runs() == runs
    assert len(await product.posts(paged.run.run_id)) == 1


async def test_a_recording_named_by_a_custom_event_is_investigated(product: Product, tenant: Tenancy) -> None:
    message = custom_alert(tenant.recording_id, incident_key="recorded-1")
    journey = await travel(tenant, message, await tenant.custom.send(message))
    assert journey.run.status is RunStatus.SUCCEEDED, journey.run.error
    assert journey.run.input.recording_id == tenant.recording_id
    assert journey.answer.root_cause is not None
    assert journey.answer.root_cause.change == GUILTY
    assert journey.audited("delivery.routed").detail["matched"]["kind"] == "service"
    assert len(await product.posts(journey.run.run_id)) == 1


async def test_what_happens_to_an_incident_is_on_record_and_starts_no_run(product: Product, tenant: Tenancy) -> None:
    message = pagerduty_event("incident.triggered", "PGRLIFE", PAGERDUTY_SERVICE, details=DETAILS)
    journey = await travel(tenant, message, await tenant.pagerduty.send(message))
    incident = await tenant.orchestrator.incident(tenant.org_id, journey.delivery.incident_id or "")
    assert (incident.status, incident.external_id, incident.run_id) == ("triggered", "PGRLIFE", journey.run.run_id)
    for minute, status in ((46, "acknowledged"), (50, "resolved")):
        at = f"2026-03-01T10:{minute}:00Z"
        event = pagerduty_event(f"incident.{status}", "PGRLIFE", PAGERDUTY_SERVICE, occurred_at=at)
        noted = await tenant.dispatched(tenant.pagerduty, event)
        assert (noted.status, noted.run_id) == (DeliveryStatus.PROCESSED, None)
        assert noted.incident_id == incident.incident_id
        assert (await tenant.orchestrator.incident(tenant.org_id, incident.incident_id)).status == status
    about = [run for run in await tenant.runs() if run.incident_id == incident.incident_id]
    assert [run.run_id for run in about] == [journey.run.run_id]
    assert len(await product.posts(journey.run.run_id)) == 1


async def test_an_event_of_nobodys_is_on_record_and_starts_no_run(tenant: Tenancy) -> None:
    stray = custom_alert(tenant.recording_id, service="somebody-elses")
    delivery = await tenant.dispatched(tenant.custom, stray)
    assert (delivery.status, delivery.run_id, delivery.team_node_id) == (DeliveryStatus.UNROUTED, None, None)
    [event] = (await tenant.admin.audit_events(tenant.org_id, action="delivery.unrouted")).items
    assert event.target == delivery.delivery_id


@pytest.mark.parametrize("what", ["signature", "body", "secret"])
async def test_what_is_not_signed_by_the_endpoints_secret_leaves_no_row(tenant: Tenancy, what: str) -> None:
    message = pagerduty_event("incident.triggered", "PFORGED", PAGERDUTY_SERVICE, details=DETAILS)
    headers = tenant.pagerduty.signed(message)
    if what == "signature":
        headers["X-PagerDuty-Signature"] = headers["X-PagerDuty-Signature"][:-1] + "g"
    if what == "secret":
        headers = replace_secret(tenant).signed(message)
    body = message.body + (b" " if what == "body" else b"")
    before = len(await tenant.deliveries())
    async with httpx2.AsyncClient() as http:
        answer = await http.post(tenant.pagerduty.url, content=body, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(await tenant.deliveries()) == before


def replace_secret(tenant: Tenancy) -> Any:
    return replace(tenant.pagerduty, secret="another-secret")


async def command(product: Product, tenant: Tenancy, *arguments: str) -> str:
    """What `incidentfox …` prints, run as a person of the tenant would."""
    environment = {
        **os.environ,
        "INCIDENTFOX_HOME": str(product.stack.installation.home),
        "INCIDENTFOX_CONFIG_SERVICE_URL": product.url("config-service"),
        "INCIDENTFOX_ORCHESTRATOR_URL": product.url("orchestrator"),
        "INCIDENTFOX_ORG": tenant.org_id,
        "INCIDENTFOX_TOKEN": tenant.token,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "incidentfox",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return printed.decode()


def _plain(text: str) -> str:
    """The words alone: mark-up, escapes and white space differ from place to place."""
    return re.sub(r"[^a-z0-9]+", " ", re.sub(r"&(?:amp|lt|gt);|<[^>]*>|\\[nrt\"]", " ", text.lower())).strip()
