"""`incidentfox demo`: a real incident in a small shop on this machine, from the alert to the posted root cause.

Nothing is staged for the product: the shop is real processes on a real Postgres, its monitor sends a signed PagerDuty
V3 webhook, and the answer is posted through the same code as to Slack, to a local endpoint of its shape.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from rich.text import Text

from incidentfox.cli.answer import print_answer
from incidentfox.cli.output import console
from incidentfox.cli.timeline import describe
from incidentfox.contracts.runs import EffectStatus, Run, RunEffect
from incidentfox.contracts.webhooks import Delivery, DeliveryStatus
from incidentfox.kernel.errors import Invalid, Permanent, Timeout
from incidentfox.local.installation import kept_secret
from incidentfox.local.processes import ProcessSpec
from incidentfox.local.seed import ORG, SHOP_TEAM
from incidentfox.local.shop.database import SHOP_ROLES, ShopDatabase, prepare_shop_database
from incidentfox.local.shop.scenario import Shop, ShopConfig, Stage
from incidentfox.local.up import Running, running_stack, stop_signal

CHANNEL = "shop-incidents"
_DELIVERED_WITHIN_S = 60.0
_SHOP_PORTS = {name: f"shop-{name}" for name in ("web", "orders", "inventory", "monitor")}


async def run_demo(*, once: bool) -> int:
    """Runs the demo until Ctrl-C, or with `once` until the answer is posted. 0: it was posted, and right."""
    with stop_signal() as stopped:
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(running_stack(*SHOP_ROLES))
            database = await _prepare(running)
            shop = await _open_shop(running, database, stack)
            await _say_where(running)
            incident = asyncio.create_task(_incident(running, shop))
            interrupted = asyncio.create_task(stopped.wait())
            await asyncio.wait({incident, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if not incident.done():
                incident.cancel()
                return 130
            interrupted.cancel()
            is_right = await incident
            if not once:
                await _afterwards(running, shop, stopped)
    return 0 if is_right else 1


async def _prepare(running: Running) -> ShopDatabase:
    """The shop's database, the local Slack, and the team's configuration."""
    postgres = running.stack.postgres
    if postgres is None:
        raise Invalid("The demo makes databases and roles of its own: unset DATABASE_URL to use the embedded Postgres.")
    passwords = running.stack.keys.database_passwords
    database = await asyncio.to_thread(prepare_shop_database, postgres.superuser_url(), passwords)
    slack_token = kept_secret(running.stack.installation.keys / "slack-bot-token")
    await running.stack.supervisor.start(_slack(running, slack_token))
    await _configure_team(running, database, slack_token)
    return database


async def _configure_team(running: Running, database: ShopDatabase, slack_token: str) -> None:
    """What a team lead would write: where the team's signals are, and where answers go."""
    url, client = running.stack.installation.url, running.seeder.config_service
    await client.put_secret(ORG, SHOP_TEAM, "slack-bot-token", slack_token)
    await client.put_secret(ORG, SHOP_TEAM, "shop-database-url", database.monitor_url)
    monitor = url("shop-monitor")
    patch = {
        "integrations": {
            "telemetry": {
                "backend": "http",
                "metrics_url": f"{monitor}/metrics",
                "logs_url": f"{monitor}/logs",
                "traces_url": f"{monitor}/traces",
                "changes_url": f"{monitor}/changes",
                "database_url": {"$secret": "shop-database-url"},
                "lookback_s": 600,
            },
            "slack": {
                "enabled": True,
                "bot_token": {"$secret": "slack-bot-token"},
                "base_url": f"{url('slack')}/api/",
            },
        },
        "destinations": {"slack": {"channel": f"#{CHANNEL}"}},
    }
    await client.patch_configuration(ORG, SHOP_TEAM, patch)


async def _open_shop(running: Running, database: ShopDatabase, stack: AsyncExitStack) -> Shop:
    installation = running.stack.installation
    endpoint = await running.seeder.kept_endpoint("pagerduty", "shop monitor")
    config = ShopConfig(
        run_dir=installation.home / "shop",
        database=database,
        ports={name: installation.ports[process] for name, process in _SHOP_PORTS.items()},
        webhook_url=installation.url("orchestrator") + endpoint.endpoint.path,
        webhook_secret=endpoint.secret,
    )
    shop = Shop(config, running.stack.supervisor, _print_stage)
    stack.push_async_callback(shop.stop)
    await shop.start()
    return shop


