"""The agent's settings: the only place of this package that reads the environment."""

from __future__ import annotations

from pydantic import Field

from incidentfox.kernel.durable import EngineSettings
from incidentfox.kernel.settings import DatabaseSettings, ServiceSettings

DEFAULT_PORT = 8084
WORKFLOW_VERSION = 1
"""Raised when a run in flight could not go on under the new code: the order or the names of its steps changed."""


class PlannerSettings(ServiceSettings):
    """What it takes to read a team's configuration: all that `get_planner_for_team` needs."""

    config_service_url: str = Field(default="http://127.0.0.1:8081", description="Base URL of the Config Service.")


class AgentSettings(PlannerSettings, DatabaseSettings):
    """The settings of the agent service."""

    console_url: str = Field(
        default="http://127.0.0.1:8080", description="Base URL of the console, for links in posted answers."
    )
    agent_runs_per_team: int = Field(
        default=4, ge=1, le=100, description="Runs of one team at a time, over all agent processes."
    )
    agent_runs_per_process: int = Field(default=16, ge=1, le=500, description="Runs at a time in one agent process.")
    durable_poll_interval_s: float = Field(
        default=0.1, gt=0, le=5, description="Seconds between looks for queued runs; an idle agent waits half of it."
    )

    drain_s: float = Field(
        default=10.0, ge=0, le=300, description="Seconds that a stopping process lets its running work finish."
    )

    def listen_port(self) -> int:
        """The port to listen on."""
        return self.port or DEFAULT_PORT

    def engine(self) -> EngineSettings:
        """How this process takes part in durable execution."""
        return EngineSettings(
            service="agent",
            database_url=self.database_url.get_secret_value(),
            version=WORKFLOW_VERSION,
            poll_interval_s=self.durable_poll_interval_s,
        )
