"""The services: alive, ready, and of one mind about the time; and whether the CLI's token is still good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime

import httpx2

from incidentfox.cli.settings import Profile
from incidentfox.clients.config_service import ConfigServiceClient, TokenCredential
from incidentfox.contracts.problem import Problem
from incidentfox.kernel.errors import Failure, Unauthenticated
from incidentfox.local.checks.finding import Finding, State

SKEW_S = 5.0
"""A service's token lives for 60 seconds, and the Date header tells whole seconds."""

_TIMEOUT_S = 3.0
_NAMES = {"worker": "orchestrator-worker"}


async def check_services(urls: Mapping[str, str], remedy: str, *, expected: bool) -> AsyncIterator[Finding]:
    """One finding a service. `expected`: they should be running, so one that is not has failed, and `remedy` helps."""
    async with httpx2.AsyncClient(timeout=_TIMEOUT_S) as http:
        for found in await asyncio.gather(*(_service(http, name, url, remedy) for name, url in urls.items())):
            if found.state is State.NOTE and expected:
                yield found.model_copy(update={"state": State.FAILED, "remedy": remedy})
            else:
                yield found


async def check_token(profile: Profile) -> Finding:
    """Whether the profile's token still opens the Config Service."""
    client = ConfigServiceClient(profile.config_service_url, TokenCredential(profile.token), attempts=1)
    try:
        caller = await client.me()
    except Unauthenticated:
        return Finding(
            part="services",
            check="token",
            state=State.FAILED,
            found="the CLI's token is not valid any more",
            remedy="`incidentfox up` writes a new one; elsewhere set INCIDENTFOX_TOKEN.",
        )
    except Failure as failure:
        return Finding(
            part="services",
            check="token",
            state=State.FAILED,
            found=f"the Config Service did not take it: {failure.detail}",
            remedy="Its log says why; the correlation id of the request is in it.",
        )
    finally:
        await client.close()
    return Finding(
        part="services", check="token", state=State.OK, found=f"{caller.subject}, organisation {caller.org_id}"
    )


async def _service(http: httpx2.AsyncClient, name: str, url: str, remedy: str) -> Finding:
    try:
        alive = await http.get(f"{url}/healthz")
        ready = await http.get(f"{url}/readyz")
    except httpx2.TransportError:
        return Finding(
            part="services",
            check=name,
            state=State.NOTE,
            found=f"nothing answers at {url}",
            remedy="Start it with `incidentfox up`.",
        )
    if _named(alive) != _NAMES.get(name, name):
        return _failed(name, f"something else answers at {url}", "Stop it, or change the address.")
    if ready.status_code != 200:
        return _failed(name, f"not ready: {_reason(ready)}", f"Look at the database first. {remedy}")
    skew = _skew(ready)
    if abs(skew) > SKEW_S:
        return _failed(name, f"its clock is {skew:+.0f} s from this machine's", "Run NTP on both machines.")
    return Finding(part="services", check=name, state=State.OK, found=f"ready at {url}")


def _named(response: httpx2.Response) -> str | None:
    """What the service calls itself; None for a program that is none of ours."""
    with suppress(ValueError, AttributeError):
        name = response.json().get("service")
        return str(name) if response.status_code == 200 else None
    return None


def _reason(response: httpx2.Response) -> str:
    with suppress(ValueError):
        return Problem.model_validate_json(response.content).detail
    return f"HTTP {response.status_code}"


def _skew(response: httpx2.Response) -> float:
    """Seconds that the service's clock is ahead, by its Date header; 0 where there is none."""
    try:
        return parsedate_to_datetime(response.headers["date"]).timestamp() - time.time()
    except (KeyError, ValueError):
        return 0.0


def _failed(check: str, found: str, remedy: str) -> Finding:
    return Finding(part="services", check=check, state=State.FAILED, found=found, remedy=remedy)
