"""The same destination against a Slack that we did not write: `emulate`, where node 22 or newer has it.

Looked for as the command in EMULATE_COMMAND, else as `emulate` on the path (npm i -g emulate@0.12.2).
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx2
import pytest
from slack_sdk.web.async_client import AsyncWebClient
from tests.agent.destinations.test_slack import RUN, URL, answer, team
from tests.agent.scenes import asked

from incidentfox.agent.destination import Delivery
from incidentfox.agent.destinations.slack import destination
from incidentfox.kernel.errors import Permanent

pytestmark = pytest.mark.anyio

TOKEN = "xoxb-test"


def command() -> list[str]:
    """How to start the emulator; skips where there is none."""
    named = shlex.split(os.environ.get("EMULATE_COMMAND", ""))
    found = named or [path for path in [shutil.which("emulate")] if path]
    if not found:
        pytest.skip("no `emulate` (npm, with node 22 or newer) on this machine")
    return found


@pytest.fixture
async def slack_url() -> AsyncIterator[str]:
    """The emulator's Slack on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *command(), "start", "--service", "slack", "--port", str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    url = f"http://localhost:{port}"
    try:
        async with asyncio.timeout(30), httpx2.AsyncClient() as http:
            while True:
                if process.returncode is not None:
                    pytest.skip("`emulate` does not start here: it needs node 22 or newer")
                try:
                    await http.post(f"{url}/api/auth.test", headers={"Authorization": f"Bearer {TOKEN}"})
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
        yield url
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def test_the_answer_is_posted_found_again_and_refused(slack_url: str) -> None:
    client = AsyncWebClient(TOKEN, base_url=f"{slack_url}/api/", retry_handlers=[])
    channels = await client.api_call("conversations.list", data={})
    channel = channels["channels"][0]["id"]

    async def secret(_: str) -> str:
        return TOKEN

    delivery = Delivery(
        run_id=RUN,
        effect_key="answer-slack",
        target=channel,
        answer=answer(),
        asked=asked(None, "x"),
        configuration=team(slack_url),
        run_url=URL,
        tools={},
        intended_at=datetime.now(UTC),
        fresh=True,
        secret=secret,
    )
    posted = await destination.deliver(delivery)
    assert await destination.deliver(replace(delivery, fresh=False)) == posted
    history = await client.api_call("conversations.history", data={"channel": channel, "include_all_metadata": True})
    ours = [message for message in history["messages"] if message.get("metadata")]
    assert [message["ts"] for message in ours] == [posted.external_id.split("/")[1]]
    assert ours[0]["blocks"][0]["text"]["text"].startswith("Bad deploy: orders")

    thread = replace(delivery, target=f"{channel}/{ours[0]['ts']}", effect_key="in-thread")
    reply = await destination.deliver(thread)
    assert await destination.deliver(replace(thread, fresh=False)) == reply

    with pytest.raises(Permanent, match="channel_not_found"):
        await destination.deliver(replace(delivery, target="C0NOWHERE"))
