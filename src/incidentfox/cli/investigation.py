"""Takes one recorded incident through the whole path and follows it to its end. No printing, no starting of services.

    recording → Config Service (upload, content-addressed)
    signed `custom` event naming its id → Orchestrator → … the same path that every webhook takes … → finished run

Used by `incidentfox investigate` and, many at a time, by `incidentfox evaluate`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from incidentfox.cli.place import Place
from incidentfox.cli.recorded import RecordedIncident
from incidentfox.cli.recordings_endpoint import recordings_sender
from incidentfox.cli.session import Session, open_session
from incidentfox.clients.webhook_sender import WebhookSender
from incidentfox.contracts.events import RunEvent, RunEventType
from incidentfox.contracts.routing import Identifier, IdentifierKind, Route, RoutingLookup
from incidentfox.contracts.runs import FINISHED, Run
from incidentfox.contracts.webhooks import Delivery, DeliveryStatus
from incidentfox.kernel.errors import Conflict, Permanent, Temporary, Timeout
from incidentfox.kernel.ids import new_id

EVALUATION_TEAM = "evaluation"
TEAM_IDENTIFIER = "team"
"""The custom identifier by which a sender names a team: `{"routing": {"custom": {"team": ["evaluation"]}}}`."""

_DISPATCHED_WITHIN_S = 60.0
_LOOK_S = 0.05
_RESUMPTIONS = 60
_LONGEST_PAUSE_S = 2.0
_MAX_TITLE = 500
_MAX_SUMMARY = 8000


@dataclass(frozen=True)
class Recipient:
    """Who is to investigate. `insisted`: this team or nobody; else a team that owns the alert's service comes first."""

    team: str = EVALUATION_TEAM
    insisted: bool = False


@dataclass(frozen=True)
class Investigated:
    """A finished run. `seconds` is what the caller waited: from the upload's first byte to the answer in hand."""

    run: Run
    seconds: float


