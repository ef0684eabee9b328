"""The Config Service's settings: the only place of this service that reads the environment."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from pathlib import Path

from pydantic import Field

from incidentfox.config_service.tokens.store import Rate
from incidentfox.kernel.settings import DatabaseSettings, MasterKeySettings, ServiceSettings, SettingsError

SERVICE = "config-service"
PORT = 8081

_LEAST_PEPPER_BYTES = 16


class ConfigServiceSettings(ServiceSettings, DatabaseSettings, MasterKeySettings):
    """Settings of the Config Service."""

    token_pepper_file: Path = Field(
        description="The pepper of stored token hashes: base64 of at least 16 random bytes (mode 0600)."
    )

    run_retention_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="Days for which a finished run is kept, with its timeline, its effects and what it spent.",
    )
    capture_retention_days: int = Field(
        default=90, ge=1, le=3650, description="Days for which what a run read is kept, so that it can be replayed."
    )
    session_retention_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days for which the session of a browser is kept after it expired or was revoked.",
    )

    effective_cache_bytes: int = Field(
        default=64 * 1024 * 1024, ge=0, description="Bytes of effective configurations that a process keeps at most."
    )
    route_cache_bytes: int = Field(
        default=16 * 1024 * 1024, ge=0, description="Bytes of answers about routes that a process keeps at most."
    )

    token_rate_per_minute: int = Field(
        default=30_000, ge=1, description="Calls of one token in a minute, over all replicas, in the long run."
    )
    token_burst: int = Field(default=3_000, ge=1, description="Calls of one token at once.")

    def token_rate(self) -> Rate:
        """How often a token may call."""
        return Rate(per_s=self.token_rate_per_minute / 60, burst=self.token_burst)

    def retention(self) -> tuple[timedelta, timedelta]:
        """How long finished runs are kept, and what they read."""
        return timedelta(days=self.run_retention_days), timedelta(days=self.capture_retention_days)

    def session_retention(self) -> timedelta:
        """How long sessions that are over are kept."""
        return timedelta(days=self.session_retention_days)

    def token_pepper(self) -> bytes:
        """The pepper that the database does not hold."""
        try:
            pepper = base64.b64decode(self.token_pepper_file.read_text().strip(), validate=True)
        except OSError as error:
            raise SettingsError(
                f"INCIDENTFOX_TOKEN_PEPPER_FILE names {self.token_pepper_file}, which cannot be read: {error.strerror}."
            ) from error
        except (binascii.Error, ValueError) as error:
            raise SettingsError("INCIDENTFOX_TOKEN_PEPPER_FILE must hold base64.") from error
        if len(pepper) < _LEAST_PEPPER_BYTES:
            raise SettingsError(f"INCIDENTFOX_TOKEN_PEPPER_FILE must hold at least {_LEAST_PEPPER_BYTES} bytes.")
        return pepper

    def listen_port(self) -> int:
        """The port to listen on."""
        return self.port or PORT
