"""Use cases of webhook endpoints: create, rotate, disable. Runs inside the caller's transaction and never commits.

Each change is put on record in the same transaction (audit/service.py): neither is there without the other.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from incidentfox.contracts.audit import AppendAuditEvent
from incidentfox.contracts.master_keys import Reencryption
from incidentfox.contracts.webhooks import CreatedEndpoint, CreateEndpoint, Endpoint, RotateSecret
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import Keyring
from incidentfox.kernel.errors import Conflict, Invalid, NotFound
from incidentfox.kernel.ids import new_id
from incidentfox.kernel.logging import correlation_id
from incidentfox.orchestrator.audit import service as audit
from incidentfox.orchestrator.endpoints import store
from incidentfox.orchestrator.webhooks.source import sources

REENCRYPTED_AT_ONCE = 100
"""Secrets of one call that moves them to another master key."""


class Endpoints:
    """The endpoints of every organisation; `actor` is the subject of the credential that asks."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def create(
        self, connection: AsyncConnection, org_id: str, request: CreateEndpoint, actor: str
    ) -> CreatedEndpoint:
        """A new endpoint with its first secret. Invalid for an unknown source or an unusable secret."""
        secret = _chosen_secret(request.source, request.secret)
        endpoint_id = new_id("whe")
        await store.insert_endpoint(
            connection,
            {
                "endpoint_id": endpoint_id,
                "org_id": org_id,
                "source": request.source,
                "name": request.name,
                "rate_per_minute": request.rate_per_minute,
                "burst": request.burst,
                "created_by": actor,
            },
        )
        secret_id = await self._add_secret(connection, org_id, endpoint_id, secret, actor)
        detail = {"source": request.source, "name": request.name, "secret_id": secret_id}
        await _audit(connection, org_id, "webhook_endpoint.created", endpoint_id, secret_id, actor, detail)
        return CreatedEndpoint(endpoint=await self.read(connection, org_id, endpoint_id), secret=secret)

    async def rotate(
        self, connection: AsyncConnection, org_id: str, endpoint_id: str, request: RotateSecret, actor: str
    ) -> CreatedEndpoint:
        """Adds a secret. The newest old one goes on for the overlap, any older one ends: two are live at most."""
        await self._lock(connection, org_id, endpoint_id)
        endpoint = await self.read(connection, org_id, endpoint_id)
        if endpoint.disabled_at is not None:
            raise Conflict("This endpoint is disabled. Create another one.", code="endpoint_disabled")
        secret = _chosen_secret(endpoint.source, request.secret)
        live = await store.live_secret_ids(connection, endpoint_id)
        await store.expire_secrets(connection, live[:1], request.overlap_s)
        await store.expire_secrets(connection, live[1:], 0)
        secret_id = await self._add_secret(connection, org_id, endpoint_id, secret, actor)
        detail = {"secret_id": secret_id, "overlap_s": request.overlap_s}
        await _audit(connection, org_id, "webhook_endpoint.secret_rotated", endpoint_id, secret_id, actor, detail)
        return CreatedEndpoint(endpoint=await self.read(connection, org_id, endpoint_id), secret=secret)

    async def reencrypt(self, connection: AsyncConnection, org_id: str, actor: str) -> Reencryption:
        """Seals one batch of the organisation's secrets under the current master key; Conflict when a key is absent."""
        key_id = self._keyring.current
        batch = await store.lock_not_sealed_with(connection, org_id, key_id, REENCRYPTED_AT_ONCE)
        absent = sorted({self._keyring.key_of(secret.ciphertext) for secret in batch} - set(self._keyring.keys))
        if absent:
            raise Conflict(
                f"Webhook secrets are sealed with master keys that are not in the key file, {', '.join(absent)}. Put"
                " them back, or rotate those secrets.",
                code="master_key_absent",
            )
        for secret in batch:
            ciphertext = self._keyring.reseal(secret.ciphertext, org_id, secret.endpoint_id, secret.secret_id)
            await store.replace_ciphertext(connection, org_id, secret.secret_id, ciphertext)
        remaining = await store.count_not_sealed_with(connection, org_id, key_id)
        if batch:
            detail = {"key_id": key_id, "secrets": len(batch), "remaining": remaining}
            await _audit(connection, org_id, "webhook_secrets.reencrypted", org_id, new_id("evt"), actor, detail)
        return Reencryption(key_id=key_id, reencrypted=len(batch), remaining=remaining)

    async def disable(self, connection: AsyncConnection, org_id: str, endpoint_id: str, actor: str) -> Endpoint:
        """Shuts the endpoint for good. Disabling twice is the same as once."""
        await self._lock(connection, org_id, endpoint_id)
        await store.disable(connection, org_id, endpoint_id)
        await _audit(connection, org_id, "webhook_endpoint.disabled", endpoint_id, new_id("evt"), actor, {})
        return await self.read(connection, org_id, endpoint_id)

    async def read(self, connection: AsyncConnection, org_id: str, endpoint_id: str) -> Endpoint:
        """One endpoint; NotFound."""
        endpoint = await store.read_endpoint(connection, org_id, endpoint_id)
        if endpoint is None:
            raise _unknown(endpoint_id)
        return endpoint

    async def _lock(self, connection: AsyncConnection, org_id: str, endpoint_id: str) -> None:
        if not await store.lock_endpoint(connection, org_id, endpoint_id):
            raise _unknown(endpoint_id)

    async def _add_secret(
        self, connection: AsyncConnection, org_id: str, endpoint_id: str, secret: str, actor: str
    ) -> str:
        secret_id = new_id("whs")
        ciphertext = self._keyring.seal(secret, org_id, endpoint_id, secret_id)
        await store.insert_secret(connection, store.NewSecret(secret_id, org_id, endpoint_id, ciphertext, actor))
        return secret_id


async def _audit(
    connection: AsyncConnection,
    org_id: str,
    action: str,
    endpoint_id: str,
    change: str,
    actor: str,
    detail: dict[str, Any],
) -> None:
    event = AppendAuditEvent(
        event_key=f"{action}/{endpoint_id}/{change}",
        action=action,
        target=endpoint_id,
        correlation_id=correlation_id(),
        detail={**detail, "on_behalf_of": actor, "changed_at": utc_now().isoformat()},
    )
    await audit.record(connection, org_id, event)


def _chosen_secret(source_name: str, given: str | None) -> str:
    """The given secret, if the source can sign with it, or a new one of 32 random bytes in the common form."""
    source = sources().get(source_name)
    if source is None:
        raise Invalid(f"There is no source {source_name!r}. Known: {', '.join(sources())}.", code="unknown_source")
    secret = given or "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    source.check_secret(secret)
    return secret


def _unknown(endpoint_id: str) -> NotFound:
    return NotFound(f"There is no webhook endpoint {endpoint_id!r} here for you.", code="endpoint_not_found")
