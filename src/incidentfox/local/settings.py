"""The settings of what runs on this machine: the only place of this package that reads the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from incidentfox.cli.settings import CliSettings


class LocalSettings(CliSettings):
    """Settings of `up`, `demo` and `down`."""

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="A Postgres instead of the embedded one; the role must own the database and may create roles.",
    )


class MigrationSettings(BaseSettings):
    """Settings of `incidentfox migrate` and `incidentfox prune-audit`."""

    model_config = SettingsConfigDict(env_prefix="INCIDENTFOX_", extra="ignore", frozen=True)

    owner_database_url: SecretStr = Field(
        description="postgresql:// URL of the shared Postgres, as the role that owns the tables and may create roles."
    )
