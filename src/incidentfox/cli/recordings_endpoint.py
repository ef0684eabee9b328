"""The webhook endpoint that recorded incidents enter by: one that the caller names, or one of the CLI's own.

The CLI's own endpoint is made at its first use with the profile's token, and its secret is kept in
`<home>/recordings-endpoint.json` (0600), by installation and organisation. A token that may not make endpoints needs
`--endpoint` and INCIDENTFOX_WEBHOOK_SECRET.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from incidentfox.cli.private_file import write_private
from incidentfox.cli.session import Session
from incidentfox.cli.settings import CliSettings
from incidentfox.clients.webhook_sender import WebhookSender
from incidentfox.contracts.webhooks import CreatedEndpoint, CreateEndpoint, Endpoint
from incidentfox.kernel.errors import Forbidden, NotFound, Permanent
from incidentfox.kernel.ids import require_id

KEPT_FILE = "recordings-endpoint.json"
SOURCE = "custom"


async def recordings_sender(session: Session, home: Path, endpoint_id: str | None) -> WebhookSender:
    """A sender of signed events; the caller closes it."""
    if endpoint_id is not None:
        return WebhookSender(_url(session, f"/webhooks/{SOURCE}/{require_id(endpoint_id, 'whe')}"), _given_secret())
    path = home / KEPT_FILE
    kept = _kept(path)
    key = f"{session.profile.orchestrator_url} {session.org_id}"
    created = await _still_live(session, kept.get(key)) or await _create(session)
    if kept.get(key) != (document := created.model_dump(mode="json")):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, json.dumps({**kept, key: document}, indent=2))
    return WebhookSender(_url(session, created.endpoint.path), created.secret)


def _given_secret() -> str:
    settings = CliSettings()
    if settings.webhook_secret is None:
        raise Permanent(
            "--endpoint needs that endpoint's secret. Set INCIDENTFOX_WEBHOOK_SECRET to it.", code="no_webhook_secret"
        )
    return settings.webhook_secret.get_secret_value()


async def _still_live(session: Session, document: Any) -> CreatedEndpoint | None:
    """The kept endpoint if it is there, enabled, and still signs with the kept secret."""
    try:
        kept = CreatedEndpoint.model_validate(document)
        found = await session.orchestrator.endpoint(session.org_id, kept.endpoint.endpoint_id)
    except (ValidationError, NotFound, Forbidden):
        return None
    same = _live_secrets(kept.endpoint) & _live_secrets(found)
    return kept if found.disabled_at is None and same else None


def _live_secrets(endpoint: Endpoint) -> set[str]:
    now = datetime.now(UTC)
    return {secret.secret_id for secret in endpoint.secrets if secret.expires_at is None or secret.expires_at > now}


async def _create(session: Session) -> CreatedEndpoint:
    try:
        return await session.orchestrator.create_endpoint(
            session.org_id, CreateEndpoint(source=SOURCE, name="recorded incidents")
        )
    except Forbidden as error:
        raise Forbidden(
            "This token may not make a webhook endpoint. Let an admin make one (`incidentfox endpoint create --source "
            "custom recordings`), then give its id as --endpoint and its secret as INCIDENTFOX_WEBHOOK_SECRET."
        ) from error


def _kept(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _url(session: Session, path: str) -> str:
    if not session.profile.orchestrator_url:
        raise Permanent("The orchestrator's address is not known. Set INCIDENTFOX_ORCHESTRATOR_URL.", code="no_profile")
    return session.profile.orchestrator_url.rstrip("/") + path
