"""The settings of the local workspace, from `LOCAL_SLACK_…` variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SlackSettings(BaseSettings):
    """Where it listens, who may post, where messages are kept."""

    model_config = SettingsConfigDict(env_prefix="LOCAL_SLACK_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(description="Port to listen on.")
    token: SecretStr = Field(description="The bot token that the API accepts.")
    data_file: Path = Field(description="Where messages are kept, as JSON lines.")
    channels: list[str] = Field(default=["incidents"], description='Names of the channels, JSON ["incidents", …].')
