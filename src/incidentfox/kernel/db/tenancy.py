"""The tenant of a transaction, as Postgres's row-level security sees it.

Every tenant table has forced policies on two settings that live for one transaction: `incidentfox.org_id` and
`incidentfox.team_node_id` ('*' stands for every team of the organisation). Unset means: no row is visible. So a
query that forgets its WHERE clause returns nothing rather than a neighbour's rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from incidentfox.kernel.tenant import Tenant

ALL_TEAMS = "*"


@dataclass(frozen=True)
class ByProof:
    """A look-up before the tenant is known: only the row that the caller can prove it knows becomes visible.

    `setting` names what the table's policy compares, e.g. `incidentfox.token_hash`.
    """

    setting: str
    value: str


Scope = Tenant | ByProof


def scope_settings(scope: Scope) -> dict[str, str]:
    """The transaction-local settings that the policies read."""
    if isinstance(scope, ByProof):
        return {scope.setting: scope.value}
    return {"incidentfox.org_id": scope.org_id, "incidentfox.team_node_id": scope.team_node_id or ALL_TEAMS}
