"""The Config Service's calls on change requests. `ConfigServiceClient` inherits them."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel

from incidentfox.clients.transport import Call, Tell, Transport, segment
from incidentfox.contracts.change_requests import (
    AddComment,
    ChangeRequest,
    ChangeRequestStatus,
    Comment,
    Decision,
    OpenChangeRequest,
)
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.tenant import Tenant


class ChangeRequestCalls:
    """Change requests: opened by one, approved and applied by another.

    `tell` hears how many of the teams below have been judged.
    """

    _transport: Transport

    async def open_change_request(
        self, org_id: str, node_id: str, request: OpenChangeRequest, *, tell: Tell | None = None
    ) -> ChangeRequest:
        """Asks for a change of the node, bound to its version of this moment."""
        call = self._request_call("POST", org_id, node_id, "", Permission.CONFIG_WRITE, request)
        return await self._transport.watched(call, ChangeRequest, tell)

    async def preview_opening(
        self, org_id: str, node_id: str, request: OpenChangeRequest, *, tell: Tell | None = None
    ) -> WritePreview:
        """What the change would do, and whether it could be asked for."""
        call = self._request_call("POST", org_id, node_id, "", Permission.CONFIG_WRITE, request)
        return await self._transport.watched(replace(call, query={"dry_run": "true"}), WritePreview, tell)

    async def change_requests(
        self,
        org_id: str,
        *,
        node_id: str | None = None,
        status: ChangeRequestStatus | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ChangeRequest]:
        """The change requests that the caller may see, newest first."""
        query = {"node_id": node_id, "status": status.value if status else None, "cursor": cursor, "limit": limit}
        address = f"/api/v1/orgs/{segment(org_id)}/change-requests"
        call = Call("GET", address, Permission.CONFIG_READ, Tenant(org_id), query=query)
        return await self._transport.model(call, Page[ChangeRequest])

    async def change_request(self, org_id: str, node_id: str, request_id: str) -> ChangeRequest:
        """One change request."""
        call = self._request_call("GET", org_id, node_id, f"/{segment(request_id)}", Permission.CONFIG_READ)
        return await self._transport.model(call, ChangeRequest)

    async def preview_change_request(
        self, org_id: str, node_id: str, request_id: str, *, tell: Tell | None = None
    ) -> WritePreview:
        """What approving it would do now."""
        path = f"/{segment(request_id)}/preview"
        call = self._request_call("GET", org_id, node_id, path, Permission.CONFIG_READ)
        return await self._transport.watched(call, WritePreview, tell)

    async def approve_change_request(
        self, org_id: str, node_id: str, request_id: str, decision: Decision, *, tell: Tell | None = None
    ) -> ChangeRequest:
        """Approves and applies it; Forbidden for its author, Conflict when it is stale."""
        path = f"/{segment(request_id)}/approve"
        call = self._request_call("POST", org_id, node_id, path, Permission.CONFIG_APPROVE, decision)
        return await self._transport.watched(call, ChangeRequest, tell)

    async def reject_change_request(
        self, org_id: str, node_id: str, request_id: str, decision: Decision
    ) -> ChangeRequest:
        """Declines it for good."""
        path = f"/{segment(request_id)}/reject"
        return await self._decide(org_id, node_id, path, Permission.CONFIG_APPROVE, decision)

    async def withdraw_change_request(
        self, org_id: str, node_id: str, request_id: str, decision: Decision
    ) -> ChangeRequest:
        """Takes one's own request back."""
        path = f"/{segment(request_id)}/withdraw"
        return await self._decide(org_id, node_id, path, Permission.CONFIG_WRITE, decision)

    async def rebase_change_request(self, org_id: str, node_id: str, request_id: str) -> ChangeRequest:
        """Binds one's own request to the current version."""
        path = f"/{segment(request_id)}/rebase"
        call = self._request_call("POST", org_id, node_id, path, Permission.CONFIG_WRITE)
        return await self._transport.model(call, ChangeRequest)

    async def change_request_comments(
        self, org_id: str, node_id: str, request_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> Page[Comment]:
        """The comments on it, oldest first."""
        path = f"/{segment(request_id)}/comments"
        call = self._request_call("GET", org_id, node_id, path, Permission.CONFIG_READ)
        query = {"cursor": cursor, "limit": limit}
        return await self._transport.model(replace(call, query=query), Page[Comment])

    async def comment_on_change_request(self, org_id: str, node_id: str, request_id: str, text: str) -> Comment:
        """Adds a comment."""
        path = f"/{segment(request_id)}/comments"
        call = self._request_call("POST", org_id, node_id, path, Permission.CONFIG_READ, AddComment(text=text))
        return await self._transport.model(call, Comment)

    async def _decide(
        self, org_id: str, node_id: str, path: str, permission: Permission, decision: Decision
    ) -> ChangeRequest:
        call = self._request_call("POST", org_id, node_id, path, permission, decision)
        return await self._transport.model(call, ChangeRequest)

    @staticmethod
    def _request_call(
        method: str, org_id: str, node_id: str, path: str, permission: Permission, body: BaseModel | None = None
    ) -> Call:
        address = f"/api/v1/orgs/{segment(org_id)}/nodes/{segment(node_id)}/change-requests{path}"
        return Call(method, address, permission, Tenant(org_id), body, repeatable=method == "GET")
