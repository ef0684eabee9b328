"""The settings of the shop's processes, from `SHOP_…` variables: the only place of this package that reads the
environment. `scenario.py` writes them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """One of web, orders, inventory (`python -m incidentfox.local.shop.service`)."""

    model_config = SettingsConfigDict(env_prefix="SHOP_", extra="ignore", frozen=True)

    version: str = Field(description="The release to run, e.g. `inventory-2.14.0` of releases/.")
    listen_fd: int = Field(description="The listening socket, inherited, so that it outlives a deploy.")
    database_url: SecretStr = Field(description="postgresql:// URL as this service's own role.")
    peer_url: str | None = Field(default=None, description="The service that this one calls.")
    run_dir: Path = Field(description="Where logs and spans are written, as NDJSON.")


class LoadSettings(BaseSettings):
    """The load generator (`python -m incidentfox.local.shop.load`)."""

    model_config = SettingsConfigDict(env_prefix="SHOP_", extra="ignore", frozen=True)

    web_url: str = Field(description="Where the customers come in.")
    load_rate: float = Field(default=8.0, gt=0, le=100, description="Requests a second.")


class MonitorSettings(BaseSettings):
    """The monitor (`python -m incidentfox.local.shop.monitor`)."""

    model_config = SettingsConfigDict(env_prefix="SHOP_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(description="Where the feeds are served.")
    targets: dict[str, str] = Field(description='The services to watch, JSON {"web": "http://…", …}.')
    database_url: SecretStr = Field(description="postgresql:// URL as the monitoring role.")
    changes_file: Path = Field(description="Written by whoever deploys; see changes.py.")
    webhook_url: str | None = Field(default=None, description="Where alerts go; none: they are only listed.")
    webhook_secret: SecretStr | None = Field(default=None, description="What webhooks are signed with.")
    pagerduty_service_id: str = Field(default="PSHOP01", description="PagerDuty's id of the alerting service.")
    alert_service: str = "web"
    alert_threshold_ms: float = Field(default=1000.0, gt=0, description="p99 of the request duration.")
    alert_window_s: float = Field(default=5.0, gt=0, description="What the p99 is taken over.")
    alert_for_s: float = Field(default=2.0, ge=0, description="How long it must last; and be over, to resolve.")
