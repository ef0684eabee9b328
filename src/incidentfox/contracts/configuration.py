"""A team's configuration: the typed schema of the effective document, and the calls that read and write it.

A node stores a *partial* document (JSON merge patch semantics, RFC 7396: objects merge by key, everything else
replaces, null removes). The effective document of a team is platform defaults → organisation → units → team, and
only that result is validated against `TeamConfiguration`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from incidentfox.contracts.model import NodeId, OrgId, WireModel

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
JsonObject = dict[str, Any]
ServiceName = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f]([^\x00-\x1f]{0,126}[^\s\x00-\x1f])?$")]

MAX_RUNBOOK_CHARACTERS = 32 * 1024
"""Of the text of one runbook."""
MAX_KNOWLEDGE_CHARACTERS = 1024 * 1024
"""Of the texts of all runbooks in one effective document, which is pinned for each run."""


class SecretReference(WireModel):
    """`{"$secret": "name"}`: a value kept encrypted beside the tree and resolved only for one run."""

    secret: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] = Field(alias="$secret")


class Prompt(WireModel):
    """The system prompt of an agent. `prefix` and `suffix` let a level below add without replacing `system`."""

    system: str = ""
    prefix: str = ""
    suffix: str = ""


class AgentLimits(WireModel):
    """Bounds of one run of one agent."""

    max_turns: int = Field(default=24, ge=1, le=200, description="Model requests in one run.")
    max_tool_calls: int = Field(default=60, ge=1, le=1000)
    timeout_s: int = Field(default=600, ge=1, le=7200, description="Wall-clock seconds for one run.")


class AgentConfiguration(WireModel):
    """One agent of a team. `tools`, `sub_agents` and `mcp_servers` name entries of the effective document."""

    enabled: bool = True
    description: str = ""
    model: Key = "default"
    prompt: Prompt = Prompt()
    tools: tuple[Key, ...] = ()
    sub_agents: tuple[Key, ...] = ()
    mcp_servers: tuple[Key, ...] = Field(default=(), description="MCP servers whose allowed tools it is offered.")
    limits: AgentLimits = AgentLimits()


class ToolConfiguration(WireModel):
    """Whether a tool of the catalogue is on for this team."""

    enabled: bool = True


McpToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]{1,128}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?$")]
HeaderValue = Annotated[
    Annotated[HeaderText, Tag("[text]")] | Annotated[SecretReference, Tag("[secret]")],
    # One branch, so that an error speaks of what was meant.
    Discriminator(lambda value: "[secret]" if isinstance(value, dict | SecretReference) else "[text]"),
]


class McpServer(WireModel):
    """An MCP server of the team, reached over streamable HTTP. Of its tools, the listed read-only ones are offered."""

    enabled: bool = True
    url: str = Field(description="Its endpoint, as https://host/mcp. It holds no credential.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default={}, max_length=20, description="Sent with each request. A credential is the whole value of a secret."
    )
    tools: tuple[McpToolName, ...] = Field(
        default=(), max_length=64, description="The tools that agents may be offered, as the server calls them."
    )
    timeout_s: int = Field(default=10, ge=1, le=40, description="The longest that one call may take.")


def offered_name(server: str, tool: str) -> str:
    """What agents call a tool of an MCP server: `<server>_<tool>`, with `_` for what models do not take in a name."""
    return f"{server}_{tool}".replace(".", "_").replace("/", "_")


class ModelPrices(WireModel):
    """What a model's tokens cost, in US dollars per million."""

    input_per_mtok_usd: float = Field(ge=0, le=100_000)
    output_per_mtok_usd: float = Field(ge=0, le=100_000)


class ModelConfiguration(WireModel):
    """A model that agents refer to by key. `offline` needs no credential and no network; the rest is for the others."""

    provider: Key = "offline"
    name: Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f]{1,200}$")] = Field(
        default="offline", description="As the provider calls it."
    )
    base_url: str | None = Field(default=None, description="Where the API is served; the provider's own unless set.")
    api_key: SecretReference | None = Field(default=None, description="None for a server that wants no key.")
    timeout_s: int = Field(
        default=60, ge=1, le=600, description="Seconds of silence after which a request is given up."
    )
    max_output_tokens: int = Field(default=4096, ge=16, le=200_000, description="The most that one answer may hold.")
    temperature: float | None = Field(default=None, ge=0, le=2, description="The provider's own unless set.")
    prices: ModelPrices | None = Field(default=None, description="Instead of the provider's published prices.")


class TelemetryIntegration(WireModel):
    """Where the team's signals are read. `backend` names a telemetry backend of the agent.

    For `http`, each URL serves the format in its description; what is unset is not asked. For `recording`,
    `recording_id` names an uploaded recording.
    """

    backend: Literal["none", "http", "recording"] = "none"
    metrics_url: str | None = Field(default=None, description="OpenMetrics text with timestamps.")
    logs_url: str | None = Field(default=None, description="NDJSON, one record a line.")
    traces_url: str | None = Field(default=None, description="NDJSON, one span a line.")
    changes_url: str | None = Field(default=None, description="JSON {commits, deploys, flags}.")
    database_url: SecretReference | None = Field(default=None, description="A read-only Postgres URL.")
    recording_id: str | None = None
    lookback_s: int = Field(default=3600, ge=60, le=86400, description="Seconds before the alert to read.")


class SlackIntegration(WireModel):
    """The Slack workspace of the team. `base_url` is Slack's own Web API unless set."""

    enabled: bool = False
    bot_token: SecretReference | None = None
    base_url: str | None = None


