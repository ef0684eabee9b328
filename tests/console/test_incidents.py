"""The page of incidents and deliveries, in front of a real Orchestrator that received a signed webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from tests.console.conftest import ORG, Background, Desk, Served, console_settings, listener
from tests.environment import Trusted

from incidentfox.clients.orchestrator import OrchestratorClient
from incidentfox.clients.transport import TokenCredential
from incidentfox.console.assets import load_assets
from incidentfox.console.main import create_app
from incidentfox.console.templating import Pages
from incidentfox.contracts.webhooks import CreatedEndpoint, CreateEndpoint, Incident
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.ids import new_id
from incidentfox.orchestrator.main import create_app as create_orchestrator
from incidentfox.orchestrator.settings import OrchestratorSettings

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def orchestrator_url(desk: Desk, background: Background, trusted: Trusted) -> Iterator[str]:
    """A real Orchestrator's API on the desk's database."""
    opened, url = listener()
    settings = OrchestratorSettings(
        identity_key_file=trusted.folder / "orchestrator.jwk",
        trusted_keys_file=trusted.folder / "trusted.json",
        master_keys_file=trusted.folder / "master.json",
        database_url=SecretStr(desk.database.url("incidentfox_orchestrator")),
        config_service_url=desk.config_service_url,
    )
    service = Served(background, create_orchestrator(settings), opened)
    yield url
    service.stop()


@pytest.fixture(scope="module")
def console_url(desk: Desk, background: Background, trusted: Trusted, orchestrator_url: str) -> Iterator[str]:
    """A console in front of it."""
    opened, url = listener()
    settings = console_settings(trusted, desk.config_service_url, url, orchestrator_url)
    service = Served(background, create_app(settings), opened)
    yield url
    service.stop()


def new_endpoint(desk: Desk, url: str) -> CreatedEndpoint:
    async def make() -> CreatedEndpoint:
        client = OrchestratorClient(url, TokenCredential(desk.admin_token))
        try:
            return await client.create_endpoint(ORG, CreateEndpoint(source="custom", name="test"))
        finally:
            await client.close()

    return desk.run(make())


def deliver(url: str, created: CreatedEndpoint, event: dict[str, Any]) -> None:
    """One delivery, signed after Standard Webhooks."""
    body, stamp, message = json.dumps(event).encode(), str(int(time.time())), new_id("evt")
    key = base64.b64decode(created.secret.removeprefix("whsec_"))
    signature = hmac.new(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        "content-type": "application/json",
    }
    response = httpx2.post(url + created.endpoint.path, content=body, headers=headers)
    assert response.status_code == 202, response.text


def test_deliveries_are_listed_as_they_arrive(desk: Desk, orchestrator_url: str, console_url: str) -> None:
    with desk.visitor(url=console_url) as visitor:
        empty = visitor.get("/incidents").text
        deliver(
            orchestrator_url,
            new_endpoint(desk, orchestrator_url),
            {"type": "alert.triggered", "data": {"title": "Checkout is slow", "incident_key": "inc-1"}},
        )
        page = visitor.get("/incidents").text
    assert "Nothing was delivered yet." in empty
    assert "alert.triggered" in page
    assert "custom" in page


def test_a_team_does_not_see_what_is_not_its_own(desk: Desk, orchestrator_url: str, console_url: str) -> None:
    created = new_endpoint(desk, orchestrator_url)
    deliver(orchestrator_url, created, {"type": "alert.triggered", "data": {"title": "Not yours"}})
    with desk.visitor(desk.team_token, console_url) as visitor:
        page = visitor.get("/incidents")
    assert page.status_code == 200
    assert "alert.triggered" not in page.text


def test_incidents_link_to_their_source_and_their_run() -> None:
    run_id = new_id("run")
    incident = Incident(
        incident_id=new_id("inc"),
        org_id=ORG,
        team_node_id="shop-sre",
        source="pagerduty",
        external_id="Q1",
        title=HOSTILE,
        status="triggered",
        url=None,
        run_id=run_id,
        opened_at=utc_now(),
        updated_at=utc_now(),
    )
    page = Pages(load_assets()).render(
        "incidents.html",
        {"session": None, "incidents": [(incident, "https://example.com/Q1")], "deliveries": ()},
    )
    assert f'href="/runs/{run_id}"' in page
    assert 'href="https://example.com/Q1"' in page
    assert "<img src=x" not in page
