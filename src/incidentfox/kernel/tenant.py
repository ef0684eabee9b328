"""Whose data something is about: carried in service tokens and, in a transaction, seen by row-level security."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tenant:
    """An organisation, or one team of it. `team_node_id` None: every team of the organisation."""

    org_id: str
    team_node_id: str | None = None
