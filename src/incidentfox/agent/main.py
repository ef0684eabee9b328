"""The composition root of the agent: makes its parts from the settings and puts the routes together.

`uvicorn incidentfox.agent.main:app --factory`, or `main()` through `incidentfox serve agent`; default port 8084.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from genai_prices.data_snapshot import get_snapshot

from incidentfox.agent.api import Door, router
from incidentfox.agent.destination import known_destinations
from incidentfox.agent.provider import known_providers
from incidentfox.agent.settings import AgentSettings
from incidentfox.agent.toolbox import catalogue
from incidentfox.agent.workflow import QUEUE, declare_run
from incidentfox.clients.agent import AUDIENCE
from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential
from incidentfox.clients.introspection import IntrospectingAuthenticator
from incidentfox.kernel.durable import Engine
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.kernel.logging import configure_logging
from incidentfox.kernel.telemetry import configure_telemetry
from incidentfox.kernel.web.app import AppParts
from incidentfox.kernel.web.app import create_app as create_service
from incidentfox.kernel.web.auth import Authenticator
from incidentfox.kernel.web.server import run_app

SERVICE = "agent"


def app() -> FastAPI:
    """The application with its settings from the environment: what uvicorn calls."""
    settings = AgentSettings()
    configure_logging(SERVICE, settings.log_level)
    configure_telemetry(SERVICE, settings.otlp_endpoint)
    return create_app(settings)


def main() -> None:
    """Serves until SIGTERM: the process of `incidentfox serve agent`."""
    settings = AgentSettings()
    run_app(app(), settings.host, settings.listen_port(), trusted_proxies=settings.trusted_proxies)


def create_app(settings: AgentSettings) -> FastAPI:
    """The application with given settings. It executes runs as long as it is up."""
    _load_all()
    identity = ServiceIdentity(SERVICE, settings.identity_key())
    client = ConfigServiceClient(settings.config_service_url, ServiceCredential(identity))
    engine = Engine(settings.engine())
    engine.queue(
        QUEUE,
        concurrency_per_partition=settings.agent_runs_per_team,
        worker_concurrency=settings.agent_runs_per_process,
    )
    declare_run(engine, client, settings.console_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.launch()
        try:
            yield
        finally:
            await engine.stop(settings.drain_s)
            await client.close()

    async def ready() -> None:
        await engine.status("readiness")

    authenticator = Authenticator(AUDIENCE, settings.trusted_keys(), IntrospectingAuthenticator(client))
    service = create_service(
        AppParts(
            service=SERVICE, title="IncidentFox Agent", authenticator=authenticator, lifespan=lifespan, ready=ready
        )
    )
    service.include_router(router(Door(engine, client)))
    return service


def _load_all() -> None:
    """Finds plug-ins and price table now: a broken one stops the start, and no incident waits for their imports."""
    catalogue()
    known_providers()
    known_destinations()
    get_snapshot()
