"""The Orchestrator's settings: the only place of this service that reads the environment."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from incidentfox.kernel.durable import EngineSettings
from incidentfox.kernel.settings import DatabaseSettings, MasterKeySettings, ServiceSettings

SERVICE = "orchestrator"
API_PORT = 8082
WORKER_PORT = 8083

WORKFLOW_VERSION = 1
"""Raised when a delivery that is on its way could not go on under the new order of steps."""


class OrchestratorSettings(ServiceSettings, DatabaseSettings, MasterKeySettings):
    """Settings of both processes, the API and the worker."""

    config_service_url: str = Field(default="http://127.0.0.1:8081", description="Base URL of the Config Service.")
    agent_url: str = Field(
        default="http://127.0.0.1:8084",
        description="Base URL of the shared Agent; dedicated ones are in the teams' configuration.",
    )
    ingress_pool_size: int = Field(
        default=8, ge=1, le=200, description="Connections that record webhooks, beside the API's own."
    )
    ingress_connections: int = Field(
        default=2000,
        ge=10,
        description="Connections to the API at a time; whoever opens one more is told 503 at once.",
    )
    dispatch_concurrency: int = Field(
        default=8, ge=1, le=1000, description="Deliveries that one worker dispatches at a time."
    )
    dispatch_org_concurrency: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Deliveries of one organisation that one worker dispatches at a time: an organisation whose agents"
        " hang leaves the other places free.",
    )
    dispatch_partition_concurrency: int = Field(
        default=2, ge=2, le=100, description="Deliveries of one origin that are dispatched at a time, over all workers."
    )
    dispatch_poll_interval_s: float = Field(
        default=0.1, gt=0, le=10, description="How often an idle worker looks for deliveries, in seconds."
    )
    delivery_retention_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="Days for which the payload of a delivery that is over, and a resolved incident, are kept.",
    )
    drain_s: float = Field(
        default=10.0, ge=0, le=300, description="How long a stopping worker lets running deliveries finish, in seconds."
    )

    def delivery_retention(self) -> timedelta:
        """How long payloads and incidents are kept."""
        return timedelta(days=self.delivery_retention_days)

    def engine(self) -> EngineSettings:
        """How the worker takes part in durable execution."""
        return EngineSettings(
            service=SERVICE,
            database_url=self.database_url.get_secret_value(),
            version=WORKFLOW_VERSION,
            poll_interval_s=self.dispatch_poll_interval_s,
        )
