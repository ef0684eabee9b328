"""Where the CLI finds the services and its credential: the environment, or the profile that `incidentfox up` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from incidentfox.kernel.errors import Permanent

PROFILE_FILE = "cli.json"


class Profile(BaseModel):
    """What `incidentfox up` leaves for the CLI (mode 0600)."""

    config_service_url: str
    orchestrator_url: str
    agent_url: str
    console_url: str
    org_id: str
    token: str = Field(repr=False)


class CliSettings(BaseSettings):
    """The environment of the CLI."""

    model_config = SettingsConfigDict(env_prefix="INCIDENTFOX_", extra="ignore", frozen=True)

    home: Path = Field(
        default=Path("~/.incidentfox"), description="Folder of the local installation: data, keys, logs."
    )
    config_service_url: str | None = Field(default=None, description="Base URL of the Config Service.")
    orchestrator_url: str | None = Field(default=None, description="Base URL of the Orchestrator.")
    agent_url: str | None = Field(default=None, description="Base URL of the Agent.")
    console_url: str | None = Field(default=None, description="Base URL of the console.")
    org: str | None = Field(default=None, description="The organisation that commands are about.")
    token: SecretStr | None = Field(default=None, description="The bearer token that commands use.")
    webhook_secret: SecretStr | None = Field(
        default=None, description="What `investigate` and `evaluate` sign with, for the endpoint given as --endpoint."
    )

    @property
    def home_dir(self) -> Path:
        """The installation's folder, with `~` expanded."""
        return self.home.expanduser().absolute()

    def profile(self) -> Profile:
        """The profile in force: each variable of the environment wins over the file."""
        values = self._written_profile()
        for name in ("config_service_url", "orchestrator_url", "agent_url", "console_url"):
            values[name] = getattr(self, name) or values.get(name)
        values["org_id"] = self.org or values.get("org_id")
        values["token"] = self.token.get_secret_value() if self.token else values.get("token")
        if any(values.get(name) is None for name in ("config_service_url", "org_id", "token")):
            raise Permanent(
                "There is no running installation to talk to. Start one with `incidentfox up`, or set "
                "INCIDENTFOX_CONFIG_SERVICE_URL, INCIDENTFOX_ORG and INCIDENTFOX_TOKEN.",
                code="no_profile",
            )
        defaults = {"orchestrator_url": "", "agent_url": "", "console_url": ""}
        return Profile.model_validate(
            {**defaults, **{key: value for key, value in values.items() if value is not None}}
        )

    def _written_profile(self) -> dict[str, str | None]:
        path = self.home_dir / PROFILE_FILE
        if not path.exists():
            return {}
        document: dict[str, str | None] = json.loads(path.read_text())
        return document
