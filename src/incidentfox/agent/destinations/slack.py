"""Slack: posts the answer where the incident is being discussed, or in the team's channel, exactly once.

Format: `chat.postMessage` with Block Kit and message metadata (docs.slack.dev/messaging/message-metadata). The
metadata carries run and effect, and is how an earlier post is found again after a crash. The bot needs `chat:write`,
and for that look-up `channels:history` (`groups:history` in private channels).
"""

from __future__ import annotations

import re
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from incidentfox.agent.destination import Delivered, Delivery, Destination, FormField
from incidentfox.agent.destinations import _slack_message as message
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.runs import RunInput
from incidentfox.kernel.egress import check_url
from incidentfox.kernel.errors import Failure, Permanent, RateLimited, Unavailable

EVENT_TYPE = "incidentfox_answer"
_TIMEOUT_S = 10
_CLOCK_SLACK_S = 120.0
_PAGES = 10
_CHANNEL_ID = re.compile(r"^[CDG][A-Z0-9]{6,}$")
# docs.slack.dev/reference/methods/chat.postMessage, "Errors": these pass.
_PASSING = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
_REMEDIES = {
    "channel_not_found": "The channel does not exist, or the bot was not invited to it.",
    "not_in_channel": "Invite the bot to the channel.",
    "is_archived": "The channel is archived.",
    "invalid_auth": "The bot token is not valid.",
    "not_authed": "The bot token is empty.",
    "token_revoked": "The bot token was revoked.",
    "token_expired": "The bot token has expired.",
    "account_inactive": "The bot's account is switched off.",
    "missing_scope": "The bot token lacks a scope.",
    "restricted_action": "A workspace setting keeps the bot from posting.",
}


class SlackRefused(Permanent):
    """Slack says no, and would say it again. The detail says what to change."""

    default_code = "slack_refused"


class SlackDestination(Destination):
    """See the module."""

    name = "slack"
    description = "Posts the answer to a Slack channel or thread."
    fields = (
        FormField("integrations.slack.bot_token", "Bot token", "xoxb-…, with chat:write and channels:history.", True),
        FormField("integrations.slack.base_url", "Web API", "Only for a gateway or a test; Slack's own if empty."),
        FormField("destinations.slack.channel", "Channel", "Id (C…) or #name, for incidents without a thread."),
    )

    def target(self, configuration: TeamConfiguration, asked: RunInput) -> str | None:
        """`channel` or `channel/thread`: where the incident is being discussed, else the configured channel."""
        wanted = configuration.destinations.slack
        if not configuration.integrations.slack.enabled or wanted is None or not wanted.enabled:
            return None
        if asked.reply_to.slack_channel:
            thread = asked.reply_to.slack_thread_ts
            return f"{asked.reply_to.slack_channel}/{thread}" if thread else asked.reply_to.slack_channel
        return wanted.channel or None

    async def deliver(self, delivery: Delivery) -> Delivered:
        """Posts, or finds the post of an earlier attempt."""
        slack = delivery.configuration.integrations.slack
        if slack.bot_token is None:
            raise SlackRefused("No bot token: set integrations.slack.bot_token.")
        if slack.base_url:
            await check_url(slack.base_url)
        token = await delivery.secret(slack.bot_token.secret)
        client = AsyncWebClient(
            token=token,
            base_url=slack.base_url or AsyncWebClient.BASE_URL,
            timeout=_TIMEOUT_S,
            retry_handlers=[],  # the library repeats a post whose connection broke; whether to repeat is ours to judge
        )
        try:
            return await _deliver(client, delivery)
        except SlackApiError as error:
            raise _failure(error) from None
        except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"Slack did not answer ({type(error).__name__}).") from None


async def _deliver(client: AsyncWebClient, delivery: Delivery) -> Delivered:
    channel, _, thread = delivery.target.partition("/")
    if not delivery.fresh:
        found = await _find(client, delivery, channel, thread)
        if found is not None:
            return found
    posted = await client.chat_postMessage(
        channel=channel,
        thread_ts=thread or None,
        text=message.plain_text(delivery.answer, delivery.run_url),
        blocks=message.blocks(delivery.answer, delivery.tools, delivery.run_url),
        metadata={"event_type": EVENT_TYPE, "event_payload": _payload(delivery)},
        parse="none",
        link_names=False,
        unfurl_links=False,
        unfurl_media=False,
    )
    return await _delivered(client, str(posted["channel"]), str(posted["ts"]))


async def _find(client: AsyncWebClient, delivery: Delivery, channel: str, thread: str) -> Delivered | None:
    """The post of an earlier attempt, by its metadata, in what was written since the intent."""
    channel_id = await _channel_id(client, channel)
    cursor: str | None = None
    for _ in range(_PAGES):
        since = f"{delivery.intended_at.timestamp() - _CLOCK_SLACK_S:.6f}"
        asked: dict[str, Any] = {"channel": channel_id, "oldest": since, "limit": 200, "include_all_metadata": True}
        if cursor:
            asked["cursor"] = cursor
        if thread:
            asked["ts"] = thread
        page = await client.api_call(f"conversations.{'replies' if thread else 'history'}", data=asked)
        for post in page["messages"]:
            metadata = post.get("metadata") or {}
            if metadata.get("event_type") == EVENT_TYPE and metadata.get("event_payload") == _payload(delivery):
                return await _delivered(client, channel_id, str(post["ts"]))
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return None
    raise SlackRefused("Cannot tell whether the answer was posted: too much was written in the channel since.")


async def _channel_id(client: AsyncWebClient, channel: str) -> str:
    """Reading a channel needs its id, while posting takes a name too."""
    if _CHANNEL_ID.match(channel):
        return channel
    name, cursor = channel.removeprefix("#"), None
    for _ in range(_PAGES):
        asked: dict[str, Any] = {"limit": 1000, "exclude_archived": True, "types": "public_channel,private_channel"}
        page = await client.api_call("conversations.list", data={**asked, **({"cursor": cursor} if cursor else {})})
        for known in page["channels"]:
            if known.get("name") == name:
                return str(known["id"])
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            break
    raise SlackRefused(f"Cannot tell whether the answer was posted: no channel {channel!r}. Configure its id (C…).")


async def _delivered(client: AsyncWebClient, channel: str, ts: str) -> Delivered:
    try:
        link = await client.api_call("chat.getPermalink", data={"channel": channel, "message_ts": ts})
        url: str | None = str(link["permalink"])
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError):
        url = None  # the address is an ornament; the post is made
    return Delivered(external_id=f"{channel}/{ts}", url=url)


def _payload(delivery: Delivery) -> dict[str, str]:
    return {"run_id": delivery.run_id, "effect_key": delivery.effect_key}


def _failure(error: SlackApiError) -> Failure:
    """Slack's answer as permanent or temporary. Its words are ours to repeat; the request, with the token, is not."""
    response = error.response
    status = int(getattr(response, "status_code", 0) or 0)
    code = str(response.get("error", "")) if hasattr(response, "get") else ""
    if status == 429 or code in ("ratelimited", "rate_limited"):
        headers = {key.lower(): value for key, value in (getattr(response, "headers", None) or {}).items()}
        after = str(headers.get("retry-after", ""))
        return RateLimited("Slack asks to slow down.", retry_after_s=float(after) if after.isdigit() else 30.0)
    if status >= 500 or code in _PASSING:
        return Unavailable(f"Slack answered {status} {code}.".rstrip())
    return SlackRefused(f"Slack refused: {code or status}. {_REMEDIES.get(code, '')}".rstrip(), code=f"slack_{code}")


destination = SlackDestination()