async def _say_where(running: Running) -> None:
    link = await running.seeder.sign_in_link(running.profile)
    console.print()
    console.print(f"  console   {running.profile.console_url}")
    console.print(f"  sign in   {link}  (once, within 10 minutes)", soft_wrap=True)
    console.print(f"  Slack     {running.stack.installation.url('slack')}/messages")
    console.print()


async def _incident(running: Running, shop: Shop) -> bool:
    """The incident from the first deploy to the posted answer; whether the answer is the right one."""
    began = datetime.now(UTC)
    await shop.break_it()
    delivery = await _delivered(running, began)
    if delivery.run_id is None:
        raise Permanent(f"The delivery {delivery.delivery_id} started no run: {delivery.reason}.", code="no_run")
    console.print(f"  run       {running.profile.console_url}/runs/{delivery.run_id}\n", soft_wrap=True)
    client = running.seeder.config_service
    async with client.stream_run_events(ORG, delivery.run_id) as events:
        async for event in events:
            console.print(Text(describe(event), overflow="fold"))
    run = await client.run(ORG, delivery.run_id)
    effects = (await client.run_effects(ORG, delivery.run_id)).items
    return _verdict(run, effects, shop)


async def _delivered(running: Running, began: datetime) -> Delivery:
    """The alert's delivery, once the orchestrator has dispatched it."""
    deadline = asyncio.get_running_loop().time() + _DELIVERED_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        for delivery in (await running.seeder.orchestrator.deliveries(ORG)).items:
            triggered = delivery.event_type == "incident.triggered" and delivery.received_at > began
            if triggered and delivery.status is not DeliveryStatus.RECEIVED:
                return delivery
        await asyncio.sleep(0.1)
    raise Timeout("The shop's alert did not arrive. The logs of orchestrator and worker say why.")


def _verdict(run: Run, effects: tuple[RunEffect, ...], shop: Shop) -> bool:
    console.print()
    if run.answer is None:
        console.print(Text(f"The run ended without an answer: {run.error}", style="bold red"))
        return False
    print_answer(run.answer)
    posted = [effect for effect in effects if effect.status is EffectStatus.DONE]
    for effect in posted:
        console.print(
            f"\nPosted to {effect.destination} {effect.target}: {effect.url or effect.external_id}", soft_wrap=True
        )
    cause = run.answer.root_cause
    is_right = cause is not None and cause.change == shop.guilty.sha
    truth = f"{shop.guilty.service} {shop.guilty.version} ({shop.guilty.sha[:10]})"
    if is_right and posted:
        console.print(Text(f"\nRight: the shop was broken by {truth}.", style="bold green"))
    else:
        reason = "it was not posted" if is_right else f"the shop was broken by {truth}"
        console.print(Text(f"\nWrong: {reason}.", style="bold red"))
    return is_right and bool(posted)


async def _afterwards(running: Running, shop: Shop, stopped: asyncio.Event) -> None:
    """Repairs the shop, so that the incident is resolved as well, and stays up."""
    console.print("\nRolling the bad deploy back; the shop's monitor will resolve the incident.", style="dim")
    await shop.roll_back()
    console.print("Everything stays up. Ctrl-C stops it.")
    await stopped.wait()


def _slack(running: Running, token: str) -> ProcessSpec:
    installation = running.stack.installation
    return ProcessSpec(
        name="slack",
        command=(sys.executable, "-m", "incidentfox.local.slack"),
        environment={
            "LOCAL_SLACK_PORT": str(installation.ports["slack"]),
            "LOCAL_SLACK_TOKEN": token,
            "LOCAL_SLACK_DATA_FILE": str(installation.home / "slack.jsonl"),
            "LOCAL_SLACK_CHANNELS": f'["{CHANNEL}"]',
        },
        log_file=installation.logs / "slack.log",
        ready_url=f"{installation.url('slack')}/readyz",
    )


def _print_stage(stage: Stage) -> None:
    at = datetime.fromtimestamp(stage.at)
    console.print(Text(f"{at:%H:%M:%S}  shop {stage.name:<13} {stage.text}", style="yellow", overflow="fold"))
