"""An organisation with units, policies and people, for the pages about configuration, tokens and audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.permissions import Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, NodeKind

ORG = "orbit"
SECRET_VALUE = "sk-do-not-show-4711"

ORG_DOCUMENT: dict[str, Any] = {
    "budgets": {"run_usd": 2, "day_usd": 50},
    "privacy": {"redact_emails": True},
    "models": {
        "default": {
            "provider": "openai_compatible",
            "name": "llama-3.3-70b",
            "base_url": "https://models.orbit.example/v1",
            "api_key": {"$secret": "model-key"},
        }
    },
    "integrations": {"slack": {"enabled": True, "bot_token": {"$secret": "slack-bot"}}},
    "policies": {
        "/budgets/run_usd": {"required": True, "max": 5},
        "/privacy/redact_emails": {"locked": True},
        "/models/*/provider": {"allowed": ["offline", "openai_compatible"]},
        "/agents/*/model": {"requires_approval": True},
    },
}
UNIT_DOCUMENT: dict[str, Any] = {
    "budgets": {"run_usd": 3},
    "agents": {"investigator": {"prompt": {"suffix": "The shops sell in 14 countries.\nTimes are UTC."}}},
}
TEAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "checkout": (
        "shops",
        {
            "budgets": {"run_usd": 4},
            "agents": {"investigator": {"limits": {"max_turns": 40}}},
            "routing": {"services": ["checkout", "payments"], "slack_channels": ["C0CHECKOUT"]},
            "destinations": {"slack": {"channel": "#inc-checkout"}},
        },
    ),
    "search": ("shops", {"routing": {"services": ["search"], "service_patterns": ["search-*"]}}),
    "billing": ("back-office", {"routing": {"github_repositories": ["orbit/billing"]}}),
}
PEOPLE: dict[str, tuple[Role, str | None]] = {
    "mira": (Role.ORG_ADMIN, None),
    "jonas": (Role.ORG_ADMIN, None),
    "ed": (Role.EDITOR, "shops"),
    "tess": (Role.TEAM_ADMIN, "checkout"),
    "vera": (Role.VIEWER, None),
    "audrey": (Role.AUDITOR, None),
}


@dataclass(frozen=True)
class Estate:
    """The people's tokens, by their handles."""

    tokens: dict[str, str]


async def found_estate(platform: ConfigServiceClient) -> Estate:
    """Makes it."""
    await platform.create_organisation(CreateOrganisation(org_id=ORG, name="Orbit"))
    for unit, name in (("shops", "Shops"), ("back-office", "Back office")):
        await platform.create_node(ORG, CreateNode(node_id=unit, parent_id=ORG, kind=NodeKind.UNIT, name=name))
    for team, (unit, _) in TEAMS.items():
        node = CreateNode(node_id=team, parent_id=unit, kind=NodeKind.TEAM, name=team.capitalize())
        await platform.create_node(ORG, node)
    for secret in ("model-key", "slack-bot"):
        await platform.put_secret(ORG, ORG, secret, SECRET_VALUE)
    await platform.put_configuration(ORG, ORG, ORG_DOCUMENT)
    await platform.put_configuration(ORG, "shops", UNIT_DOCUMENT)
    for team, (_, document) in TEAMS.items():
        await platform.put_configuration(ORG, team, document)
    tokens = {}
    for handle, (role, node_id) in PEOPLE.items():
        request = CreateToken(name=f"{handle}'s laptop", role=role, node_id=node_id, user=handle)
        tokens[handle] = (await platform.create_token(ORG, request)).secret
    return Estate(tokens)
