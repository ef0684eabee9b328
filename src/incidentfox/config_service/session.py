"""What a use case works in: one request's transaction, whose it is and who asks."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.kernel.errors import Forbidden
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal
from incidentfox.kernel.web.progress import Tell, nobody


@dataclass(frozen=True)
class Session:
    """One request. `connection` is inside a transaction that row-level security confines to `tenant`.

    Made by `dependencies.py`, which commits it before the response is sent; no use case commits.
    """

    connection: AsyncConnection
    tenant: Tenant
    principal: Principal
    source_address: str | None
    tell: Tell = nobody
    """Takes word of how far the use case is, for a caller who watches."""
    kept: bool = True
    """Whether the transaction will be committed. A dry run is done and answered, and undone."""

    @property
    def org_id(self) -> str:
        """The organisation of this request."""
        return self.tenant.org_id

    def require_whole_org(self) -> None:
        """Forbidden for a caller that is bound to one team: what follows concerns the organisation."""
        if self.tenant.team_node_id is not None:
            raise Forbidden("This needs a credential for the whole organisation.", code="organisation_required")

    def require_writable(self, node_id: str) -> None:
        """Forbidden for a caller that is bound to one team and would write another node's data."""
        if self.tenant.team_node_id not in (None, node_id):
            raise Forbidden(f"This credential writes to {self.tenant.team_node_id!r} only.", code="outside_of_own_team")
