"""The composition root of the Config Service: makes its parts from the settings and puts the routes together.

Started by `incidentfox serve config-service`, or by `uvicorn incidentfox.config_service.main:app --factory`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from incidentfox.config_service.approvals.api import router as approvals
from incidentfox.config_service.audit.api import router as audit
from incidentfox.config_service.audit.denials import install_denial_audit
from incidentfox.config_service.audit.sealer import Sealer
from incidentfox.config_service.budgets.api import router as budgets
from incidentfox.config_service.captures.api import router as captures
from incidentfox.config_service.configuration.api import hot as hot_configuration
from incidentfox.config_service.configuration.api import router as configuration
from incidentfox.config_service.dependencies import Parts
from incidentfox.config_service.effects.api import router as effects
from incidentfox.config_service.examples import story
from incidentfox.config_service.prepared import Prepared
from incidentfox.config_service.recordings.api import router as recordings
from incidentfox.config_service.routing.api import router as routing
from incidentfox.config_service.runs.api import router as runs
from incidentfox.config_service.runs.store import PURGE, PURGED_AT_ONCE
from incidentfox.config_service.secrets.api import router as secrets
from incidentfox.config_service.settings import SERVICE, ConfigServiceSettings
from incidentfox.config_service.sign_in.api import router as sign_in
from incidentfox.config_service.timeline.api import router as timeline
from incidentfox.config_service.timeline.tables import CHANNEL as TIMELINES_CHANNEL
from incidentfox.config_service.tokens.api import router as tokens
from incidentfox.config_service.tokens.authenticator import TableAuthenticator
from incidentfox.config_service.tokens.limits import TokenLimits
from incidentfox.config_service.tokens.store import PURGE as PURGE_SESSIONS
from incidentfox.config_service.tokens.store import PURGED_AT_ONCE as SESSIONS_AT_ONCE
from incidentfox.config_service.tree.api import router as tree
from incidentfox.config_service.tree.stamps import read_stamp
from incidentfox.config_service.tree.tables import STAMPS_CHANNEL
from incidentfox.contracts.captures import MAX_CAPTURE_BYTES
from incidentfox.contracts.recordings import MAX_RECORDING_BYTES
from incidentfox.kernel.db.fresh_cache import FreshCache, Stamps
from incidentfox.kernel.db.retention import Retention
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.signals import Signals, Watchers
from incidentfox.kernel.logging import configure_logging
from incidentfox.kernel.telemetry import configure_telemetry
from incidentfox.kernel.web.app import AppParts
from incidentfox.kernel.web.app import create_app as create_web_app
from incidentfox.kernel.web.auth import Authenticator
from incidentfox.kernel.web.server import run_app, settle_memory

ROUTERS = (  # in this order they are tried, so that what each delivery and each run asks comes first
    routing,
    hot_configuration,
    configuration,
    sign_in,
    tree,
    approvals,
    secrets,
    budgets,
    tokens,
    audit,
    runs,
    timeline,
    effects,
    recordings,
    captures,
)


def create_app(settings: ConfigServiceSettings) -> FastAPI:
    """The application. Nothing connects before its lifespan begins."""
    url = settings.database_url.get_secret_value()
    database = Database(url, settings.database_pool_size)
    pepper = settings.token_pepper()
    tokens_in_tables = TableAuthenticator(database, pepper, TokenLimits(settings.token_rate()))
    signals = Signals(url)
    stamps = Stamps(signals, STAMPS_CHANNEL, lambda org_id: read_stamp(database, org_id))
    parts = Parts(
        database=database,
        keyring=settings.keyring(),
        pepper=pepper,
        timelines=Watchers(signals, TIMELINES_CHANNEL),
        effective=FreshCache(stamps, Prepared.weight, settings.effective_cache_bytes),
        routes=FreshCache(stamps, Prepared.weight, settings.route_cache_bytes),
        stamps=stamps,
        tokens=tokens_in_tables,
    )
    sealer = Sealer(database)
    retentions = (
        Retention(database, PURGE, *settings.retention(), PURGED_AT_ONCE),
        Retention(database, PURGE_SESSIONS, settings.session_retention(), SESSIONS_AT_ONCE),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        signals.start()
        sealer.start()
        for retention in retentions:
            retention.start()
        try:
            yield
        finally:
            for retention in retentions:
                await retention.stop()
            await sealer.stop()
            await signals.stop()
            await tokens_in_tables.settle()
            await database.close()

    app = create_web_app(
        AppParts(
            service=SERVICE,
            title="IncidentFox Config Service",
            authenticator=Authenticator(SERVICE, settings.trusted_keys(), tokens_in_tables),
            lifespan=lifespan,
            ready=database.ping,
            body_limits={"/recordings": MAX_RECORDING_BYTES, "/captures": MAX_CAPTURE_BYTES},
            story=story,
        )
    )
    app.state.parts = parts
    install_denial_audit(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def app() -> FastAPI:
    """The application with its settings from the environment: what an ASGI server is pointed at."""
    return _from_environment(ConfigServiceSettings())


def main() -> None:
    """Serves until SIGTERM: the process of `incidentfox serve config-service`."""
    settings = ConfigServiceSettings()
    run_app(
        _from_environment(settings), settings.host, settings.listen_port(), trusted_proxies=settings.trusted_proxies
    )


def _from_environment(settings: ConfigServiceSettings) -> FastAPI:
    configure_logging(SERVICE, settings.log_level)
    configure_telemetry(SERVICE, settings.otlp_endpoint)
    application = create_app(settings)
    settle_memory()
    return application
