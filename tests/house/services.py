"""Every service's application, built for looking at: no database is reached, nothing is started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from tests.environment import Trusted

from incidentfox.agent import main as agent
from incidentfox.agent.settings import AgentSettings
from incidentfox.config_service import main as config_service
from incidentfox.config_service.settings import ConfigServiceSettings
from incidentfox.console import main as console
from incidentfox.console.settings import ConsoleSettings
from incidentfox.orchestrator import main as orchestrator
from incidentfox.orchestrator import worker
from incidentfox.orchestrator.settings import OrchestratorSettings

SETTINGS = {
    "config-service": ConfigServiceSettings,
    "orchestrator": OrchestratorSettings,
    "worker": OrchestratorSettings,
    "agent": AgentSettings,
    "console": ConsoleSettings,
}
FACTORIES: dict[str, Any] = {
    "config-service": config_service.create_app,
    "orchestrator": orchestrator.create_app,
    "worker": worker.create_app,
    "agent": agent.create_app,
    "console": console.create_app,
}


def build(service: str, trusted: Trusted) -> FastAPI:
    """The application of one service."""
    identity = "orchestrator" if service == "worker" else service
    with _environment(trusted.environment(identity)):
        app: FastAPI = FACTORIES[service](SETTINGS[service]())
    return app


def routes_of(app: FastAPI) -> list[Any]:
    """Every route with its full path, those of included routers too."""
    return list(iter_route_contexts(app.routes))


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables, INCIDENTFOX_DATABASE_URL="postgresql://nobody:none@127.0.0.1:1/none")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
