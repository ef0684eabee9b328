"""Effective configuration → agents (decision 006): built anew for each run, so that a saved change is live at once.

`get_planner_for_team` is the door for programs; the service itself makes the `Planner` from the configuration that it
has pinned for the run (`workflow.py`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_ai import Agent, RunContext, ToolOutput
from pydantic_ai import Tool as FunctionTool
from pydantic_ai.exceptions import AgentRunError

from incidentfox.agent.budget import Account, Meter
from incidentfox.agent.fences import FENCE_RULE, fence
from incidentfox.agent.mcp.live import LiveServers
from incidentfox.agent.mcp.offers import Servers
from incidentfox.agent.mcp.toolset import ServerToolset
from incidentfox.agent.policy import NO_LIMITS, TurnsExhausted, guard_model, guard_tools
from incidentfox.agent.provider import Provider, chosen_model
from incidentfox.agent.scope import RunScope
from incidentfox.agent.settings import PlannerSettings
from incidentfox.agent.sources import TelemetryFactory, resolve_secret, telemetry_sources
from incidentfox.agent.toolbox import catalogue, toolset
from incidentfox.agent.withheld import sentences
from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential
from incidentfox.contracts.answer import Report
from incidentfox.contracts.configuration import (
    AgentConfiguration,
    EffectiveConfiguration,
    ModelConfiguration,
    Runbook,
    TeamConfiguration,
)
from incidentfox.contracts.events import RunEventType
from incidentfox.kernel.errors import Unprocessable
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.kernel.tenant import Tenant

Investigator = Agent[RunScope, Report]
ChooseModel = Callable[[TeamConfiguration, str], tuple[Provider, ModelConfiguration]]

REPORT_TOOL = "write_report"
REPORT_RULE = (
    "End by calling `write_report`, once. Every claim of its evidence cites the id of the tool call it rests on and "
    "quotes, word for word, an excerpt of that call's result; claims without both are dropped. If the signals do not "
    "show the cause, say so: root_cause null with low confidence is a valid answer, a guess is not."
)


@dataclass(frozen=True)
class Planner:
    """One team's agents as its configuration describes them, ready for any number of runs.

    `open_telemetry` makes the telemetry of one run; `close` ends what the planner itself opened. `client` resolves the
    keys of models; without one only models that need no key can be asked. `choose_model` finds what a configuration
    calls by a key, `open_servers` makes the MCP servers of a run by its id; a replay puts what was recorded there.
    """

    configuration: EffectiveConfiguration
    open_telemetry: TelemetryFactory
    close: Callable[[], Awaitable[None]]
    client: ConfigServiceClient | None = None
    choose_model: ChooseModel = chosen_model
    open_servers: Callable[[str], Servers] | None = None

    @property
    def tenant(self) -> Tenant:
        """Whose planner this is."""
        return Tenant(self.configuration.org_id, self.configuration.team_node_id)

    @property
    def document(self) -> TeamConfiguration:
        """The effective document."""
        return self.configuration.document

    @property
    def entrance(self) -> AgentConfiguration:
        """The agent that takes the question."""
        return _enabled(self.document, self.document.entrance_agent)

    def agent(self, scope: RunScope) -> Investigator:
        """The entrance agent with everything below it, bound to one run. Raises Unprocessable for a configuration
        that names what does not exist, or whose sub-agents form a circle.
        """
        return _build(self, self.document.entrance_agent, scope, path=())

    async def secret(self, run_id: str, name: str) -> str:
        """A secret of the team, resolved for one run. Raises SecretMissing where it is not set."""
        if self.client is None:
            raise Unprocessable("A model with a key needs the Config Service.", code="config_service_required")
        return await resolve_secret(self.client, self.tenant, run_id, name)

    def servers(self, run_id: str) -> Servers:
        """The MCP servers of one run; nothing is opened yet."""
        if self.open_servers is not None:
            return self.open_servers(run_id)
        taken = {*catalogue(), REPORT_TOOL, *map(_delegation_name, self.document.agents)}
        return LiveServers(self.document.mcp_servers, frozenset(taken), partial(self.secret, run_id))

    def server_keys(self) -> frozenset[str]:
        """The MCP servers of the entrance agent and of those below it."""
        return frozenset(_servers_of(self.document, self.document.entrance_agent, set()))

    def tool_names(self) -> tuple[str, ...]:
        """The tools that are on for the entrance agent."""
        return _tools_on(self.document, self.entrance)

    def runbooks(self) -> dict[str, Runbook]:
        """The team's runbooks that are on, by key."""
        return {key: one for key, one in self.document.knowledge.runbooks.items() if one.enabled}


async def get_planner_for_team(
    org_id: str,
    team_node_id: str,
    *,
    client: ConfigServiceClient | None = None,
    open_telemetry: TelemetryFactory | None = None,
) -> Planner:
    """The planner of a team, from its effective configuration as it is now.

    Without `client` one is made from the environment (PlannerSettings) and closed by `planner.close()`. Tests and
    programs with signals of their own pass `open_telemetry`.
    """
    own = client is None
    client = client or _client_from_environment()
    tenant = Tenant(org_id, team_node_id)
    configuration = await client.team_effective(tenant)
    return Planner(
        configuration=configuration,
        open_telemetry=open_telemetry or telemetry_sources(client, tenant, configuration.document),
        close=client.close if own else _nothing,
        client=client,
    )


