"""Denials are on record: whoever is known and is refused leaves an event in the organisation it belongs to.

Written in a transaction of its own, since the refused request's is rolled back. A caller without a valid credential
belongs to no organisation and is only logged.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from incidentfox.config_service.audit.service import Fact, record
from incidentfox.config_service.dependencies import begin
from incidentfox.kernel.errors import Failure, Forbidden, NotFound
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Authenticator, Principal
from incidentfox.kernel.web.problem import problem_response

log = get_logger(__name__)

_FOREIGN = frozenset({"org_not_found", "node_not_found", "run_not_found"})


def install_denial_audit(app: FastAPI) -> None:
    """Called by the composition root. The more exact handlers win over the kernel's handler of all failures."""

    @app.exception_handler(Forbidden)
    async def on_forbidden(request: Request, failure: Forbidden) -> Response:
        await _put_on_record(request, failure)
        return problem_response(failure)

    @app.exception_handler(NotFound)
    async def on_not_found(request: Request, failure: NotFound) -> Response:
        if failure.code in _FOREIGN:
            await _put_on_record(request, failure)
        return problem_response(failure)


async def _put_on_record(request: Request, failure: Failure) -> None:
    try:
        authenticator: Authenticator = request.app.state.authenticator
        principal = await authenticator.principal(request)
        if principal.org_id is None:
            log.warning("denied", subject=principal.subject, code=failure.code, path=request.url.path)
        elif isinstance(failure, Forbidden) or failure.code == "org_not_found" or principal.team_node_id is not None:
            await _record(request, principal, principal.org_id, failure)
    except Failure as unrecorded:
        # The refusal stands either way; a refused caller must not learn that the record failed.
        log.exception("denial not recorded", code=unrecorded.code, detail=unrecorded.detail)


async def _record(request: Request, principal: Principal, org_id: str, failure: Failure) -> None:
    target = f"{request.method} {request.url.path}"[:512]
    async with begin(request, principal, Tenant(org_id, principal.team_node_id)) as session:
        await record(session, Fact("access.denied", target, detail={"code": failure.code}))
