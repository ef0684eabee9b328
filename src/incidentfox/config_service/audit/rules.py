"""What of an event is hashed. Pure."""

from __future__ import annotations

from typing import Any

from incidentfox.contracts.audit import AuditEvent


def hashed_content(event: AuditEvent) -> dict[str, Any]:
    """The event as it stands in an export, so that an export alone suffices to check the chain."""
    return event.model_dump(mode="json")
