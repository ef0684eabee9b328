"""Each team's configuration: can an agent be built from it, are its secrets set, do the systems it names answer?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx2

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.tree import Node, NodeKind
from incidentfox.kernel.errors import Failure
from incidentfox.local.checks.finding import Finding, State

SLACK_API = "https://slack.com/api/"
OFFLINE = "offline"
_TIMEOUT_S = 3.0


async def check_teams(client: ConfigServiceClient, org_id: str) -> AsyncIterator[Finding]:
    """At least one finding for each team that is not archived."""
    try:
        nodes = [node async for node in _nodes(client, org_id)]
    except Failure as failure:
        yield _finding("tree", State.FAILED, f"cannot be read: {failure.detail}", "Use a token that may read it.")
        return
    teams = [node for node in nodes if node.kind is NodeKind.TEAM and node.archived_at is None]
    if not teams:
        yield _finding("tree", State.NOTE, f"{org_id} has no team", "incidentfox node create TEAM --parent " + org_id)
    by_id = {node.node_id: node for node in nodes}
    secrets: dict[str, frozenset[str]] = {}
    async with httpx2.AsyncClient(timeout=_TIMEOUT_S) as http:
        for team in teams:
            try:
                document = (await client.effective(org_id, team.node_id)).document
                for node_id in _path(team, by_id):
                    if node_id not in secrets:
                        page = await client.secrets(org_id, node_id)
                        secrets[node_id] = frozenset(secret.name for secret in page.items)
            except Failure as failure:
                yield _finding(
                    team.node_id, State.FAILED, failure.detail, f"incidentfox config effective {team.node_id}"
                )
                continue
            known = frozenset[str]().union(*(secrets[node_id] for node_id in _path(team, by_id)))
            async for found in _check_team(http, team.node_id, document, known):
                yield found


async def _check_team(
    http: httpx2.AsyncClient, team: str, document: TeamConfiguration, known: frozenset[str]
) -> AsyncIterator[Finding]:
    plain = document.model_dump(mode="json", by_alias=True)
    missing = sorted(set(_secret_names(plain)) - known)
    for name in missing:
        yield _finding(
            team, State.FAILED, f"the secret {name} is set nowhere on its path", f"incidentfox secret set {team} {name}"
        )
    unreachable = [(what, url) for what, url in _addresses(document, plain) if not await _answers(http, url)]
    for what, url in unreachable:
        yield _finding(
            team, State.WARNING, f"{what} does not answer at {url} from here", "Check the address, and the way to it."
        )
    if not missing and not unreachable:
        yield Finding(part="teams", check=team, state=State.OK, found=_described(document))


def _addresses(document: TeamConfiguration, plain: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the team's agent will talk to, where that is switched on."""
    slack = document.integrations.slack
    if slack.enabled:
        yield "Slack", (slack.base_url or SLACK_API).rstrip("/") + "/api.test"
    if document.integrations.telemetry.backend == "http":
        for name in ("metrics_url", "logs_url", "traces_url", "changes_url"):
            if url := getattr(document.integrations.telemetry, name):
                yield name.partition("_")[0], url
    for name in sorted(_models(document)):
        if url := plain["models"].get(name, {}).get("base_url"):
            yield f"the model {name}", url


async def _answers(http: httpx2.AsyncClient, url: str) -> bool:
    """Whether anything speaks HTTP there; any status will do, for nobody has signed in."""
    try:
        await http.head(url)
    except (httpx2.TransportError, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        return False
    return True


def _described(document: TeamConfiguration) -> str:
    models = sorted(
        {document.models[name].provider if name in document.models else OFFLINE for name in _models(document)}
    )
    slack = document.destinations.slack
    goes = f"Slack {slack.channel}" if slack is not None and slack.enabled and slack.channel else "console and API only"
    return f"model {', '.join(models)}; telemetry {document.integrations.telemetry.backend}; answers to {goes}"


def _models(document: TeamConfiguration) -> set[str]:
    return {agent.model for agent in document.agents.values() if agent.enabled}


def _secret_names(value: Any) -> Iterator[str]:
    """Every `{"$secret": name}` of a document."""
    if isinstance(value, dict):
        if isinstance(name := value.get("$secret"), str):
            yield name
        for item in value.values():
            yield from _secret_names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secret_names(item)


def _path(node: Node, by_id: Mapping[str, Node]) -> list[str]:
    """The node and everything above it that may be seen."""
    path = [node.node_id]
    while node.parent_id is not None and node.parent_id in by_id:
        node = by_id[node.parent_id]
        path.append(node.node_id)
    return path


async def _nodes(client: ConfigServiceClient, org_id: str) -> AsyncIterator[Node]:
    cursor: str | None = None
    while True:
        page = await client.nodes(org_id, cursor=cursor)
        for node in page.items:
            yield node
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def _finding(check: str, state: State, found: str, remedy: str) -> Finding:
    return Finding(part="teams", check=check, state=state, found=found, remedy=remedy)
