"""The services behind the console."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.clients.orchestrator import OrchestratorClient
from incidentfox.console.session import VisitorCredential


@dataclass(frozen=True)
class Backends:
    """Their clients, one set per application, on `app.state.backends`.

    `config_service` and `orchestrator` act as the person signed in; `doors` as nobody: sign-in and readiness.
    """

    config_service: ConfigServiceClient
    orchestrator: OrchestratorClient
    doors: ConfigServiceClient

    async def close(self) -> None:
        """Closes the connections."""
        await self.config_service.close()
        await self.orchestrator.close()
        await self.doors.close()


def open_backends(config_service_url: str, orchestrator_url: str) -> Backends:
    """Called by `create_app`. Connections are made at the first call."""
    visitor = VisitorCredential()
    return Backends(
        ConfigServiceClient(config_service_url, visitor),
        OrchestratorClient(orchestrator_url, visitor),
        ConfigServiceClient(config_service_url, None, attempts=1),
    )


def backends_of(request: Request) -> Backends:
    """The clients of the application that handles this request."""
    backends: Backends = request.app.state.backends
    return backends
