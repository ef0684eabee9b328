"""The local workspace as a process, through the real `slack_sdk` client that the product uses."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from incidentfox.local.processes import ProcessSpec, Supervisor
from incidentfox.local.slack.page import mrkdwn
from incidentfox.local.slack.workspace import SlackError, Workspace, channel_id

pytestmark = pytest.mark.anyio

TOKEN = "xoxb-local-test"
METADATA = {"event_type": "incidentfox_answer", "event_payload": {"run_id": "run_1", "effect": "eff_1"}}
BLOCKS = [
    {"type": "header", "text": {"type": "plain_text", "text": "Held <transaction>"}},
    {"type": "section", "text": {"type": "mrkdwn", "text": "*why*: `UPDATE` holds <https://run.example/1|the lock>"}},
]


@dataclass(frozen=True)
class Running:
    """A workspace process and a client of it."""

    url: str
    client: AsyncWebClient
    supervisor: Supervisor
    spec: ProcessSpec

    async def restart(self) -> None:
        await self.supervisor.stop()
        await self.supervisor.start(self.spec)


@pytest.fixture
async def slack(tmp_path: Path) -> AsyncIterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "LOCAL_SLACK_PORT": str(port),
        "LOCAL_SLACK_TOKEN": TOKEN,
        "LOCAL_SLACK_DATA_FILE": str(tmp_path / "slack.jsonl"),
        "LOCAL_SLACK_CHANNELS": '["incidents", "quiet"]',
    }
    command = (sys.executable, "-m", "incidentfox.local.slack")
    spec = ProcessSpec("slack", command, environment, tmp_path / "slack.log", f"{url}/readyz")
    supervisor = Supervisor(tmp_path / "processes.json")
    try:
        await supervisor.start(spec)
        yield Running(url, AsyncWebClient(token=TOKEN, base_url=f"{url}/api/"), supervisor, spec)
    finally:
        await supervisor.stop()


async def refusal(call: object) -> str:
    with pytest.raises(SlackApiError) as refused:
        await call  # type: ignore[misc]
    return str(refused.value.response["error"])


async def test_posts_are_found_again_by_their_metadata_also_after_a_restart(slack: Running) -> None:
    posted = await slack.client.chat_postMessage(channel="#incidents", text="cause", blocks=BLOCKS, metadata=METADATA)
    assert posted["channel"] == channel_id("incidents")
    await slack.restart()
    page = await slack.client.conversations_history(channel=posted["channel"], include_all_metadata=True)
    assert [(found["ts"], found["metadata"], found["blocks"]) for found in page["messages"]] == [
        (posted["ts"], METADATA, BLOCKS)
    ]
    without = await slack.client.conversations_history(channel=posted["channel"])
    assert "metadata" not in without["messages"][0]


async def test_a_form_and_a_query_say_the_same_as_json(slack: Running) -> None:
    async with httpx2.AsyncClient(base_url=slack.url, headers={"authorization": f"Bearer {TOKEN}"}) as http:
        form = {"channel": "incidents", "text": "by form", "blocks": '[{"type": "divider"}]'}
        posted = (await http.post("/api/chat.postMessage", data=form)).json()
        assert posted["ok"]
        assert posted["message"]["blocks"] == [{"type": "divider"}]
        asked = {"channel": posted["channel"], "limit": "1"}
        assert (await http.get("/api/conversations.history", params=asked)).json()["messages"][0]["text"] == "by form"


async def test_a_thread_is_apart_from_the_channel(slack: Running) -> None:
    parent = await slack.client.chat_postMessage(channel="incidents", text="alert")
    channel, ts = str(parent["channel"]), str(parent["ts"])
    for text in ("first", "second"):
        await slack.client.chat_postMessage(channel=channel, text=text, thread_ts=ts)
    history = await slack.client.conversations_history(channel=channel)
    assert [(found["text"], found["reply_count"]) for found in history["messages"]] == [("alert", 2)]
    replies = await slack.client.conversations_replies(channel=channel, ts=ts)
    assert [found["text"] for found in replies["messages"]] == ["alert", "first", "second"]
    assert (
        await refusal(slack.client.chat_postMessage(channel=channel, text="x", thread_ts="1.0")) == "thread_not_found"
    )


async def test_history_pages_newest_first_and_from_a_moment(slack: Running) -> None:
    posted = [await slack.client.chat_postMessage(channel="incidents", text=str(number)) for number in range(5)]
    channel, texts, cursor = str(posted[0]["channel"]), [], None
    while True:
        page = await slack.client.conversations_history(channel=channel, limit=2, cursor=cursor)
        texts += [found["text"] for found in page["messages"]]
        if not page["has_more"]:
            break
        cursor = page["response_metadata"]["next_cursor"]
    assert texts == ["4", "3", "2", "1", "0"]
    later = await slack.client.conversations_history(channel=channel, oldest=str(posted[2]["ts"]))
    assert [found["text"] for found in later["messages"]] == ["4", "3"]


async def test_update_changes_the_message_for_good(slack: Running) -> None:
    posted = await slack.client.chat_postMessage(channel="incidents", text="looking", metadata=METADATA)
    await slack.client.chat_update(channel=str(posted["channel"]), ts=str(posted["ts"]), text="found")
    await slack.restart()
    page = await slack.client.conversations_history(channel=str(posted["channel"]), include_all_metadata=True)
    assert [(found["text"], found["metadata"]) for found in page["messages"]] == [("found", METADATA)]


async def test_channels_are_listed_and_messages_have_links(slack: Running) -> None:
    assert (await slack.client.auth_test())["user"] == "incidentfox"
    listed = await slack.client.conversations_list()
    assert {found["name"]: found["id"] for found in listed["channels"]} == {
        "incidents": channel_id("incidents"),
        "quiet": channel_id("quiet"),
    }
    posted = await slack.client.chat_postMessage(channel="quiet", text="here")
    link = await slack.client.chat_getPermalink(channel=str(posted["channel"]), message_ts=str(posted["ts"]))
    async with httpx2.AsyncClient(follow_redirects=True) as http:
        page = await http.get(str(link["permalink"]))
    assert page.status_code == 200
    assert "here" in page.text


async def test_refuses_as_slack_does(slack: Running) -> None:
    client = slack.client
    stranger = AsyncWebClient(token="xoxb-wrong", base_url=f"{slack.url}/api/")
    assert await refusal(stranger.auth_test()) == "invalid_auth"
    assert await refusal(client.chat_postMessage(channel="nowhere", text="x")) == "channel_not_found"
    assert await refusal(client.chat_postMessage(channel="incidents", text="")) == "no_text"
    half = {"event_type": "x"}
    assert await refusal(client.chat_postMessage(channel="incidents", text="x", metadata=half)) == (
        "invalid_metadata_format"
    )
    assert await refusal(client.conversations_history(channel="incidents")) == "channel_not_found", "ids only"
    assert await refusal(client.chat_update(channel=channel_id("quiet"), ts="1.0", text="x")) == "message_not_found"
    assert await refusal(client.users_list()) == "unknown_method"


async def test_people_see_what_was_posted_and_nothing_of_it_runs(slack: Running) -> None:
    await slack.client.chat_postMessage(channel="incidents", text="fallback", blocks=BLOCKS)
    await slack.client.chat_postMessage(channel="incidents", text="<script>alert(1)</script>")
    async with httpx2.AsyncClient(base_url=slack.url) as http:
        page = await http.get("/messages")
        assert "<script>" not in page.text
        assert "Held &lt;transaction&gt;" in page.text
        assert '<a href="https://run.example/1">the lock</a>' in page.text
        listed = (await http.get("/messages", headers={"accept": "application/json"})).json()["messages"]
    assert (listed[0]["channel"], listed[0]["text"]) == ("incidents", "fallback")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* and _italic_", "<strong>bold</strong> and <em>italic</em>"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("`a *b* <c`", "<code>a *b* &lt;c</code>"),
        ("```one\ntwo```", "<pre>one\ntwo</pre>"),
        ("a &lt; b &amp;&amp; c", "a &lt; b &amp;&amp; c"),
        ("<javascript:alert(1)|x>", "&lt;javascript:alert(1)|x&gt;"),
        ('<https://x.y/"onclick="z|t>', '<a href="https://x.y/&quot;onclick=&quot;z">t</a>'),
    ],
)
async def test_markup(text: str, shown: str) -> None:
    assert mrkdwn(text) == shown


async def test_a_post_that_was_cut_short_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "slack.jsonl"
    first = Workspace(path, ["incidents"])
    channel = first.resolve("incidents")
    first.post(channel, {"text": "whole"}, None)
    with path.open("ab") as file:
        file.write(b'{"channel": "C')
    again = Workspace(path, ["incidents"])
    assert [message["text"] for _, message in again.everything()] == ["whole"]
    again.post(channel, {"text": "next"}, None)
    assert [message["text"] for _, message in Workspace(path, ["incidents"]).everything()] == ["whole", "next"]


async def test_a_cursor_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "slack.jsonl", ["incidents"])
    with pytest.raises(SlackError, match="invalid_cursor"):
        workspace.history(workspace.resolve("incidents"), ("", ""), 10, "???")
