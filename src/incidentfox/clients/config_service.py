"""The client of the Config Service: routing, configuration, tokens, audit, runs, timeline, effects.

Methods without `internal` in their section are for people's tokens and the platform's key; those of the internal
section need a service identity, and act for the tenant that is passed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from incidentfox.clients.change_requests import ChangeRequestCalls
from incidentfox.clients.configuration import ConfigurationCalls
from incidentfox.clients.transport import Call, Credential, ServiceCredential, TokenCredential, Transport, dry, segment
from incidentfox.clients.tree import TreeCalls
from incidentfox.contracts.audit import AppendAuditEvent, AuditChain, AuditEvent, AuditFilters, ExportFormat
from incidentfox.contracts.budgets import Reservation, ReserveBudget, SettleBudget, TeamBudget
from incidentfox.contracts.captures import Capture, CaptureContent, KeepCapture
from incidentfox.contracts.configuration import (
    EffectiveConfiguration,
    PutSecret,
    ResolvedSecrets,
    ResolveSecrets,
    SecretRemoval,
    SecretSummary,
)
from incidentfox.contracts.events import AppendRunEvents, RunEvent
from incidentfox.contracts.master_keys import Reencryption
from incidentfox.contracts.page import Page
from incidentfox.contracts.permissions import Permission
from incidentfox.contracts.recordings import Recording, RecordingContent, UploadRecording
from incidentfox.contracts.routing import OwnedIdentifier, OwnedKind, Route, RoutingLookup
from incidentfox.contracts.runs import (
    CancelRun,
    CreateRun,
    FinishRun,
    IntendEffect,
    Run,
    RunEffect,
    SettleEffect,
    StartedRun,
)
from incidentfox.contracts.tokens import (
    Caller,
    CreatedToken,
    CreateToken,
    ExchangeSignInCode,
    Introspect,
    RotateToken,
    SignInCode,
    Token,
)
from incidentfox.kernel.tenant import Tenant

AUDIENCE = "config-service"


class ConfigServiceClient(TreeCalls, ConfigurationCalls, ChangeRequestCalls):
    """Every call of the Config Service. `credential` None: only the public calls."""

    def __init__(self, base_url: str, credential: Credential | None, *, attempts: int = 3) -> None:
        self._transport = Transport(AUDIENCE, base_url, credential, attempts=attempts)

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def ready(self) -> None:
        """Raises Unavailable unless the service and its database answer."""
        await self._transport.json(Call("GET", "/readyz", Permission.PUBLIC))

    # -- sign-in ---------------------------------------------------------------------------------------------------

    async def me(self) -> Caller:
        """Who this credential is."""
        return await self._transport.model(Call("GET", "/api/v1/me", Permission.SELF), Caller)

    async def create_sign_in_code(self) -> SignInCode:
        """A single-use code that signs a browser in with this credential's rights."""
        call = Call("POST", "/api/v1/sign-in-codes", Permission.SELF, repeatable=False)
        return await self._transport.model(call, SignInCode)

    async def exchange_sign_in_code(self, code: str) -> CreatedToken:
        """A session token for the code; Gone when it was used or is too old. Public."""
        call = Call(
            "POST",
            "/api/v1/sign-in-codes/exchange",
            Permission.PUBLIC,
            body=ExchangeSignInCode(code=code),
            repeatable=False,
        )
        return await self._transport.model(call, CreatedToken)

    async def sign_out(self) -> None:
        """Revokes the token of this credential."""
        await self._transport.json(Call("DELETE", "/api/v1/me/token", Permission.SELF))

    # -- secrets ----------------------------------------------------------------------------------------------------

    async def team_budget(self, org_id: str, team_node_id: str) -> TeamBudget:
        """What a team may spend on models and has spent today (UTC)."""
        call = self._org_call("GET", org_id, f"/teams/{segment(team_node_id)}/budget", Permission.CONFIG_READ)
        return await self._transport.model(call, TeamBudget)

    async def put_secret(
        self, org_id: str, node_id: str, name: str, value: str, *, dry_run: bool = False
    ) -> SecretSummary:
        """Writes a secret of a node; teams below may refer to it. A dry run says whether it could be written."""
        path, query = f"/nodes/{segment(node_id)}/secrets/{segment(name)}", dry(dry_run)
        call = self._org_call("PUT", org_id, path, Permission.SECRETS_WRITE, PutSecret(value=value), query=query)
        return await self._transport.model(call, SecretSummary)

    async def delete_secret(self, org_id: str, node_id: str, name: str, *, dry_run: bool = False) -> SecretRemoval:
        """Deletes a secret of a node, or says who would miss it."""
        path, query = f"/nodes/{segment(node_id)}/secrets/{segment(name)}", dry(dry_run)
        call = self._org_call("DELETE", org_id, path, Permission.SECRETS_WRITE, query=query, repeatable=dry_run)
        return await self._transport.model(call, SecretRemoval)

    async def secrets(
        self, org_id: str, node_id: str, *, cursor: str | None = None, limit: int = 100
    ) -> Page[SecretSummary]:
        """The node's own secrets by name, without their values."""
        path, query = f"/nodes/{segment(node_id)}/secrets", {"cursor": cursor, "limit": limit}
        call = self._org_call("GET", org_id, path, Permission.CONFIG_READ, query=query)
        return await self._transport.model(call, Page[SecretSummary])

    async def reencrypt_secrets(self, org_id: str) -> Reencryption:
        """Seals a batch of secrets under the current master key; to be called until nothing remains."""
        call = self._org_call("POST", org_id, "/secrets/reencrypt", Permission.SECRETS_WRITE)
        return await self._transport.model(call, Reencryption)

    # -- tokens, audit, recordings ---------------------------------------------------------------------------------

    async def create_token(
        self, org_id: str, request: CreateToken, *, idempotency_key: str | None = None, dry_run: bool = False
    ) -> CreatedToken:
        """A new token; its secret is in this answer and nowhere else: the same key again is a Conflict.

        The answer to a dry run has no secret.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else None
        rest = {"headers": headers, "query": dry(dry_run), "repeatable": False}
        call = self._org_call("POST", org_id, "/tokens", Permission.TOKENS_WRITE, request, **rest)
        return await self._transport.model(call, CreatedToken)

    async def tokens(self, org_id: str, *, cursor: str | None = None, limit: int = 100) -> Page[Token]:
        """The organisation's tokens, without their secrets."""
        query = {"cursor": cursor, "limit": limit}
        call = self._org_call("GET", org_id, "/tokens", Permission.TOKENS_READ, query=query)
        return await self._transport.model(call, Page[Token])

    async def rotate_token(self, org_id: str, token_id: str, overlap_s: int, *, dry_run: bool = False) -> CreatedToken:
        """Replaces a token by one with the same rights; the old one ends `overlap_s` from now."""
        path, request = f"/tokens/{segment(token_id)}/rotate", RotateToken(overlap_s=overlap_s)
        rest = {"query": dry(dry_run), "repeatable": False}
        call = self._org_call("POST", org_id, path, Permission.TOKENS_WRITE, request, **rest)
        return await self._transport.model(call, CreatedToken)

    async def revoke_token(self, org_id: str, token_id: str, *, dry_run: bool = False) -> Token:
        """Revokes a token."""
        path = f"/tokens/{segment(token_id)}"
        call = self._org_call("DELETE", org_id, path, Permission.TOKENS_WRITE, query=dry(dry_run))
        return await self._transport.model(call, Token)

    async def audit_events(
        self,
        org_id: str,
        *,
        action: str | None = None,
        wanted: AuditFilters | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[AuditEvent]:
        """The organisation's audit events, newest first: of one action, or whichever `wanted` describes."""
        query = {**_query(wanted or AuditFilters(action=action)), "cursor": cursor, "limit": limit}
        call = self._org_call("GET", org_id, "/audit-events", Permission.AUDIT_READ, query=query)
        return await self._transport.model(call, Page[AuditEvent])

    async def audit_chain(self, org_id: str) -> AuditChain:
        """Where the organisation's chain of audit events begins and ends."""
        return await self._transport.model(
            self._org_call("GET", org_id, "/audit-chain", Permission.AUDIT_READ), AuditChain
        )

    @asynccontextmanager
    async def export_audit_chain(
        self,
        org_id: str,
        form: ExportFormat = ExportFormat.NDJSON,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The chain with its events, in pieces; `clients/audit_export.py` reads it."""
        query = {"format": form.value, **_query(AuditFilters(since=since, until=until))}
        call = self._org_call("GET", org_id, "/audit-chain/export", Permission.AUDIT_READ, query=query)
        async with self._transport.content(call) as content:
            yield content

    async def upload_recording(self, org_id: str, request: UploadRecording) -> Recording:
        """Uploads a recording; the same content twice is one recording."""
        call = self._org_call("POST", org_id, "/recordings", Permission.RECORDINGS_WRITE, request)
        return await self._transport.model(call, Recording)

    async def who_would_get(self, org_id: str, request: RoutingLookup) -> Route:
        """Dry run of the routing: which team would get an event with these identifiers, and why."""
        call = self._org_call("POST", org_id, "/routing/lookup", Permission.ROUTING_LOOKUP, request)
        return await self._transport.model(call, Route)

    async def owned_identifiers(
        self,
        org_id: str,
        *,
        kind: OwnedKind | None = None,
        team: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[OwnedIdentifier]:
        """Who owns what, by kind and identifier, as far as the caller reaches."""
        query = {"kind": kind, "team_node_id": team, "cursor": cursor, "limit": limit}
        call = self._org_call("GET", org_id, "/routing/identifiers", Permission.ROUTING_LOOKUP, query=query)
        return await self._transport.model(call, Page[OwnedIdentifier])

    # -- runs ------------------------------------------------------------------------------------------------------

    async def runs(
        self,
        org_id: str,
        *,
        team: str | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Run]:
        """Runs, newest first."""
        query = {"team_node_id": team, "status": status, "cursor": cursor, "limit": limit}
        return await self._transport.model(
            self._org_call("GET", org_id, "/runs", Permission.RUNS_READ, query=query), Page[Run]
        )

    async def run(self, org_id: str, run_id: str) -> Run:
        """One run with its answer."""
        call = self._org_call("GET", org_id, f"/runs/{segment(run_id)}", Permission.RUNS_READ)
        return await self._transport.model(call, Run)

    async def cancel_run(self, org_id: str, run_id: str, cancel: CancelRun, *, dry_run: bool = False) -> Run:
        """Ends a run that is not over and has posted nothing; one that is cancelled already stays so."""
        path = f"/runs/{segment(run_id)}/cancel"
        call = self._org_call("POST", org_id, path, Permission.RUNS_CANCEL, cancel, query=dry(dry_run))
        return await self._transport.model(call, Run)

    async def run_events(self, org_id: str, run_id: str, *, after: int = 0, limit: int = 200) -> Page[RunEvent]:
        """The run's timeline after `seq` = `after`."""
        path = f"/runs/{segment(run_id)}/events"
        call = self._org_call("GET", org_id, path, Permission.RUNS_READ, query={"after": after, "limit": limit})
        return await self._transport.model(call, Page[RunEvent])

    async def run_effects(self, org_id: str, run_id: str) -> Page[RunEffect]:
        """What the run posted where."""
        call = self._org_call("GET", org_id, f"/runs/{segment(run_id)}/effects", Permission.RUNS_READ)
        return await self._transport.model(call, Page[RunEffect])

    async def run_recording(self, org_id: str, run_id: str) -> RecordingContent:
        """The run as a recording: its alert and what it read."""
        call = self._org_call("GET", org_id, f"/runs/{segment(run_id)}/recording", Permission.RUNS_READ)
        return await self._transport.model(call, RecordingContent)

    @asynccontextmanager
    async def stream_run_events(
        self, org_id: str, run_id: str, *, after: int = 0
    ) -> AsyncIterator[AsyncIterator[RunEvent]]:
        """The timeline from `after` on, live; ends after `run.finished`."""
        path = f"/runs/{segment(run_id)}/events"
        headers = {"Last-Event-ID": str(after)}
        call = self._org_call("GET", org_id, path, Permission.RUNS_READ, headers=headers)
        async with self._transport.stream(call) as events:
            yield (RunEvent.model_validate_json(data) async for _, _, data in events)

    # -- internal: for services ------------------------------------------------------------------------------------

    async def introspect(self, token: str) -> Caller:
        """Who holds an opaque bearer token; NotFound when nobody does."""
        body = Introspect(token=token)
        call = Call("POST", "/api/v1/internal/tokens/introspect", Permission.TOKENS_INTROSPECT, body=body)
        return await self._transport.model(call, Caller)

    async def lookup_route(self, org_id: str, request: RoutingLookup) -> Route:
        """Whose event is this? (decision 002)."""
        path = "/api/v1/internal/routing/lookup"
        call = Call("POST", path, Permission.ROUTING_LOOKUP, Tenant(org_id), request)
        return await self._transport.model(call, Route)

    async def append_audit_event(self, org_id: str, event: AppendAuditEvent) -> AuditEvent:
        """Puts an event on record; idempotent on its `event_key`."""
        call = Call("POST", "/api/v1/internal/audit-events", Permission.AUDIT_WRITE, Tenant(org_id), event)
        return await self._transport.model(call, AuditEvent)

    async def create_run(self, org_id: str, request: CreateRun) -> Run:
        """Creates a run, or returns it when it exists."""
        tenant = Tenant(org_id, request.team_node_id)
        return await self._transport.model(
            Call("POST", "/api/v1/internal/runs", Permission.RUNS_WRITE, tenant, request), Run
        )

    async def team_run(self, tenant: Tenant, run_id: str) -> Run:
        """The run, for the agent that executes it."""
        return await self._transport.model(self._run_call("GET", tenant, run_id, "", Permission.RUNS_READ), Run)

    async def start_run(self, tenant: Tenant, run_id: str, started: StartedRun) -> Run:
        """queued → running; a run that is running already stays so."""
        call = self._run_call("POST", tenant, run_id, "/start", Permission.RUNS_WRITE, started)
        return await self._transport.model(call, Run)

    async def finish_run(self, tenant: Tenant, run_id: str, finished: FinishRun) -> Run:
        """running → a final state; the same ending twice is one ending, another ending is Conflict."""
        call = self._run_call("POST", tenant, run_id, "/finish", Permission.RUNS_WRITE, finished)
        return await self._transport.model(call, Run)

    async def append_run_events(self, tenant: Tenant, run_id: str, events: AppendRunEvents) -> Page[RunEvent]:
        """Appends to the timeline in order; an event whose key is there already is returned, not repeated."""
        call = self._run_call("POST", tenant, run_id, "/events", Permission.RUNS_WRITE, events)
        return await self._transport.model(call, Page[RunEvent])

    async def intend_effect(self, tenant: Tenant, run_id: str, intent: IntendEffect) -> RunEffect:
        """Records the intent; returns the entry as it stands, which may be settled already."""
        call = self._run_call("POST", tenant, run_id, "/effects", Permission.RUNS_WRITE, intent)
        return await self._transport.model(call, RunEffect)

    async def settle_effect(self, tenant: Tenant, run_id: str, key: str, settled: SettleEffect) -> RunEffect:
        """Records how the effect ended."""
        path = f"/effects/{segment(key)}/settle"
        call = self._run_call("POST", tenant, run_id, path, Permission.RUNS_WRITE, settled)
        return await self._transport.model(call, RunEffect)

    async def team_effective(self, tenant: Tenant) -> EffectiveConfiguration:
        """The effective configuration of `tenant.team_node_id`, for the orchestrator and the agent."""
        path = f"/api/v1/internal/teams/{segment(tenant.team_node_id or '')}/effective"
        return await self._transport.model(Call("GET", path, Permission.CONFIG_READ, tenant), EffectiveConfiguration)

    async def team_effective_of_run(self, tenant: Tenant, document_hash: str) -> EffectiveConfiguration:
        """The effective configuration that a run of `tenant.team_node_id` was built from."""
        path = f"/api/v1/internal/teams/{segment(tenant.team_node_id or '')}/effective/{segment(document_hash)}"
        return await self._transport.model(Call("GET", path, Permission.CONFIG_READ, tenant), EffectiveConfiguration)

    async def keep_capture(self, tenant: Tenant, run_id: str, capture: KeepCapture) -> Capture:
        """Keeps what a run read; the same content twice is one capture."""
        call = self._run_call("POST", tenant, run_id, "/captures", Permission.RUNS_WRITE, capture)
        return await self._transport.model(call, Capture)

    async def capture(self, tenant: Tenant, run_id: str, capture_id: str) -> CaptureContent:
        """The files of a capture."""
        call = self._run_call("GET", tenant, run_id, f"/captures/{segment(capture_id)}", Permission.RUNS_READ)
        return await self._transport.model(call, CaptureContent)

    async def reserve_budget(self, tenant: Tenant, run_id: str, request: ReserveBudget) -> Reservation:
        """Reserves the most that one model call may cost, unless that would break a limit."""
        call = self._run_call("POST", tenant, run_id, "/budget/reserve", Permission.BUDGETS_SPEND, request)
        return await self._transport.model(call, Reservation)

    async def settle_budget(self, tenant: Tenant, run_id: str, settled: SettleBudget) -> None:
        """Replaces what is reserved for a call by what it cost; the same again changes nothing."""
        call = self._run_call("POST", tenant, run_id, "/budget/settle", Permission.BUDGETS_SPEND, settled)
        await self._transport.json(call)

    async def resolve_secrets(self, tenant: Tenant, request: ResolveSecrets) -> ResolvedSecrets:
        """The plain secrets that one run needs; on record."""
        path = f"/api/v1/internal/teams/{segment(tenant.team_node_id or '')}/secrets/resolve"
        return await self._transport.model(
            Call("POST", path, Permission.SECRETS_RESOLVE, tenant, request), ResolvedSecrets
        )

    async def recording(self, tenant: Tenant, recording_id: str) -> RecordingContent:
        """The files of a recording."""
        path = f"/api/v1/internal/recordings/{segment(recording_id)}"
        return await self._transport.model(Call("GET", path, Permission.RUNS_READ, tenant), RecordingContent)

    # ---------------------------------------------------------------------------------------------------------------

    @staticmethod
    def _run_call(
        method: str, tenant: Tenant, run_id: str, path: str, permission: Permission, body: Any = None
    ) -> Call:
        return Call(method, f"/api/v1/internal/runs/{segment(run_id)}{path}", permission, tenant, body)


def _query(wanted: AuditFilters) -> dict[str, str | None]:
    """The filters as a query; what is not asked for is left out."""
    return {name: value for name, value in wanted.model_dump(mode="json").items() if value is not None}


__all__ = ["AUDIENCE", "ConfigServiceClient", "ServiceCredential", "TokenCredential"]
