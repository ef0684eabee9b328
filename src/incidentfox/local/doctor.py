"""`incidentfox doctor`: every dependency and setting, each finding with its remedy. Works when nothing runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

from rich.text import Text

from incidentfox.cli.output import console
from incidentfox.cli.settings import CliSettings
from incidentfox.clients.config_service import ConfigServiceClient, TokenCredential
from incidentfox.kernel.errors import Failure
from incidentfox.local.checks.database import check_database
from incidentfox.local.checks.finding import Finding, State
from incidentfox.local.checks.home import STATE_FILE, check_home
from incidentfox.local.checks.machine import check_machine
from incidentfox.local.checks.services import check_services, check_token
from incidentfox.local.checks.teams import check_teams
from incidentfox.local.processes import running_supervisor
from incidentfox.local.settings import LocalSettings
from incidentfox.local.stack import SERVICES

_STYLES = {State.OK: "green", State.NOTE: "dim", State.WARNING: "yellow", State.FAILED: "bold red"}


async def run_doctor(*, as_json: bool) -> int:
    """Prints the findings. 1 when one has failed."""
    findings = [finding async for finding in examine()]
    if as_json:
        for finding in findings:
            print(finding.model_dump_json())
    else:
        _print(findings)
    return int(any(finding.state is State.FAILED for finding in findings))


async def examine() -> AsyncIterator[Finding]:
    """Every check, from the ground up. Where the environment names the services, this machine's own are left out."""
    settings = LocalSettings()
    is_elsewhere = settings.config_service_url is not None
    for finding in await asyncio.to_thread(lambda: [*check_machine(settings.home_dir)]):
        yield finding
    if not is_elsewhere:
        for finding in await asyncio.to_thread(lambda: [*check_home(settings.home_dir), *check_database(settings)]):
            yield finding
    expected = is_elsewhere or running_supervisor(settings.home_dir / STATE_FILE) is not None
    config_service_answers = False
    remedy = "Check its address, and that it runs." if is_elsewhere else f"Its log is in {settings.home_dir / 'logs'}."
    async for finding in check_services(_urls(settings), remedy, expected=expected):
        config_service_answers |= finding.check == "config-service" and finding.state is State.OK
        yield finding
    if config_service_answers:
        async for finding in _with_profile(settings):
            yield finding


async def _with_profile(settings: CliSettings) -> AsyncIterator[Finding]:
    """What needs a token."""
    try:
        profile = settings.profile()
    except Failure as failure:
        yield Finding(
            part="services", check="token", state=State.FAILED, found="the CLI has no profile", remedy=failure.detail
        )
        return
    token = await check_token(profile)
    yield token
    if token.state is State.OK:
        client = ConfigServiceClient(profile.config_service_url, TokenCredential(profile.token))
        try:
            async for finding in check_teams(client, profile.org_id):
                yield finding
        finally:
            await client.close()


def _urls(settings: CliSettings) -> dict[str, str]:
    """The address of each service: what the environment says, else the ports that this installation keeps.

    A home without ports has no services; what answers at the usual ports then is another installation's.
    """
    if settings.config_service_url is not None:
        named = {
            "config-service": settings.config_service_url,
            "orchestrator": settings.orchestrator_url,
            "agent": settings.agent_url,
            "console": settings.console_url,
        }
        return {name: url.rstrip("/") for name, url in named.items() if url}
    try:
        ports = json.loads((settings.home_dir / "ports.json").read_text())
        return {service.name: f"http://127.0.0.1:{ports[service.name]}" for service in SERVICES}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # whether that is damage or the first day, the check of the ports says


def _print(findings: Sequence[Finding]) -> None:
    part = ""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        if finding.part != part:
            part = finding.part
            console.print(Text(f"\n{part}", style="bold"))
        mark = Text(f"  {finding.state:<8}", style=_STYLES[finding.state])
        console.print(mark + Text(f"{finding.check:<{width}}  {finding.found}", style="not bold"), soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"          {'':<{width}}  → {finding.remedy}", style="dim"), soft_wrap=True)
    counts = {state: sum(finding.state is state for finding in findings) for state in State}
    console.print(f"\n{', '.join(f'{count} {state}' for state, count in counts.items() if count)}")
