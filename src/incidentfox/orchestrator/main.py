"""The composition root of the API process: webhooks in, endpoints, deliveries and incidents to look at.

`uvicorn incidentfox.orchestrator.main:app --factory`, or `main()` through `incidentfox serve orchestrator`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from incidentfox.clients.config_service import ConfigServiceClient, ServiceCredential
from incidentfox.clients.introspection import IntrospectingAuthenticator
from incidentfox.clients.orchestrator import AUDIENCE
from incidentfox.kernel.clock import Clock, system_clock
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.identity import ServiceIdentity
from incidentfox.kernel.logging import configure_logging
from incidentfox.kernel.telemetry import configure_telemetry
from incidentfox.kernel.web import app as web
from incidentfox.kernel.web.auth import Authenticator
from incidentfox.kernel.web.server import run_app, settle_memory
from incidentfox.orchestrator.deliveries.api import router as deliveries_router
from incidentfox.orchestrator.dry_run.api import router as dry_run_router
from incidentfox.orchestrator.endpoints.api import router as endpoints_router
from incidentfox.orchestrator.endpoints.service import Endpoints
from incidentfox.orchestrator.examples import story
from incidentfox.orchestrator.incidents.api import router as incidents_router
from incidentfox.orchestrator.settings import API_PORT, SERVICE, OrchestratorSettings
from incidentfox.orchestrator.webhooks.api import add_webhook_route
from incidentfox.orchestrator.webhooks.endpoint_cache import EndpointCache
from incidentfox.orchestrator.webhooks.recorder import Recorder
from incidentfox.orchestrator.webhooks.refusals import RefusalLedger
from incidentfox.orchestrator.webhooks.service import Ingress
from incidentfox.orchestrator.webhooks.source import sources
from incidentfox.orchestrator.webhooks.store import IngressStore, open_pool


def create_app(
    settings: OrchestratorSettings, *, config_service: ConfigServiceClient | None = None, clock: Clock = system_clock
) -> FastAPI:
    """The API. `config_service` and `clock` are handed over by tests; a process makes its own."""
    identity = ServiceIdentity(AUDIENCE, settings.identity_key())
    config = config_service or ConfigServiceClient(settings.config_service_url, ServiceCredential(identity))
    database_url = settings.database_url.get_secret_value()
    database = Database(database_url, settings.database_pool_size)
    keyring = settings.keyring()
    sources()  # a source that does not load is found out now, not at 3 am

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool = await open_pool(database_url, settings.ingress_pool_size)
        store = IngressStore(pool)
        refusals = RefusalLedger(store, config, clock)
        endpoints = EndpointCache(store, keyring, unproven_at_once=max(1, settings.ingress_pool_size // 4))
        app.state.ingress = Ingress(endpoints, Recorder(store), refusals, clock)
        flushing = asyncio.create_task(refusals.run(), name="refusals")
        try:
            yield
        finally:
            flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flushing
            await refusals.flush()
            await pool.close()
            await database.close()
            if config_service is None:
                await config.close()

    app = web.create_app(
        web.AppParts(
            service=SERVICE,
            title="IncidentFox Orchestrator",
            authenticator=Authenticator(AUDIENCE, settings.trusted_keys(), IntrospectingAuthenticator(config)),
            lifespan=lifespan,
            ready=database.ping,
            story=story,
        )
    )
    app.state.database = database
    app.state.config_service = config
    app.state.endpoints = Endpoints(keyring)
    for router in (endpoints_router, dry_run_router, deliveries_router, incidents_router):
        app.include_router(router)
    add_webhook_route(app)
    return app


def app() -> FastAPI:
    """The application as the environment describes it."""
    settings = OrchestratorSettings()
    configure_logging(SERVICE, settings.log_level)
    configure_telemetry(SERVICE, settings.otlp_endpoint)
    application = create_app(settings)
    settle_memory()
    return application


def main() -> None:
    """Serves until SIGTERM. Called by `incidentfox serve orchestrator`."""
    settings = OrchestratorSettings()
    run_app(
        app(),
        settings.host,
        settings.port or API_PORT,
        trusted_proxies=settings.trusted_proxies,
        most_connections=settings.ingress_connections,
    )
