"""The stamp of an organisation: raised by the database with each change of its tree, configuration or routing."""

from __future__ import annotations

from sqlalchemy import select

from incidentfox.config_service.tree.tables import org_stamps
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.tenant import Tenant


async def read_stamp(database: Database, org_id: str) -> int:
    """The stamp as it is committed; 0 for an organisation that was never changed."""
    async with database.transaction(Tenant(org_id)) as connection:
        statement = select(org_stamps.c.stamp).where(org_stamps.c.org_id == org_id)
        return (await connection.execute(statement)).scalar_one_or_none() or 0
