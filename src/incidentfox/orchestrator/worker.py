"""The composition root of the worker process: takes deliveries from the durable queue and hands their runs to agents.

`incidentfox serve worker`. Serves nothing but `/healthz`, `/readyz` and `/metrics`. SIGTERM lets what runs finish for a
while and leaves the rest to the other workers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential
from incidentfox.clients.orchestrator import AUDIENCE
from incidentfox.kernel.db.retention import Retention
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.signals import Signals
from incidentfox.kernel.durable import Engine
from incidentfox.kernel.errors import Unavailable
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.kernel.logging import configure_logging
from incidentfox.kernel.telemetry import configure_telemetry
from incidentfox.kernel.web import app as web
from incidentfox.kernel.web.auth import Authenticator
from incidentfox.kernel.web.server import run_app
from incidentfox.orchestrator.audit.service import Outbox
from incidentfox.orchestrator.audit.workflow import declare_audit
from incidentfox.orchestrator.deliveries.store import PURGE, PURGED_AT_ONCE
from incidentfox.orchestrator.dispatch.service import Agents, Dispatch
from incidentfox.orchestrator.dispatch.workflow import declare_dispatch
from incidentfox.orchestrator.settings import WORKER_PORT, OrchestratorSettings
from incidentfox.orchestrator.webhooks.store import QUEUE, QUEUED

WORKER = "orchestrator-worker"


def create_app(settings: OrchestratorSettings) -> FastAPI:
    """The worker: its engine is launched and stopped with the application."""
    credential = ServiceCredential(ServiceIdentity(AUDIENCE, settings.identity_key()))
    # One attempt: a step that fails is tried again by the engine, which keeps count and gives up its place meanwhile.
    config_service = ConfigServiceClient(settings.config_service_url, credential, attempts=1)
    agents = Agents(settings.agent_url, credential)
    database = Database(settings.database_url.get_secret_value(), settings.database_pool_size)
    engine = Engine(settings.engine())
    declare_dispatch(
        engine,
        Dispatch(database, config_service, agents),
        concurrency=settings.dispatch_concurrency,
        org_concurrency=settings.dispatch_org_concurrency,
        partition_concurrency=settings.dispatch_partition_concurrency,
    )
    declare_audit(engine, Outbox(database, config_service))
    signals = Signals(settings.database_url.get_secret_value())
    signals.subscribe(QUEUED, lambda _: engine.ring(QUEUE))
    retention = Retention(database, PURGE, settings.delivery_retention(), PURGED_AT_ONCE)
    working = False

    async def ready() -> None:
        if not working:
            raise Unavailable("The worker has not taken up work.", code="worker_not_launched")
        await database.ping()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal working
        try:
            await engine.launch()
            signals.start()
            retention.start()
            working = True
            yield
        finally:
            working = False
            await signals.stop()
            await engine.stop(settings.drain_s)
            await retention.stop()
            await agents.close()
            await config_service.close()
            await database.close()

    return web.create_app(
        web.AppParts(
            service=WORKER,
            title="IncidentFox Orchestrator worker",
            authenticator=Authenticator(AUDIENCE, settings.trusted_keys(), None),
            lifespan=lifespan,
            ready=ready,
        )
    )


def main() -> None:
    """Works until SIGTERM. Called by `incidentfox serve worker`."""
    settings = OrchestratorSettings()
    configure_logging(WORKER, settings.log_level)
    configure_telemetry(WORKER, settings.otlp_endpoint)
    run_app(create_app(settings), settings.host, settings.port or WORKER_PORT)
