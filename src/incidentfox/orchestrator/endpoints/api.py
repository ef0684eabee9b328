"""The API of webhook endpoints, for organisation admins: through clients/orchestrator.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, status

from incidentfox.contracts.master_keys import Reencryption
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.webhooks import CreatedEndpoint, CreateEndpoint, Endpoint, RotateSecret
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.db.idempotency import claim_key, keep_response, purge_keys
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.errors import Conflict
from incidentfox.kernel.tenant import Tenant
from incidentfox.kernel.web.auth import Principal, requires
from incidentfox.kernel.web.pagination import Cursor, Limit, decode_cursor, page
from incidentfox.kernel.web.strict_json import StrictRoute
from incidentfox.orchestrator.endpoints import store
from incidentfox.orchestrator.endpoints.service import Endpoints
from incidentfox.orchestrator.endpoints.tables import idempotency_keys

router = APIRouter(
    prefix="/api/v1/orgs/{org_id}/webhook-endpoints", tags=["webhook endpoints"], route_class=StrictRoute
)

Reader = Annotated[Principal, requires(Permission.WEBHOOKS_READ)]
Writer = Annotated[Principal, requires(Permission.WEBHOOKS_WRITE)]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,255}$")]

_KEYS_KEPT = timedelta(days=1)


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_endpoint(
    org_id: str, body: CreateEndpoint, request: Request, principal: Writer, idempotency_key: IdempotencyKey = None
) -> CreatedEndpoint:
    """A new endpoint. The answer holds its secret, this once."""
    principal.in_whole_org(org_id)
    key = _scoped(principal, idempotency_key)
    async with _database(request).transaction(Tenant(org_id)) as connection:
        asked = {"route": "create", "body": body.model_dump(mode="json", exclude={"secret"})}
        await _claim(connection, org_id, key, asked)
        created = await _endpoints(request).create(connection, org_id, body, principal.subject)
        await _keep(connection, org_id, key, created)
    return created


@router.get("")
async def list_endpoints(
    org_id: str, request: Request, principal: Reader, limit: Limit = 100, cursor: Cursor = None
) -> Page[Endpoint]:
    """The organisation's endpoints, newest first."""
    principal.in_whole_org(org_id)
    async with _database(request).transaction(Tenant(org_id)) as connection:
        items = await store.list_endpoints(connection, org_id, decode_cursor(cursor), limit)
    return page(items, limit, lambda endpoint: endpoint.endpoint_id)


@router.post("/reencrypt")
async def reencrypt_secrets(org_id: str, request: Request, principal: Writer) -> Reencryption:
    """Seals a batch of the organisation's webhook secrets under the current master key, until `remaining` is 0."""
    principal.in_whole_org(org_id)
    async with _database(request).transaction(Tenant(org_id)) as connection:
        return await _endpoints(request).reencrypt(connection, org_id, principal.subject)


@router.get("/{endpoint_id}")
async def read_endpoint(org_id: str, endpoint_id: str, request: Request, principal: Reader) -> Endpoint:
    """One endpoint, without the values of its secrets."""
    principal.in_whole_org(org_id)
    async with _database(request).transaction(Tenant(org_id)) as connection:
        return await _endpoints(request).read(connection, org_id, endpoint_id)


@router.post("/{endpoint_id}/secrets", status_code=status.HTTP_201_CREATED)
async def rotate_secret(
    org_id: str,
    endpoint_id: str,
    body: RotateSecret,
    request: Request,
    principal: Writer,
    idempotency_key: IdempotencyKey = None,
) -> CreatedEndpoint:
    """A new secret beside the old one, which goes on for the overlap."""
    principal.in_whole_org(org_id)
    key = _scoped(principal, idempotency_key)
    async with _database(request).transaction(Tenant(org_id)) as connection:
        asked = {
            "route": "rotate",
            "endpoint_id": endpoint_id,
            "body": body.model_dump(mode="json", exclude={"secret"}),
        }
        await _claim(connection, org_id, key, asked)
        rotated = await _endpoints(request).rotate(connection, org_id, endpoint_id, body, principal.subject)
        await _keep(connection, org_id, key, rotated)
    return rotated


@router.delete("/{endpoint_id}")
async def disable_endpoint(org_id: str, endpoint_id: str, request: Request, principal: Writer) -> Endpoint:
    """Shuts the endpoint: within a second every delivery to it is refused."""
    principal.in_whole_org(org_id)
    async with _database(request).transaction(Tenant(org_id)) as connection:
        return await _endpoints(request).disable(connection, org_id, endpoint_id, principal.subject)


def _scoped(principal: Principal, key: str | None) -> str | None:
    """Keys belong to the caller that used them: two subjects never meet over a key."""
    return None if key is None else f"{principal.subject} {key}"


async def _claim(connection: Any, org_id: str, key: str | None, asked: dict[str, Any]) -> None:
    """Conflict when the key was used: its answer held a secret that is shown once, so it cannot be given again."""
    if key is None:
        return
    await purge_keys(connection, idempotency_keys, org_id, utc_now() - _KEYS_KEPT)
    kept = await claim_key(connection, idempotency_keys, org_id, key, asked)
    if kept is not None:
        raise Conflict(
            f"This key made a secret of endpoint {kept['endpoint_id']} already, which was shown then. If it is lost, "
            "rotate it with a new key.",
            code="secret_already_shown",
        )


async def _keep(connection: Any, org_id: str, key: str | None, created: CreatedEndpoint) -> None:
    if key is not None:
        await keep_response(connection, idempotency_keys, org_id, key, {"endpoint_id": created.endpoint.endpoint_id})


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _endpoints(request: Request) -> Endpoints:
    endpoints: Endpoints = request.app.state.endpoints
    return endpoints
