"""The stage of the Config Service's examples."""

from __future__ import annotations

from typing import Any

from httpx2 import Response
from tests.config_service.surroundings import Service
from tests.stories import CORRELATION, Stage

from incidentfox.config_service.audit.sealer import Sealer
from incidentfox.config_service.examples import story
from incidentfox.contracts.permissions import Permission

ORG, TEAM = "acme", "checkout"


async def stage_of(service: Service) -> Stage:
    """The story on this service, which must not know the organisation yet."""
    bound_to = {"agent": TEAM}

    async def send(method: str, url: str, headers: dict[str, str], body: Any) -> Response:
        return await service.http.request(method, url, headers={**headers, **CORRELATION}, json=body)

    def token(caller: str, permission: str) -> str:
        name = "platform" if caller == "operator" else caller
        return service.service_token(name, Permission(permission), ORG, bound_to.get(caller))

    async def seal() -> None:
        """The chain's end is told only when everything so far is in it."""
        sealer = Sealer(service.app.state.parts.database)
        admin = service.as_service("platform")
        while (await admin.audit_chain(ORG)).unsealed:
            await sealer.seal_all()

    document = (await service.http.get("/openapi.json")).json()
    return Stage(story(), document, send, token, {"Read where the audit chain ends": seal})
