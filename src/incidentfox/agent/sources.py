"""Which telemetry a run reads: what its team's configuration says, or the recording that the run itself names.

What is live is captured, so that the run can be replayed: `replayed_sources` then reads the captures instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from incidentfox.agent.patience import patience
from incidentfox.agent.telemetry.captured import CapturedTelemetry, KeepFiles
from incidentfox.agent.telemetry.http import HttpTelemetry
from incidentfox.agent.telemetry.protocol import NoTelemetry, Telemetry, Window
from incidentfox.agent.telemetry.recorded_form import Files
from incidentfox.agent.telemetry.recording import RecordingTelemetry
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.captures import KeepCapture
from incidentfox.contracts.configuration import ResolveSecrets, TeamConfiguration
from incidentfox.contracts.runs import RunInput
from incidentfox.kernel.errors import Conflict, NotFound, Permanent
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.redaction import Redactor
from incidentfox.kernel.tenant import Tenant

log = get_logger(__name__)

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
        recording_id = recording_of_run(document, asked)
        if recording_id is not None:
            return _recording(client, tenant, recording_id)
        if integration.backend != "http":
            return NoTelemetry()

        async def database_url() -> str:
            assert integration.database_url is not None
            return await resolve_secret(client, tenant, run_id, integration.database_url.secret)

        window = Window(fired_at - integration.lookback_s, fired_at + AFTER_ALERT_S)
        live = HttpTelemetry(integration, window, database_url)
        redactor = Redactor(emails=document.privacy.redact_emails)
        return CapturedTelemetry(live, _captures(client, tenant, run_id), redactor)

    return open_telemetry


def replayed_sources(
    client: ConfigServiceClient,
    tenant: Tenant,
    document: TeamConfiguration,
    read: Callable[[], Telemetry],
) -> TelemetryFactory:
    """How to open the telemetry of a replay: its recording, or `read`, what was captured. Nothing live is asked."""

    def open_telemetry(run_id: str, asked: RunInput, fired_at: float) -> Telemetry:
        recording_id = recording_of_run(document, asked)
        if recording_id is not None:
            return _recording(client, tenant, recording_id)
        return read()

    return open_telemetry


def recording_of_run(document: TeamConfiguration, asked: RunInput) -> str | None:
    """The recording that a run reads instead of live telemetry."""
    integration = document.integrations.telemetry
    return asked.recording_id or (integration.recording_id if integration.backend == "recording" else None)


def _recording(client: ConfigServiceClient, tenant: Tenant, recording_id: str) -> Telemetry:
    async def load() -> Mapping[str, str]:
        content = await client.recording(tenant, recording_id)
        return {str(name): text for name, text in content.files.items()}

    return RecordingTelemetry(load)


def _captures(client: ConfigServiceClient, tenant: Tenant, run_id: str) -> KeepFiles:
    async def keep(files: Files) -> str | None:
        try:
            with patience():
                return (await client.keep_capture(tenant, run_id, KeepCapture(files=files))).capture_id
        except Conflict:
            raise
        except Permanent as refused:
            # The investigation does not fail over its own record; its replay will say what is missing.
            log.warning("capture refused", run_id=run_id, code=refused.code, detail=refused.detail)
            return None

    return keep
