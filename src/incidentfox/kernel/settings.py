"""The settings that every service shares; each service's `settings.py` extends them and alone reads the environment.

Variables are named `INCIDENTFOX_<FIELD>`; docs/reference/settings.md is generated from these classes. A file named in
`…_file` is preferred over a value for anything secret, because environments leak into crash reports.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from incidentfox.kernel.crypto import Keyring, parse_keyring
from incidentfox.kernel.errors import Permanent


class SettingsError(Permanent):
    """A setting is absent or wrong; the message names the variable."""

    default_code = "invalid_settings"


class ServiceSettings(BaseSettings):
    """What every service needs: where it listens, who it is and whom it trusts."""

    model_config = SettingsConfigDict(env_prefix="INCIDENTFOX_", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=0, description="Port to listen on; 0 lets the service choose its own default.")
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks of the proxies in front, separated by commas, whose X-Forwarded-For says"
        " where a request comes from; without any, that header is not believed.",
    )
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    otlp_endpoint: str | None = Field(default=None, description="Base URL of an OTLP/HTTP collector for traces.")
    identity_key_file: Path = Field(description="This service's private Ed25519 key, as a JWK file (mode 0600).")
    trusted_keys_file: Path = Field(description="Public keys of the services, as JSON {name: JWK}.")

    def identity_key(self) -> dict[str, Any]:
        """This service's private JWK."""
        return _read_json(self.identity_key_file, "INCIDENTFOX_IDENTITY_KEY_FILE")

    def trusted_keys(self) -> dict[str, dict[str, Any]]:
        """The public JWK of each service by its name."""
        return _read_json(self.trusted_keys_file, "INCIDENTFOX_TRUSTED_KEYS_FILE")


class DatabaseSettings(BaseSettings):
    """The connection of a service that owns tables. The role in the URL is that service's own."""

    model_config = SettingsConfigDict(env_prefix="INCIDENTFOX_", extra="ignore", frozen=True)

    database_url: SecretStr = Field(description="postgresql:// URL of the shared Postgres, as this service's own role.")
    database_pool_size: int = Field(default=10, ge=1, le=200, description="Connections per process.")


class MasterKeySettings(BaseSettings):
    """The keys that seal secrets at rest."""

    model_config = SettingsConfigDict(env_prefix="INCIDENTFOX_", extra="ignore", frozen=True)

    master_keys_file: Path = Field(description='AES-256 master keys, as JSON {"current": id, "keys": {id: base64}}.')

    def keyring(self) -> Keyring:
        """The master keys."""
        return parse_keyring(_read_text(self.master_keys_file, "INCIDENTFOX_MASTER_KEYS_FILE"))


def _read_text(path: Path, variable: str) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise SettingsError(f"{variable} names {path}, which cannot be read: {error.strerror}.") from error


def _read_json(path: Path, variable: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(_read_text(path, variable))
    except ValueError as error:
        raise SettingsError(f"{variable} names {path}, which is not JSON.") from error
    return document
