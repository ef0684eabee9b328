"""The sections in the header of every page: those that the person signed in may open."""

from __future__ import annotations

from dataclasses import dataclass

from incidentfox.console.session import Session
from incidentfox.contracts.permissions import Permission


@dataclass(frozen=True)
class Section:
    """One entry of the header. `key` is what a template sets as its `section`."""

    key: str
    name: str
    address: str
    permission: Permission


_SECTIONS = (
    Section("runs", "Runs", "/runs", Permission.RUNS_READ),
    Section("incidents", "Incidents", "/incidents", Permission.INCIDENTS_READ),
    Section("configuration", "Configuration", "/configuration", Permission.CONFIG_READ),
    Section("changes", "Changes", "/change-requests", Permission.CONFIG_READ),
    Section("routing", "Routing", "/routing", Permission.ROUTING_LOOKUP),
    Section("tokens", "Tokens", "/tokens", Permission.TOKENS_READ),
    Section("audit", "Audit", "/audit", Permission.AUDIT_READ),
)


def sections(session: Session) -> list[Section]:
    """What the person may open."""
    return [section for section in _SECTIONS if session.may(section.permission)]
