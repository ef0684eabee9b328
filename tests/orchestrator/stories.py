"""The stage of the Orchestrator's examples."""

from __future__ import annotations

from typing import Any

from httpx2 import Response
from tests.orchestrator.conftest import ORG, pagerduty_signature
from tests.orchestrator.platform import Platform
from tests.stories import CORRELATION, Stage

from incidentfox.contracts.permissions import Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.webhooks import Endpoint
from incidentfox.orchestrator.examples import BODY, SECRET, story


async def stage_of(platform: Platform) -> Stage:
    """The story on this platform: Ada has her token, and PagerDuty pages before she looks what was delivered."""
    http = platform.door.http
    ada = CreateToken(name="Laptop of Ada", role=Role.ORG_ADMIN, user="ada@acme.example")
    token = (await platform.platform.create_token(ORG, ada)).secret

    async def send(method: str, url: str, headers: dict[str, str], body: Any) -> Response:
        return await http.request(method, url, headers={**headers, **CORRELATION}, json=body)

    async def page() -> None:
        listed = await send("GET", f"/api/v1/orgs/{ORG}/webhook-endpoints", {"Authorization": f"Bearer {token}"}, None)
        endpoint = Endpoint.model_validate(listed.json()["items"][0])
        signed = {**CORRELATION, "X-PagerDuty-Signature": pagerduty_signature(SECRET, BODY.encode())}
        assert (await platform.door.post(endpoint.path, BODY.encode(), signed)).status_code == 202
        async with platform.worker():
            await platform.settled()

    document = (await http.get("/openapi.json")).json()
    return Stage(story(), document, send, lambda *_: token, {"List what was delivered": page})
