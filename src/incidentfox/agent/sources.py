"""Which telemetry a run reads: what its team's configuration says, or the recording that the run itself names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from incidentfox.agent.telemetry.http import HttpTelemetry
from incidentfox.agent.telemetry.protocol import NoTelemetry, Telemetry, Window
from incidentfox.agent.telemetry.recording import RecordingTelemetry
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.configuration import ResolveSecrets, TeamConfiguration
from incidentfox.contracts.runs import RunInput
from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.tenant import Tenant

AFTER_ALERT_S = 600.0
"""How long after the alert signals still count: a run that starts late must not drown in what came afterwards."""

TelemetryFactory = Callable[[str, RunInput, float], Telemetry]
"""(run id, the run's input, when the alert fired in Unix seconds) → the telemetry of that run."""


class SecretMissing(NotFound):
    """The configuration refers to a secret that is set nowhere on the team's path."""

    default_code = "secret_missing"


async def resolve_secret(client: ConfigServiceClient, tenant: Tenant, run_id: str, name: str) -> str:
    """The plain value of a secret, for this run and no longer: never kept in a step, an event or a log."""
    resolved = await client.resolve_secrets(tenant, ResolveSecrets(run_id=run_id, names=(name,)))
    if name not in resolved.values:
        raise SecretMissing(f"The secret {name!r} is not set for this team.")
    return resolved.values[name]


def telemetry_sources(client: ConfigServiceClient, tenant: Tenant, document: TeamConfiguration) -> TelemetryFactory:
    """How to open the telemetry of a run of this team."""
    integration = document.integrations.telemetry

    def open_telemetry(run_id: str, asked: RunInput, fired_at: float) -> Telemetry:
        recording_id = asked.recording_id or (integration.recording_id if integration.backend == "recording" else None)
        if recording_id is not None:
            wanted = recording_id

            async def load() -> Mapping[str, str]:
                content = await client.recording(tenant, wanted)
                return {str(name): text for name, text in content.files.items()}

            return RecordingTelemetry(load)
        if integration.backend != "http":
            return NoTelemetry()

        async def database_url() -> str:
            assert integration.database_url is not None
            return await resolve_secret(client, tenant, run_id, integration.database_url.secret)

        window = Window(fired_at - integration.lookback_s, fired_at + AFTER_ALERT_S)
        return HttpTelemetry(integration, window, database_url)

    return open_telemetry
