"""The organisation that a local installation begins with: its teams, an admin token, webhook endpoints.

Everything goes through the services' own API with the platform's key; a second start finds what the first one made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from incidentfox.cli.investigation import EVALUATION_TEAM, TEAM_IDENTIFIER
from incidentfox.cli.private_file import write_private
from incidentfox.cli.settings import Profile
from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential, TokenCredential
from incidentfox.clients.orchestrator import OrchestratorClient
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind
from incidentfox.contracts.webhooks import CreatedEndpoint, CreateEndpoint
from incidentfox.kernel.errors import Conflict, NotFound, Unauthenticated
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.local.stack import Stack

ORG = "acme"
SHOP_TEAM = "shop-sre"
PLATFORM_TEAM = "platform-sre"
TEAMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    SHOP_TEAM: (
        "Shop SRE",
        {"routing": {"pagerduty_services": ["PSHOP01"], "services": ["web", "orders", "inventory"]}},
    ),
    PLATFORM_TEAM: (
        "Platform SRE",
        {"routing": {"pagerduty_services": ["PPLAT01"], "services": ["ingress", "dns"]}},
    ),
    EVALUATION_TEAM: (
        "Evaluation: takes the recorded incidents that nobody owns",
        {"routing": {"custom": {TEAM_IDENTIFIER: [EVALUATION_TEAM]}}},
    ),
}


class Seeder:
    """Talks to the services of a running stack as the platform's operator."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        identity = ServiceIdentity("platform", dict(stack.keys.services["platform"].private_jwk))
        credential = ServiceCredential(identity)
        self.config_service = ConfigServiceClient(stack.installation.url("config-service"), credential)
        self.orchestrator = OrchestratorClient(stack.installation.url("orchestrator"), credential)

    async def close(self) -> None:
        """Closes the connections."""
        await self.config_service.close()
        await self.orchestrator.close()

    async def seed(self) -> Profile:
        """Makes the organisation and its teams where they are missing; the CLI's profile, written and returned."""
        with contextlib.suppress(Conflict):
            await self.config_service.create_organisation(CreateOrganisation(org_id=ORG, name="Acme"))
        for team, (name, document) in TEAMS.items():
            await self._seed_team(team, name, document)
        return await self._profile()

    async def endpoint(self, source: str, name: str) -> CreatedEndpoint:
        """A new webhook endpoint of the organisation, with its secret."""
        return await self.orchestrator.create_endpoint(ORG, CreateEndpoint(source=source, name=name))

    async def kept_endpoint(self, source: str, name: str) -> CreatedEndpoint:
        """An endpoint whose secret this installation keeps (0600), made at its first use."""
        path = self._stack.installation.keys / f"endpoint-{source}.json"
        if path.exists():
            kept = CreatedEndpoint.model_validate_json(path.read_text())
            with contextlib.suppress(NotFound):
                await self.orchestrator.endpoint(ORG, kept.endpoint.endpoint_id)
                return kept
        created = await self.endpoint(source, name)
        write_private(path, created.model_dump_json())
        return created

    async def sign_in_link(self, profile: Profile) -> str:
        """A link that signs a browser in, once."""
        client = ConfigServiceClient(profile.config_service_url, TokenCredential(profile.token))
        try:
            code = await client.create_sign_in_code()
        finally:
            await client.close()
        return f"{profile.console_url}/sign-in?code={code.code}"

    async def _seed_team(self, team: str, name: str, document: Mapping[str, Any]) -> None:
        try:
            await self.config_service.create_node(
                ORG, CreateNode(node_id=team, parent_id=ORG, kind=NodeKind.TEAM, name=name)
            )
        except Conflict:
            return
        await self.config_service.put_configuration(ORG, team, dict(document))

    async def _profile(self) -> Profile:
        installation = self._stack.installation
        kept = Profile.model_validate_json(installation.profile.read_text()) if installation.profile.exists() else None
        token = kept.token if kept and await self._is_live(kept.token) else await self._new_token()
        profile = Profile(
            config_service_url=installation.url("config-service"),
            orchestrator_url=installation.url("orchestrator"),
            agent_url=installation.url("agent"),
            console_url=installation.url("console"),
            org_id=ORG,
            token=token,
        )
        write_private(installation.profile, profile.model_dump_json(indent=2))
        return profile

    async def _is_live(self, token: str) -> bool:
        client = ConfigServiceClient(self._stack.installation.url("config-service"), TokenCredential(token))
        try:
            await client.me()
        except Unauthenticated:
            return False
        finally:
            await client.close()
        return True

    async def _new_token(self) -> str:
        created = await self.config_service.create_token(ORG, CreateToken(name="incidentfox up"))
        return created.secret