class Integrations(WireModel):
    """The outside systems that tools and destinations may use."""

    telemetry: TelemetryIntegration = TelemetryIntegration()
    slack: SlackIntegration = SlackIntegration()


class RoutingConfiguration(WireModel):
    """The identifiers that this team owns: only a team node sets them, and each has one owner in the organisation.

    `default_team` is the organisation's own: who gets what nobody owns.
    """

    slack_channels: tuple[str, ...] = ()
    github_repositories: tuple[str, ...] = ()
    pagerduty_services: tuple[str, ...] = ()
    incidentio_teams: tuple[str, ...] = ()
    incidentio_alert_sources: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    service_patterns: tuple[str, ...] = Field(
        default=(), description="Services by pattern: `*` stands for any text, also none, as in `checkout-*`."
    )
    custom: dict[Key, tuple[str, ...]] = {}
    default_team: NodeId | None = Field(default=None, description="Set on the organisation alone.")


class SlackDestination(WireModel):
    """Post the answer to this channel (id or #name)."""

    enabled: bool = True
    channel: str = ""


class Destinations(WireModel):
    """Where answers are posted."""

    slack: SlackDestination | None = None


class Runbook(WireModel):
    """What the team knows about a kind of trouble: Markdown that agents search with `find_runbooks`.

    Data for them, never instructions. An enabled one needs a title and a text; one that is switched off needs neither.
    """

    enabled: bool = True
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    text: str = Field(default="", max_length=MAX_RUNBOOK_CHARACTERS, description="Markdown; headings make sections.")
    services: tuple[ServiceName, ...] = Field(
        default=(),
        max_length=100,
        description="What it is about: services, or patterns in which `*` stands for any text. Empty: every service.",
    )
    url: str | None = Field(default=None, max_length=2000, description="Where people read it.")


class Knowledge(WireModel):
    """What people wrote down for the team's agents. It says what to do; it is no evidence of what broke."""

    runbooks: dict[Key, Runbook] = Field(default={}, max_length=200)


class Privacy(WireModel):
    """What is taken out of the team's telemetry and alerts beyond secrets, which always are."""

    redact_emails: bool = Field(default=False, description="Replace e-mail addresses before anything else sees them.")


class Budgets(WireModel):
    """Hard limits on model use. None means no limit of that kind."""

    run_tokens: int | None = Field(default=None, ge=1)
    day_tokens: int | None = Field(default=None, ge=1)
    run_usd: float | None = Field(default=None, gt=0)
    day_usd: float | None = Field(default=None, gt=0)


class RuntimeConfiguration(WireModel):
    """Which agent deployment serves the team: the shared one, or one of its own at `agent_url`."""

    mode: Literal["shared", "dedicated"] = "shared"
    agent_url: str | None = None


class TeamConfiguration(WireModel):
    """The effective configuration of a team: everything that its agent is built from."""

    entrance_agent: Key
    agents: dict[Key, AgentConfiguration]
    tools: dict[Key, ToolConfiguration] = {}
    mcp_servers: dict[Key, McpServer] = {}
    models: dict[Key, ModelConfiguration] = {}
    integrations: Integrations = Integrations()
    routing: RoutingConfiguration = RoutingConfiguration()
    destinations: Destinations = Destinations()
    budgets: Budgets = Budgets()
    knowledge: Knowledge = Knowledge()
    privacy: Privacy = Privacy()
    runtime: RuntimeConfiguration = RuntimeConfiguration()


class ConfigurationVersion(WireModel):
    """One immutable version of one node's own (partial) document. `version` 0 with `{}` means: never written."""

    org_id: OrgId
    node_id: NodeId
    version: int
    document: JsonObject
    hash: str
    created_at: datetime | None
    created_by: str | None
    change_request_id: str | None = Field(default=None, description="The change request that brought it, if one did.")


class EffectiveConfiguration(WireModel):
    """A team's effective document. `hash` is SHA-256 over its canonical JSON (RFC 8785) and is kept with each run."""

    org_id: OrgId
    team_node_id: NodeId
    hash: str
    document: TeamConfiguration
    sources: tuple[tuple[str, int], ...] = Field(
        default=(), description="(node id, version) of each level that contributed, root first."
    )


class PutSecret(WireModel):
    """Writes a secret. The value is never read back through any API but the agent's own resolution for one run."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=16384)] = Field(repr=False)


class SecretSummary(WireModel):
    """A secret without its value."""

    org_id: OrgId
    node_id: NodeId
    name: str
    key_id: str
    updated_at: datetime


class SecretUse(WireModel):
    """A team whose effective document refers to a secret."""

    team_node_id: NodeId
    pointers: tuple[str, ...] = Field(description="Where, as JSON Pointers into the effective document.")


class SecretRemoval(WireModel):
    """A secret that was deleted, or would be (`dry_run`), and who refers to it."""

    org_id: OrgId
    node_id: NodeId
    name: str
    dry_run: bool
    falls_back_to: NodeId | None = Field(
        description="The nearest node above with a secret of this name: what these teams get from then on."
    )
    used_by: int = Field(description="Teams that get this secret: none nearer to them has the same name.")
    uses: tuple[SecretUse, ...] = Field(description="The first 200 of them.")


class ResolveSecrets(WireModel):
    """The agent's request for the secrets that one run refers to. Each resolution is an audit event."""

    run_id: str
    names: tuple[str, ...]


class ResolvedSecrets(WireModel):
    """Plain values by name; names that are not set anywhere on the team's path are absent."""

    values: dict[str, str] = Field(repr=False)
