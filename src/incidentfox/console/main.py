"""The console's composition root: `uvicorn incidentfox.console.main:app --factory`, or `incidentfox serve console`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from incidentfox.console.assets import load_assets
from incidentfox.console.backends import open_backends
from incidentfox.console.defence import Defence, security_headers
from incidentfox.console.failures import failure_response, install_failure_pages
from incidentfox.console.pages import (
    audit,
    change_requests,
    configuration,
    editor,
    history,
    incidents,
    live,
    new_node,
    reshaping,
    routing,
    run,
    runs,
    secrets,
    sign_in,
    static,
    tokens,
)
from incidentfox.console.session import SessionCookie
from incidentfox.console.settings import PORT, SERVICE, ConsoleSettings
from incidentfox.console.templating import Pages
from incidentfox.kernel.logging import configure_logging
from incidentfox.kernel.telemetry import configure_telemetry
from incidentfox.kernel.web.app import AppParts
from incidentfox.kernel.web.app import create_app as create_service
from incidentfox.kernel.web.auth import Authenticator
from incidentfox.kernel.web.server import run_app

_PAGES = (
    sign_in,
    runs,
    run,
    live,
    incidents,
    configuration,
    editor,
    history,
    new_node,
    reshaping,
    secrets,
    change_requests,
    routing,
    tokens,
    audit,
    static,
)


def create_app(settings: ConsoleSettings) -> FastAPI:
    """The application. Connections are made at the first call, so it starts while the services are still away."""
    backends = open_backends(settings.config_service_url, settings.orchestrator_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await backends.close()

    parts = AppParts(
        service=SERVICE,
        title="IncidentFox console",
        authenticator=Authenticator(SERVICE, settings.trusted_keys(), None),
        lifespan=lifespan,
        ready=backends.doors.ready,
        body_limits=editor.BODY_LIMITS,
    )
    console = create_service(parts)
    assets = load_assets()
    console.state.assets = assets
    console.state.pages = Pages(assets)
    console.state.backends = backends
    console.state.session_cookie = SessionCookie(settings.session_keyring(), secure=settings.is_https)
    console.state.security_headers = security_headers(https=settings.is_https)
    install_failure_pages(console)
    for page in _PAGES:
        console.include_router(page.router)
    console.add_middleware(Defence, origin=settings.origin, refuse=failure_response)
    return console


def app() -> FastAPI:
    """For `uvicorn --factory`: settings from the environment."""
    return _configured(ConsoleSettings())


def main() -> None:
    """Serves the console until it is told to stop."""
    settings = ConsoleSettings()
    run_app(_configured(settings), settings.host, settings.port or PORT, trusted_proxies=settings.trusted_proxies)


def _configured(settings: ConsoleSettings) -> FastAPI:
    configure_logging(SERVICE, settings.log_level)
    configure_telemetry(SERVICE, settings.otlp_endpoint)
    return create_app(settings)
