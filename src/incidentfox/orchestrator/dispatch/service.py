"""The acts of dispatch, each safe to repeat: route, audit, correlate, create the run, start the agent, settle.

Called by workflow.py, as durable steps. What the Config Service or an Agent refuses for good raises Permanent; what
may pass, Temporary. A peer that does not accept this service's identity, answers in no form of ours or not at all is
Temporary: the operator will mend it, and the event must not be lost meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from incidentfox.clients.agent import AgentClient
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.clients.transport import Credential
from incidentfox.contracts.configuration import RuntimeConfiguration
from incidentfox.contracts.routing import Route, RoutingLookup
from incidentfox.contracts.runs import ExecuteRun, FinishRun, RunStatus
from incidentfox.contracts.webhooks import DeliveryStatus
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.db.session import Database
from incidentfox.kernel.egress import check_url
from incidentfox.kernel.errors import NotFound, Unprocessable
from incidentfox.kernel.logging import get_logger
from incidentfox.kernel.tenant import Tenant
from incidentfox.orchestrator.deliveries.store import StoredDelivery, load_delivery, settle_delivery
from incidentfox.orchestrator.dispatch import rules
from incidentfox.orchestrator.dispatch.metrics import DISPATCHED, HOP_SECONDS
from incidentfox.orchestrator.incidents.service import Correlation, correlate
from incidentfox.orchestrator.incidents.store import find_team
from incidentfox.orchestrator.peers import peer
from incidentfox.orchestrator.webhooks.source import IncidentRef, ParsedEvent

log = get_logger(__name__)

_START_S = 15.0
"""How long an agent may take to accept a run. A dedicated one is a tenant's: it must not hold a place of the worker's
queue, which all tenants share, by answering a byte at a time."""
_KEEP_AGENTS = 64
_RETIRE_S = 120.0
_KEEP_RUNTIMES = 1000
_KEEP_RUNTIME_S = 0.4


class Agents:
    """The clients of the agent deployments: the shared one, and those that teams have of their own."""

    def __init__(self, shared_url: str, credential: Credential) -> None:
        self._shared_url = shared_url
        self._credential = credential
        self._clients: dict[str, AgentClient] = {}
        self._retired: list[tuple[float, AgentClient]] = []

    async def at(self, url: str | None) -> AgentClient:
        """The client of the deployment at `url`, or of the shared one."""
        address = url or self._shared_url
        if address not in self._clients:
            self._clients[address] = AgentClient(address, self._credential)
            if len(self._clients) > _KEEP_AGENTS:
                self._retired.append((time.monotonic(), self._clients.pop(next(iter(self._clients)))))
        client = self._clients[address]
        await self._close_retired(time.monotonic() - _RETIRE_S)
        return client

    async def close(self) -> None:
        """Closes the connections."""
        now = time.monotonic()
        self._retired += [(now, client) for client in self._clients.values()]
        self._clients = {}
        await self._close_retired(now)

    async def _close_retired(self, until: float) -> None:
        """Closes what was put aside by then: not at once, since another delivery may be about to use it."""
        old = [client for since, client in self._retired if since <= until]
        self._retired = [(since, client) for since, client in self._retired if since > until]
        for client in old:
            await client.close()


class Runtimes:
    """Which deployment serves each team, kept for a moment: a flood for one team asks once, a change counts at once.

    Together with what the Config Service's own cache may take, that is less than a second.
    """

    def __init__(self, config_service: ConfigServiceClient) -> None:
        self._config_service = config_service
        self._kept: dict[Tenant, tuple[float, RuntimeConfiguration]] = {}

    async def get(self, tenant: Tenant) -> RuntimeConfiguration:
        """The runtime in the team's effective configuration."""
        kept = self._kept.get(tenant)
        if kept is not None and time.monotonic() - kept[0] < _KEEP_RUNTIME_S:
            return kept[1]
        runtime = (await self._config_service.team_effective(tenant)).document.runtime
        if len(self._kept) >= _KEEP_RUNTIMES:
            self._kept.clear()
        self._kept[tenant] = (time.monotonic(), runtime)
        return runtime


@dataclass(frozen=True)
class Passage:
    """A delivery on its way, as every act needs it."""

    stored: StoredDelivery
    event: ParsedEvent
    incident: IncidentRef

    @property
    def org_id(self) -> str:
        """The tenant."""
        return self.stored.delivery.org_id

    @property
    def delivery_id(self) -> str:
        """The delivery."""
        return self.stored.delivery.delivery_id


