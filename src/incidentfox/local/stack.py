"""The whole product on one machine: Postgres, then every service as a process with its production entry point."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from incidentfox.local.database import ROLES, prepare_embedded, prepare_schema, url_as
from incidentfox.local.installation import Installation, open_installation
from incidentfox.local.keys import LocalKeys, load_or_create_keys
from incidentfox.local.postgres import EmbeddedPostgres
from incidentfox.local.processes import ProcessSpec, Supervisor
from incidentfox.local.settings import LocalSettings
from incidentfox.migrations import SERVICE_ROLES

IDENTITIES = ("config-service", "orchestrator", "agent", "console", "platform")


@dataclass(frozen=True)
class ServiceProcess:
    """One process of the product: what `incidentfox serve` calls it, whose identity and database role it has."""

    name: str
    identity: str
    has_database: bool = True


SERVICES = (
    ServiceProcess("config-service", "config-service"),
    ServiceProcess("orchestrator", "orchestrator"),
    ServiceProcess("worker", "orchestrator"),
    ServiceProcess("agent", "agent"),
    ServiceProcess("console", "console", has_database=False),
)


class Stack:
    """The processes of one installation. `start…` and `stop` in one event loop.

    `more_roles` are database roles, beside the product's own, that need a password here.
    """

    def __init__(self, settings: LocalSettings, *more_roles: str) -> None:
        self.installation: Installation = open_installation(settings.home_dir)
        self.keys: LocalKeys = load_or_create_keys(self.installation.keys, IDENTITIES, (*ROLES, *more_roles))
        self.supervisor = Supervisor(self.installation.home / "processes.json")
        self._given_url = settings.database_url.get_secret_value() if settings.database_url else None
        self.postgres = EmbeddedPostgres(self.installation.postgres) if self._given_url is None else None
        self._owner_url = ""

    def start_database(self) -> None:
        """Starts the embedded Postgres (unless DATABASE_URL names one) and migrates. Blocking."""
        passwords = self.keys.database_passwords
        if self.postgres is not None:
            self.postgres.start()
            self._owner_url = prepare_embedded(self.postgres.superuser_url(), passwords)
        else:
            self._owner_url = self._given_url or ""
        prepare_schema(self._owner_url, passwords)

    async def start_services(self) -> None:
        """Starts every service and returns when all of them are ready."""
        await self.supervisor.start(*(self.spec(service) for service in SERVICES))

    async def stop(self) -> None:
        """Stops the services, then the database."""
        await self.supervisor.stop()
        if self.postgres is not None:
            self.postgres.stop()

    def spec(self, service: ServiceProcess) -> ProcessSpec:
        """How a service is started here."""
        return ProcessSpec(
            name=service.name,
            command=(sys.executable, "-m", "incidentfox", "serve", service.name),
            environment=self._environment(service),
            log_file=self.installation.logs / f"{service.name}.log",
            ready_url=f"{self.installation.url(service.name)}/readyz",
        )

    def _environment(self, service: ServiceProcess) -> Mapping[str, str]:
        url = self.installation.url
        environment = {
            "INCIDENTFOX_HOST": "127.0.0.1",
            "INCIDENTFOX_PORT": str(self.installation.ports[service.name]),
            "INCIDENTFOX_IDENTITY_KEY_FILE": str(self.keys.services[service.identity].path),
            "INCIDENTFOX_TRUSTED_KEYS_FILE": str(self.keys.trusted_path),
            "INCIDENTFOX_MASTER_KEYS_FILE": str(self.keys.master_path),
            "INCIDENTFOX_TOKEN_PEPPER_FILE": str(self.keys.pepper_path),
            "INCIDENTFOX_SESSION_KEY_FILE": str(self.keys.session_path),
            "INCIDENTFOX_CONFIG_SERVICE_URL": url("config-service"),
            "INCIDENTFOX_ORCHESTRATOR_URL": url("orchestrator"),
            "INCIDENTFOX_AGENT_URL": url("agent"),
            "INCIDENTFOX_CONSOLE_URL": url("console"),
            "INCIDENTFOX_PUBLIC_URL": url("console"),
        }
        if service.has_database:
            role = SERVICE_ROLES[service.identity]
            password = self.keys.database_passwords[role]
            environment["INCIDENTFOX_DATABASE_URL"] = url_as(self._owner_url, role, password)
        return environment
