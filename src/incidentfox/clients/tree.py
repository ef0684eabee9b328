"""The Config Service's calls on the tree: organisations, units and teams. `ConfigServiceClient` inherits them."""

from __future__ import annotations

from typing import Any

from incidentfox.clients.transport import Call, Tell, Transport, dry, segment
from incidentfox.contracts.explanation import WritePreview
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.tree import CreateNode, CreateOrganisation, Node, Removal, UpdateNode
from incidentfox.kernel.tenant import Tenant


class TreeCalls:
    """The tree. `if_match` is the version of the node that the writer has seen; `tell` hears how many of the teams that
    move are judged.
    """

    _transport: Transport

    async def create_organisation(self, request: CreateOrganisation, *, dry_run: bool = False) -> Node:
        """Creates an organisation; Conflict when the id is taken."""
        tenant, query = Tenant(request.org_id), dry(dry_run)
        call = Call("POST", "/api/v1/orgs", Permission.ORGS_CREATE, tenant, request, query=query, repeatable=False)
        return await self._transport.model(call, Node)

    async def create_node(self, org_id: str, request: CreateNode, *, idempotency_key: str | None = None) -> Node:
        """Creates a unit or team; Conflict when the id is taken in the organisation. The same key again: the same."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else None
        call = self._org_call(
            "POST", org_id, "/nodes", Permission.NODES_WRITE, request, headers=headers, repeatable=False
        )
        return await self._transport.model(call, Node)

    async def nodes(self, org_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Node]:
        """The nodes that the caller may see."""
        call = self._org_call("GET", org_id, "/nodes", Permission.NODES_READ, query={"cursor": cursor, "limit": limit})
        return await self._transport.model(call, Page[Node])

    async def node(self, org_id: str, node_id: str) -> Node:
        """One node."""
        call = self._org_call("GET", org_id, f"/nodes/{segment(node_id)}", Permission.NODES_READ)
        return await self._transport.model(call, Node)

    async def update_node(
        self,
        org_id: str,
        node_id: str,
        request: UpdateNode,
        *,
        if_match: int | None = None,
        tell: Tell | None = None,
    ) -> Node:
        """Renames a node, moves it with everything below it, or both."""
        call = self._node_write("PATCH", org_id, node_id, "", request, if_match)
        return await self._transport.watched(call, Node, tell)

    async def archive_node(self, org_id: str, node_id: str, *, if_match: int | None = None) -> Node:
        """Freezes a unit or team with everything below it."""
        return await self._transport.model(self._node_write("POST", org_id, node_id, "/archive", None, if_match), Node)

    async def restore_node(
        self, org_id: str, node_id: str, *, if_match: int | None = None, tell: Tell | None = None
    ) -> Node:
        """Restores what was archived together with the node."""
        call = self._node_write("POST", org_id, node_id, "/restore", None, if_match)
        return await self._transport.watched(call, Node, tell)

    async def delete_node(
        self, org_id: str, node_id: str, *, if_match: int | None = None, dry_run: bool = False
    ) -> Removal:
        """Deletes a unit or team with everything below it, or says what would fall."""
        call = self._node_write("DELETE", org_id, node_id, "", None, if_match, dry_run=dry_run)
        return await self._transport.model(call, Removal)

    async def preview_creation(self, org_id: str, request: CreateNode) -> WritePreview:
        """What `create_node` would do."""
        call = self._org_call("POST", org_id, "/nodes", Permission.NODES_WRITE, request, query=dry(True))
        return await self._transport.model(call, WritePreview)

    async def preview_update(
        self, org_id: str, node_id: str, request: UpdateNode, *, if_match: int | None = None
    ) -> WritePreview:
        """What `update_node` would do."""
        call = self._node_write("PATCH", org_id, node_id, "", request, if_match, dry_run=True)
        return await self._transport.model(call, WritePreview)

    async def preview_archiving(self, org_id: str, node_id: str) -> WritePreview:
        """What `archive_node` would do."""
        call = self._node_write("POST", org_id, node_id, "/archive", None, None, dry_run=True)
        return await self._transport.model(call, WritePreview)

    async def preview_restoring(self, org_id: str, node_id: str) -> WritePreview:
        """What `restore_node` would do."""
        call = self._node_write("POST", org_id, node_id, "/restore", None, None, dry_run=True)
        return await self._transport.model(call, WritePreview)

    def _node_write(
        self,
        method: str,
        org_id: str,
        node_id: str,
        path: str,
        body: UpdateNode | None,
        if_match: int | None,
        *,
        dry_run: bool = False,
    ) -> Call:
        headers = {"If-Match": f'"{if_match}"'} if if_match is not None else None
        address = f"/nodes/{segment(node_id)}{path}"
        rest = {"query": dry(dry_run), "headers": headers, "repeatable": False}
        return self._org_call(method, org_id, address, Permission.NODES_WRITE, body, **rest)

    @staticmethod
    def _org_call(method: str, org_id: str, path: str, permission: Permission, body: Any = None, **rest: Any) -> Call:
        return Call(method, f"/api/v1/orgs/{segment(org_id)}{path}", permission, Tenant(org_id), body, **rest)
