"""What routes depend on: a checked caller and one transaction for its tenant, committed before the response is sent.

The tenant is what the credential and the path have in common: the path's organisation, which must be the caller's
own, and the caller's team where it is bound to one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response
from sqlalchemy.exc import DBAPIError

from incidentfox.config_service.preconditions import DryRun
from incidentfox.config_service.prepared import Prepared
from incidentfox.config_service.session import Session
from incidentfox.config_service.tokens.authenticator import TableAuthenticator
from incidentfox.config_service.tree.scope import narrowed
from incidentfox.contracts.model import NodeId, OrgId
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.db.fresh_cache import FreshCache, Stamps
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.db.signals import Watchers
from incidentfox.kernel.errors import Conflict, Failure, Forbidden
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.progress import Tell, answer, nobody
from incidentfox.kernel.web.sse import MEDIA_TYPE

OrgPath = Annotated[OrgId, Path(description="The organisation's id.")]
NodePath = Annotated[NodeId, Path(description="The node's id.")]
RunPath = Annotated[str, Path(pattern=r"^run_[0-9a-hjkmnp-tv-z]{26}$", description="The run's id.")]

WATCHED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "string",
                    "description": "For `Accept: text/event-stream`: `progress` events (`{judged, teams}`), then one"
                    " `result` (`{status, etag, body}` of the plain answer, committed) or one `problem` (nothing was"
                    " written). What is refused before any team is judged is answered plainly.",
                }
            }
        }
    }
}
"""`responses=WATCHED` of a route that answers by `Work`: its other form, for the OpenAPI document."""

_ROW_LEVEL_SECURITY = "42501"
_READS = ("GET", "HEAD")
_RUN_TRANSITION = "agent_runs_status_transition"


@dataclass(frozen=True)
class Parts:
    """What the composition root hands to the routes, on `app.state.parts`."""

    database: Database
    keyring: Keyring
    pepper: bytes
    timelines: Watchers
    effective: FreshCache[Prepared]
    routes: FreshCache[Prepared]
    stamps: Stamps
    tokens: TableAuthenticator


def parts_of(request: Request) -> Parts:
    """The parts of the application that serves this request."""
    parts: Parts = request.app.state.parts
    return parts


def source_address(request: Request) -> str | None:
    """The address that the request came from, for the audit."""
    return request.client.host if request.client else None


@asynccontextmanager
async def begin(
    request: Request, principal: Principal, tenant: Tenant, tell: Tell = nobody, *, dry_run: bool = False
) -> AsyncIterator[Session]:
    """One transaction for one tenant: commits at the end, rolls back when the block raises and after a dry run.

    Translates what only the database can judge (row-level security, the states of a run) into the error tree.
    """
    try:
        async with parts_of(request).database.transaction(tenant) as connection:
            yield Session(connection, tenant, principal, source_address(request), tell, kept=not dry_run)
            _undo_if(dry_run)
    except _Undone:
        return
    except DBAPIError as error:
        raise _failure(error) from error


class _Undone(Exception):
    """Ends the transaction of a dry run; seen by nobody."""


def _undo_if(dry_run: bool) -> None:
    if dry_run:
        raise _Undone


def org_session(permission: Permission) -> Any:
    """`session: Annotated[Session, org_session(Permission.X)]`: for routes below `/orgs/{org_id}`.

    Where the path names a node below the unit that the credential is bound to, the session is narrowed to that node.
    """

    async def open_session(
        request: Request, org_id: OrgPath, principal: Principal = requires(permission)
    ) -> AsyncIterator[Session]:
        async with _begin_in_org(request, principal, org_tenant(principal, org_id)) as session:
            yield session

    return Depends(open_session, scope="function")


def org_write(permission: Permission) -> Any:
    """As `org_session`, for a write without a preview of its own: `dry_run` does it, answers, and undoes it."""

    async def open_session(
        request: Request, org_id: OrgPath, principal: Principal = requires(permission), dry_run: DryRun = False
    ) -> AsyncIterator[Session]:
        async with _begin_in_org(request, principal, org_tenant(principal, org_id), dry_run=dry_run) as session:
            yield session

    return Depends(open_session, scope="function")


@dataclass(frozen=True)
class Work:
    """A checked caller of a route below `/orgs/{org_id}` whose answer may take seconds, and may be watched."""

    request: Request
    principal: Principal
    tenant: Tenant

    async def answer(self, use_case: Callable[[Session], Awaitable[Prepared]], *, dry_run: bool = False) -> Response:
        """What the use case answers, committed: plainly, or as the last of some events (`kernel/web/progress.py`).

        A `dry_run` is undone after it; for what has no preview of its own.
        """

        async def in_one_transaction(tell: Tell) -> Response:
            async with _begin_in_org(self.request, self.principal, self.tenant, tell, dry_run=dry_run) as session:
                prepared = await use_case(session)
            return prepared.response()

        return await answer(self.request, in_one_transaction)


def org_work(permission: Permission) -> Any:
    """`work: Annotated[Work, org_work(Permission.X)]`: as `org_session`, for what begins its transaction by itself."""

    async def check(request: Request, org_id: OrgPath, principal: Principal = requires(permission)) -> Work:
        return Work(request, principal, org_tenant(principal, org_id))

    return Depends(check)


@asynccontextmanager
async def _begin_in_org(
    request: Request, principal: Principal, tenant: Tenant, tell: Tell = nobody, *, dry_run: bool = False
) -> AsyncIterator[Session]:
    async with begin(request, principal, tenant, tell, dry_run=dry_run) as session:
        node_id = request.path_params.get("node_id")
        yield session if node_id is None else await narrowed(session, node_id)
    if request.method not in _READS:
        # The notification will say so, too; but what was written here is read here at once, however late that comes.
        parts_of(request).stamps.doubt(tenant.org_id)


def org_tenant(principal: Principal, org_id: str) -> Tenant:
    """What the credential and the path have in common."""
    return Tenant(principal.in_org(org_id).org_id or org_id, principal.team_node_id)


def service_session(permission: Permission) -> Any:
    """The same for `/internal`: the caller is a service, and the tenant is the one its token names."""

    async def open_session(request: Request, principal: Principal = requires(permission)) -> AsyncIterator[Session]:
        async with begin(request, principal, service_tenant(principal)) as session:
            yield session

    return Depends(open_session, scope="function")


def service_tenant(principal: Principal) -> Tenant:
    """The tenant that a service's token names; Forbidden for people's tokens and for a token that names none."""
    return Tenant(require_service(principal).tenant_org(), principal.team_node_id)


def require_service(principal: Principal) -> Principal:
    """This principal, if it is a service; Forbidden for people's tokens, whatever their scopes."""
    if not principal.is_service:
        raise Forbidden("Internal routes need a service identity.", code="service_required")
    return principal


def _failure(error: DBAPIError) -> Failure:
    if error.orig is None:
        raise error
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate == _ROW_LEVEL_SECURITY and "row-level security" in str(error.orig):
        return Forbidden("This is outside of what the credential is bound to.", code="outside_of_own_team")
    if getattr(error.orig.__cause__, "constraint_name", None) == _RUN_TRANSITION:
        return Conflict("The run is in a state that does not allow this.", code="run_state_conflict")
    raise error