def _client_from_environment() -> ConfigServiceClient:
    settings = PlannerSettings()
    identity = ServiceIdentity("agent", settings.identity_key())
    return ConfigServiceClient(settings.config_service_url, ServiceCredential(identity))


async def _nothing() -> None:
    return None


def _enabled(document: TeamConfiguration, key: str) -> AgentConfiguration:
    found = document.agents.get(key)
    if found is None or not found.enabled:
        state = "has no agent" if found is None else "has switched off the agent"
        raise Unprocessable(f"The configuration {state} {key!r}.", code="unknown_agent")
    return found


def _tools_on(document: TeamConfiguration, agent: AgentConfiguration) -> tuple[str, ...]:
    return tuple(name for name in agent.tools if name not in document.tools or document.tools[name].enabled)


def _servers_on(document: TeamConfiguration, agent: AgentConfiguration) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(agent.mcp_servers))
    unknown = [key for key in wanted if key not in document.mcp_servers or not document.mcp_servers[key].enabled]
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise Unprocessable(f"The configuration has no MCP server {names} that is on.", code="unknown_mcp_server")
    return wanted


def _servers_of(document: TeamConfiguration, key: str, seen: set[str]) -> set[str]:
    agent = document.agents.get(key)
    if agent is None or not agent.enabled or key in seen:
        return set()
    seen.add(key)
    return set(agent.mcp_servers).union(*(_servers_of(document, name, seen) for name in agent.sub_agents))


def _build(planner: Planner, key: str, scope: RunScope, path: tuple[str, ...]) -> Investigator:
    document = planner.document
    if key in path:
        raise Unprocessable(f"The sub-agents form a circle: {' → '.join((*path, key))}.", code="circular_agents")
    agent = _enabled(document, key)
    helpers = [name for name in agent.sub_agents if name not in document.agents or document.agents[name].enabled]
    delegations = [
        _delegation(name, document.agents[name].description, _build(planner, name, scope, (*path, key)))
        for name in helpers
        if _enabled(document, name)
    ]
    prompt = agent.prompt
    instructions = (prompt.prefix, prompt.system, prompt.suffix, FENCE_RULE, REPORT_RULE)
    scope.withheld.update(*map(sentences, instructions))
    provider, chosen = planner.choose_model(document, agent.model)
    model = provider.build(chosen, partial(planner.secret, scope.run_id))
    return Agent(
        guard_model(model, scope, level=len(path), meter=_meter(planner, provider, chosen, scope)),
        name=key,
        deps_type=RunScope,
        output_type=ToolOutput(Report, name=REPORT_TOOL, description="Write the report that ends the investigation."),
        instructions="\n\n".join(text for text in instructions if text),
        tools=delegations,
        toolsets=[
            guard_tools(toolset(_tools_on(document, agent))),
            *(guard_tools(ServerToolset(server), origin="mcp") for server in _servers_on(document, agent)),
        ],
        retries=3,
    )


def _meter(planner: Planner, provider: Provider, chosen: ModelConfiguration, scope: RunScope) -> Meter | None:
    """The account that a model draws on; None for one that costs nothing.

    Raises Unprocessable where budgets could not be kept: a limit on money needs a price, and any limit the ledger.
    """
    if provider.price is None:
        return None
    price, budgets = provider.price(chosen), planner.document.budgets
    if price is None and (budgets.run_usd is not None or budgets.day_usd is not None):
        raise Unprocessable(
            f"The price of the model {chosen.name!r} is not known, and the team's budget is in US dollars: set `prices`"
            " of the model, or budgets in tokens.",
            code="unknown_price",
        )
    if planner.client is None:
        raise Unprocessable("A model that costs something needs the Config Service.", code="config_service_required")
    return Meter(scope, Account(planner.client, planner.tenant), price, chosen.max_output_tokens)


def _delegation_name(key: str) -> str:
    return f"ask_{key.replace('-', '_')}"


def _delegation(key: str, description: str, agent: Investigator) -> FunctionTool[RunScope]:
    """A sub-agent as a tool of the agent above. Its own calls are on the timeline and can be cited; itself cannot."""
    name = _delegation_name(key)

    async def ask(ctx: RunContext[RunScope], question: str) -> str:
        scope, call_id = ctx.deps, ctx.tool_call_id or ""
        scope.calls += 1
        about = {"tool_call_id": call_id, "tool": name}
        asked = {"question": scope.redactor.redact(question)}
        scope.note(RunEventType.TOOL_CALLED, f"{call_id}-called", {**about, "arguments": asked})
        result: Any
        try:
            report = (await agent.run(question, deps=scope, usage_limits=NO_LIMITS)).output
            result, is_error = scope.redactor.redact(report.model_dump(mode="json")), False
        except AgentRunError as error:
            result, is_error = {"error": {"code": "sub_agent_failed", "detail": str(error)}}, True
        except TurnsExhausted as failure:
            result, is_error = {"error": {"code": failure.code, "detail": failure.detail}}, True
        ended = {"result": result, "is_error": is_error, "duration_ms": 0.0}
        scope.note(RunEventType.TOOL_RETURNED, f"{call_id}-returned", {**about, **ended})
        return fence(json.dumps(result), source=f"agent:{key}", nonce=scope.nonce, call=call_id)

    return FunctionTool(
        ask,
        takes_ctx=True,
        name=name,
        description=description or f"Ask the agent {key}.",
        sequential=True,
    )