class Investigator:
    """Investigates recorded incidents over one session. Several at a time are fine."""

    def __init__(self, session: Session, sender: WebhookSender, recipient: Recipient, *, timeout_s: float) -> None:
        self._session = session
        self._sender = sender
        self._recipient = recipient
        self._timeout_s = timeout_s

    async def investigate(
        self, incident: RecordedIncident, on_event: Callable[[RunEvent], None] = lambda _: None
    ) -> Investigated:
        """The finished run. Raises the Failure that stopped it on its way; a run that failed is returned."""
        await self._check_route(incident)
        began = time.monotonic()
        recording = await self._session.config_service.upload_recording(self._session.org_id, incident.upload)
        accepted = await self._sender.send(new_id("msg"), self._event(incident, recording.recording_id))
        if accepted.delivery_id is None:
            raise Permanent(f"The orchestrator took the event and started nothing: {accepted.reason}.", code="no_run")
        try:
            async with asyncio.timeout(self._timeout_s):
                delivery = await self._dispatched(accepted.delivery_id)
                run = await self._finished(_run_of(delivery), on_event)
        except TimeoutError as error:
            raise Timeout(
                f"The investigation of {incident.name} did not end within {self._timeout_s:.0f} s (delivery "
                f"{accepted.delivery_id}). Look at it with `incidentfox delivery list`, or give more --timeout."
            ) from error
        return Investigated(run, time.monotonic() - began)

    async def _check_route(self, incident: RecordedIncident) -> None:
        """Asks who would get it before anything is sent: an event for nobody would be accepted and end there."""
        lookup = RoutingLookup(identifiers=(_service(incident), self._team_identifier()))
        route = await self._session.config_service.who_would_get(self._session.org_id, lookup)
        if route.team_node_id is None:
            raise _nobody(self._recipient.team, route)
        if self._recipient.insisted and route.team_node_id != self._recipient.team:
            raise Conflict(
                f"{route.reason}, so {route.team_node_id} would investigate it and not {self._recipient.team}. "
                "Leave --team out, or rename the recording's service.",
                code="another_team",
            )

    def _team_identifier(self) -> Identifier:
        return Identifier(kind=IdentifierKind.CUSTOM, name=TEAM_IDENTIFIER, value=self._recipient.team)

    def _event(self, incident: RecordedIncident, recording_id: str) -> dict[str, object]:
        """The body of the `custom` event, as docs/howto/evaluate.md and the source `custom` describe it."""
        alert = incident.alert
        data = {
            "title": f"{alert.service}: {alert.metric or alert.monitor or 'alert'}"[:_MAX_TITLE],
            "service": alert.service,
            "metric": alert.metric[:_MAX_TITLE] or None,
            "severity": alert.severity,
            "summary": alert.summary[:_MAX_SUMMARY],
            "monitor": alert.monitor[:_MAX_TITLE],
            "threshold": alert.threshold,
            "observed": alert.observed,
            "fired_at": alert.fired_at.isoformat(),
            "identifiers": [self._team_identifier().model_dump(mode="json")],
            "recording_id": recording_id,
        }
        return {"type": "alert.triggered", "data": data}

    async def _dispatched(self, delivery_id: str) -> Delivery:
        """The delivery once a worker has settled it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _DISPATCHED_WITHIN_S
        while loop.time() < deadline:
            delivery = await self._session.orchestrator.delivery(self._session.org_id, delivery_id)
            # Its run's id is on the delivery before the run exists.
            if delivery.status is not DeliveryStatus.RECEIVED:
                return delivery
            # A row in another service: there is no event to wait for.
            await asyncio.sleep(_LOOK_S)
        raise Timeout(
            f"The delivery {delivery_id} was accepted, and no worker took it within {_DISPATCHED_WITHIN_S:.0f} s. "
            "Is `incidentfox serve worker` running? `incidentfox doctor` tells."
        )

    async def _finished(self, run_id: str, on_event: Callable[[RunEvent], None]) -> Run:
        """Follows the timeline to its end, across cut connections."""
        seen, pause = 0, _LOOK_S
        for _ in range(_RESUMPTIONS):
            with contextlib.suppress(Temporary):
                stream = self._session.config_service.stream_run_events(self._session.org_id, run_id, after=seen)
                async with stream as events:
                    async for event in events:
                        seen = event.seq
                        on_event(event)
                        if event.type is RunEventType.RUN_FINISHED:
                            break
            run = await self._session.config_service.run(self._session.org_id, run_id)
            if run.status in FINISHED:
                return run
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, pause * 2)
        raise Timeout(
            f"The timeline of {run_id} was cut {_RESUMPTIONS} times. Look at it with `incidentfox run show {run_id}`."
        )


def recipient(team: str | None) -> Recipient:
    """Who `--team` means."""
    return Recipient() if team is None else Recipient(team, insisted=True)


@asynccontextmanager
async def open_investigator(
    place: Place, to: Recipient, *, timeout_s: float, endpoint_id: str | None
) -> AsyncIterator[Investigator]:
    """An investigator over the services of `place`, sending to one endpoint; closed at the end."""
    async with open_session(place.profile) as session:
        sender = await recordings_sender(session, place.home, endpoint_id)
        try:
            yield Investigator(session, sender, to, timeout_s=timeout_s)
        finally:
            await sender.close()


def _service(incident: RecordedIncident) -> Identifier:
    return Identifier(kind=IdentifierKind.SERVICE, value=incident.alert.service)


def _run_of(delivery: Delivery) -> str:
    if delivery.run_id is None:
        raise Permanent(
            f"The delivery {delivery.delivery_id} is {delivery.status} and started no run: {delivery.reason}.",
            code="no_run",
        )
    return delivery.run_id


def _nobody(team: str, route: Route) -> Permanent:
    claim = f'{{"routing": {{"custom": {{"{TEAM_IDENTIFIER}": ["{team}"]}}}}}}'
    return Permanent(
        f"Nobody would investigate this: {route.reason}. Name another team with --team, or let {team} take events that "
        f"name it: echo '{claim}' | incidentfox config patch {team} -",
        code="no_team",
    )
