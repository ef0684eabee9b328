"""Narrows a transaction to a node below the one that its credential is bound to, and widens it for a question that must
not depend on who asks.

A credential of a unit reads what is below it; what it writes, it writes as if it were bound to that very node. So every
rule and policy that is right for a node of its own is right for the nodes below a unit, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from incidentfox.config_service.session import Session
from incidentfox.config_service.tree import store
from incidentfox.kernel.db.session import enter
from incidentfox.kernel.tenant import Tenant


async def narrowed(session: Session, node_id: str) -> Session:
    """The session bound to `node_id`, when that lies below the node that it is bound to; otherwise as it is."""
    bound_to = session.tenant.team_node_id
    if bound_to in (None, node_id) or not await store.is_below(session, node_id, bound_to):
        return session
    tenant = Tenant(session.org_id, node_id)
    await enter(session.connection, tenant)
    return replace(session, tenant=tenant)


@asynccontextmanager
async def widened(session: Session) -> AsyncIterator[Session]:
    """The session with the sight of the whole organisation. What is read in it is judged, and never answered.

    A block that raises ends the transaction, so nothing has to be bound again then.
    """
    tenant = Tenant(session.org_id)
    await enter(session.connection, tenant)
    yield replace(session, tenant=tenant)
    await enter(session.connection, session.tenant)