class Dispatch:
    """The acts. One per worker process."""

    def __init__(self, database: Database, config_service: ConfigServiceClient, agents: Agents) -> None:
        self._database = database
        self._config_service = config_service
        self._agents = agents
        self._runtimes = Runtimes(config_service)

    async def load(self, delivery_id: str, org_id: str) -> Passage:
        """The delivery as it was recorded."""
        async with self._database.transaction(Tenant(org_id)) as connection:
            stored = await load_delivery(connection, delivery_id)
        if stored is None:
            raise NotFound(f"There is no delivery {delivery_id}.", code="delivery_not_found")
        event = ParsedEvent.model_validate(stored.event)
        if event.incident is None:
            raise Unprocessable(f"Delivery {delivery_id} is about no incident.", code="delivery_without_incident")
        return Passage(stored, event, event.incident)

    async def route(self, passage: Passage) -> Route:
        """Whose event this is. One that names nothing but its incident belongs to the incident's team."""
        if not passage.event.identifiers:
            return await self._route_of_incident(passage)
        return await self._look_up(passage)

    async def record(self, passage: Passage, route: Route) -> Correlation:
        """Puts the decision into the audit and the event on its incident. A delivery that starts nothing ends here."""
        outcomes = await _together(self._correlate(passage, route), self._audit(passage, route))
        correlation: Correlation = outcomes[0]
        if correlation.run_id is None:
            if route.team_node_id is None:
                await self.settle(passage.org_id, passage.delivery_id, DeliveryStatus.UNROUTED, route.reason)
            else:
                await self.settle(passage.org_id, passage.delivery_id, DeliveryStatus.PROCESSED, None)
        return correlation

    async def start(self, passage: Passage, route: Route, run_id: str, incident_id: str) -> None:
        """Creates the run, then hands it to the team's agent deployment, which keeps it durably by its answer."""
        tenant = _team(passage, route)
        agent, _ = await _together(
            self._agent_of(tenant), self._create_run(passage, route, rules.RunIds(run_id, incident_id))
        )
        request = ExecuteRun(run_id=run_id, org_id=passage.org_id, team_node_id=tenant.team_node_id or "")
        with peer("agent"):
            async with asyncio.timeout(_START_S):
                await agent.start(request)
        received_at = passage.stored.delivery.received_at
        HOP_SECONDS.labels(passage.stored.delivery.source).observe((utc_now() - received_at).total_seconds())
        await self.settle(passage.org_id, passage.delivery_id, DeliveryStatus.PROCESSED, None)

    async def fail_run(self, passage: Passage, route: Route, run_id: str, error: str) -> None:
        """Ends a run that no agent would take, on record; where it could not even be created, there is none to end."""
        with peer("config-service"), contextlib.suppress(NotFound):
            await self._config_service.finish_run(
                _team(passage, route), run_id, FinishRun(status=RunStatus.FAILED, error=error)
            )

    async def settle(self, org_id: str, delivery_id: str, status: DeliveryStatus, reason: str | None) -> None:
        """Ends the delivery."""
        async with self._database.transaction(Tenant(org_id)) as connection:
            await settle_delivery(connection, delivery_id, status, reason)
        DISPATCHED.labels(status).inc()
        log.info("delivery settled", delivery_id=delivery_id, org_id=org_id, status=status.value)

    async def _audit(self, passage: Passage, route: Route) -> None:
        with peer("config-service"):
            await self._config_service.append_audit_event(
                passage.org_id, rules.audit_event(passage.stored.delivery, route)
            )

    async def _correlate(self, passage: Passage, route: Route) -> Correlation:
        async with self._database.transaction(Tenant(passage.org_id)) as connection:
            return await correlate(connection, passage.delivery_id, passage.event, passage.incident, route.team_node_id)

    async def _create_run(self, passage: Passage, route: Route, ids: rules.RunIds) -> None:
        """Creates the run and the head of its timeline, before the agent can add to it."""
        tenant = _team(passage, route)
        delivery = passage.stored.delivery
        timeline = rules.first_events(delivery, route, utc_now())
        request = rules.new_run(delivery, passage.event, ids, tenant.team_node_id or "", timeline)
        with peer("config-service"):
            await self._config_service.create_run(passage.org_id, request)

    async def _agent_of(self, tenant: Tenant) -> AgentClient:
        with peer("config-service"):
            runtime = await self._runtimes.get(tenant)
        if runtime.mode == "shared":
            return await self._agents.at(None)
        if not runtime.agent_url:
            raise Unprocessable(
                "The team's runtime is dedicated, but has no agent_url.", code="dedicated_agent_without_url"
            )
        await check_url(runtime.agent_url)
        return await self._agents.at(runtime.agent_url)

    async def _route_of_incident(self, passage: Passage) -> Route:
        async with self._database.transaction(Tenant(passage.org_id)) as connection:
            team = await find_team(connection, passage.stored.delivery.endpoint_id, passage.incident.external_id)
        if team is None:
            return await self._look_up(passage)
        reason = "the event names nothing but its incident, which is this team's"
        return Route(team_node_id=team, matched=None, reason=reason, tried=())

    async def _look_up(self, passage: Passage) -> Route:
        with peer("config-service"):
            return await self._config_service.lookup_route(
                passage.org_id, RoutingLookup(identifiers=passage.event.identifiers)
            )


def _team(passage: Passage, route: Route) -> Tenant:
    if route.team_node_id is None:
        raise Unprocessable("An unrouted delivery has no run.", code="delivery_unrouted")
    return Tenant(passage.org_id, route.team_node_id)


async def _together(*acts: Awaitable[Any]) -> list[Any]:
    """Does the acts at the same time, to the end of each even if one fails; raises the first failure."""
    outcomes = await asyncio.gather(*acts, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
