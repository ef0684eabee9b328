"""The tenant of a transaction, as Postgres's row-level security sees it.

Every tenant table has forced policies on two settings that live for one transaction: `incidentfox.org_id` and
`incidentfox.team_node_id` ('*' stands for every team of the organisation). Unset means: no row is visible. So a
query that forgets its WHERE clause returns nothing rather than a neighbour's rows.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL_TEAMS = "*"


@dataclass(frozen=True)
class Tenant:
    """Whose rows a transaction may touch. `team_node_id` None: every team of the organisation."""

    org_id: str
    team_node_id: str | None = None

    def settings(self) -> dict[str, str]:
        """The transaction-local settings that the policies read."""
        return {
            "incidentfox.org_id": self.org_id,
            "incidentfox.team_node_id": self.team_node_id or ALL_TEAMS,
        }


@dataclass(frozen=True)
class ByProof:
    """A look-up before the tenant is known: only the row that the caller can prove it knows becomes visible.

    `setting` names what the table's policy compares, e.g. `incidentfox.token_hash`.
    """

    setting: str
    value: str

    def settings(self) -> dict[str, str]:
        """The transaction-local settings that the policies read."""
        return {self.setting: self.value}


Scope = Tenant | ByProof
