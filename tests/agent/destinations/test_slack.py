"""Slack: one message that reads well, nobody pinged, nothing posted twice, every refusal named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response
from tests.agent.scenes import HASH, asked, document
from tests.agent.twins import SlackTwin, serve

from incidentfox.agent.destination import Delivery, known_destinations
from incidentfox.agent.destinations._slack_message import blocks, plain_text
from incidentfox.agent.destinations.slack import destination
from incidentfox.contracts.answer import Answer, AnswerSuspect, Evidence, NextStep, RootCause, Usage
from incidentfox.contracts.configuration import TeamConfiguration
from incidentfox.contracts.runs import ReplyTo
from incidentfox.kernel.egress import AddressRefused
from incidentfox.kernel.errors import Permanent, RateLimited, Temporary

pytestmark = pytest.mark.anyio

RUN = "run_01jd0000000000000000000000"
URL = f"https://console.test/runs/{RUN}"


def answer(**changes: Any) -> Answer:
    cause = RootCause(
        service="orders", change="c7d2e9a3" * 5, kind="bad-deploy", summary="The pool was cut from 50 to 5 connections."
    )
    found = Answer(
        root_cause=cause,
        first_failing_service="orders",
        suspects=(AnswerSuspect(service="orders", change="c7d2e9a3" * 5, score=0.8, reason="x"),),
        blast_radius=("frontend", "checkout"),
        remediation="rollback",
        confidence=0.82,
        evidence=tuple(
            Evidence(claim=f"Claim {n}", tool_call_id=f"call_{n}", excerpt=f"pool_max={n}") for n in range(1, 8)
        ),
        run_id=RUN,
        config_hash=HASH,
        usage=Usage(requests=5, tool_calls=6),
        duration_s=12.3,
    )
    return found.model_copy(update=changes)


def team(slack_url: str = "", **slack: Any) -> TeamConfiguration:
    integration = {"enabled": True, "bot_token": {"$secret": "slack"}, "base_url": f"{slack_url}/api"}
    return document(integrations={"slack": integration}, destinations={"slack": {"channel": "#incidents", **slack}})


@pytest.fixture
async def slack() -> AsyncIterator[tuple[SlackTwin, Delivery]]:
    twin = SlackTwin()

    async def secret(name: str) -> str:
        assert name == "slack"
        return "xoxb-test"

    async with serve(twin.app()) as url:
        yield (
            twin,
            Delivery(
                run_id=RUN,
                effect_key="answer-slack",
                target="C0INCIDENTS",
                answer=answer(),
                asked=asked(None, "x"),
                configuration=team(url),
                run_url=URL,
                tools={f"call_{n}": "rank_anomalies" for n in range(1, 8)},
                intended_at=datetime.now(UTC),
                fresh=True,
                secret=secret,
            ),
        )


async def test_a_fresh_answer_is_posted_with_its_metadata(slack: tuple[SlackTwin, Delivery]) -> None:
    twin, delivery = slack
    delivered = await destination.deliver(delivery)
    [message] = twin.messages
    assert delivered.external_id == f"C0INCIDENTS/{message['ts']}"
    assert delivered.url is not None
    assert json.loads(message["metadata"]) if isinstance(message["metadata"], str) else message["metadata"]
    assert twin.tokens == {"xoxb-test"}
    assert twin.calls["conversations.history"] == 0


@pytest.mark.parametrize("target", ["C0INCIDENTS", "#incidents", "C0INCIDENTS/1700000000.000100"])
async def test_what_was_posted_before_is_found_and_not_posted_again(
    slack: tuple[SlackTwin, Delivery], target: str
) -> None:
    twin, delivery = slack
    first = await destination.deliver(replace(delivery, target=target))
    again = await destination.deliver(replace(delivery, target=target, fresh=False))
    assert again == first
    assert len(twin.messages) == 1


async def test_another_runs_message_is_not_taken_for_ours(slack: tuple[SlackTwin, Delivery]) -> None:
    twin, delivery = slack
    await destination.deliver(replace(delivery, run_id="run_01jd0000000000000000000009"))
    await destination.deliver(replace(delivery, fresh=False))
    assert len(twin.messages) == 2


@pytest.mark.parametrize(
    "error", ["channel_not_found", "not_in_channel", "invalid_auth", "token_revoked", "missing_scope", "is_archived"]
)
async def test_a_refusal_is_permanent_and_says_what_to_change(slack: tuple[SlackTwin, Delivery], error: str) -> None:
    twin, delivery = slack
    twin.refuse = lambda _: JSONResponse({"ok": False, "error": error})
    with pytest.raises(Permanent, match=error) as raised:
        await destination.deliver(delivery)
    assert len(raised.value.detail) > len(f"Slack refused: {error}.")
    assert "xoxb" not in str(raised.value)


async def test_a_rate_limit_says_when_to_come_back(slack: tuple[SlackTwin, Delivery]) -> None:
    twin, delivery = slack
    twin.refuse = lambda _: JSONResponse({"ok": False, "error": "ratelimited"}, 429, headers={"Retry-After": "17"})
    with pytest.raises(RateLimited) as raised:
        await destination.deliver(delivery)
    assert raised.value.retry_after_s == 17
    assert twin.calls["chat.postMessage"] == 1


@pytest.mark.parametrize(
    "response", [Response("oops", 502), Response(status_code=503), JSONResponse({"ok": False, "error": "fatal_error"})]
)
async def test_a_slack_that_stumbles_is_tried_again_later(
    slack: tuple[SlackTwin, Delivery], response: Response
) -> None:
    twin, delivery = slack
    twin.refuse = lambda _: response
    with pytest.raises(Temporary):
        await destination.deliver(delivery)


async def test_a_slack_that_is_away_is_tried_again_later(slack: tuple[SlackTwin, Delivery]) -> None:
    _, delivery = slack
    with pytest.raises(Temporary):
        await destination.deliver(replace(delivery, configuration=team("http://127.0.0.1:9")))


def test_the_target_is_where_the_incident_is_discussed() -> None:
    thread = ReplyTo(slack_channel="C1", slack_thread_ts="17.1")
    assert destination.target(team(), asked(None, "x", reply_to=thread)) == "C1/17.1"
    assert destination.target(team(), asked(None, "x", reply_to=ReplyTo(slack_channel="C1"))) == "C1"
    assert destination.target(team(), asked(None, "x")) == "#incidents"
    assert destination.target(team(channel=""), asked(None, "x")) is None
    assert destination.target(team(enabled=False), asked(None, "x")) is None
    assert destination.target(document(), asked(None, "x")) is None


def test_the_message_keeps_block_kits_limits_and_shows_five_claims() -> None:
    long = answer(
        root_cause=RootCause(service="s" * 300, change="f" * 400, kind="k" * 200, summary="<" * 9000),
        evidence=tuple(Evidence(claim="&" * 900, tool_call_id="call_1", excerpt="`" * 900) for _ in range(9)),
        blast_radius=tuple("b" * 250 for _ in range(9)),
    )
    for made in (answer(), long):
        message = blocks(made, {"call_1": "rank_anomalies"}, URL)
        assert len(message) <= 50
        assert len(message[0]["text"]["text"]) <= 150
        for block in message:
            if block["type"] == "section" and "text" in block:
                assert 1 <= len(block["text"]["text"]) <= 3000
            for field in block.get("fields", ()):
                assert len(field["text"]) <= 2000
        assert str(message).count("•") == 5
        assert URL in json.dumps(message)


def test_the_message_says_verdict_change_confidence_and_next_step() -> None:
    text = json.dumps(blocks(answer(), {"call_1": "rank_anomalies"}, URL), ensure_ascii=False)
    for words in (
        "Bad deploy: orders · c7d2e9a3",
        "high (82 %)",
        "Roll the change back.",
        "rank_anomalies",
        "frontend",
    ):
        assert words in text
    assert "c7d2e9a3c7d2e9a3" not in text


def test_words_from_outside_cannot_ping_link_or_break_out() -> None:
    attack = "<!channel> <@U123> @here & <https://evil.test|click> `code`"
    made = answer(
        root_cause=RootCause(service=attack, change=None, kind="bug", summary=attack),
        evidence=(Evidence(claim=attack, tool_call_id="call_1", excerpt=attack),),
    )
    for block in blocks(made, {}, URL):
        for text in [block.get("text", {}), *block.get("fields", ()), *block.get("elements", ())]:
            if text.get("type") == "mrkdwn":
                assert "<" not in text["text"]
                assert "@here" not in text["text"]
                assert text["verbatim"] is True
    assert "<" not in plain_text(made, URL)


def test_a_runbook_is_quoted_with_a_link_that_slack_takes() -> None:
    attack = "<!channel> @here <https://evil.test|click>"
    step = NextStep(
        claim=f"Orders › Rolling back {attack}", tool_call_id="call_6", excerpt=f"1. roll back\n2. {attack}"
    )
    steps = (
        step.model_copy(update={"url": "https://wiki.test/orders"}),
        step.model_copy(update={"url": "javascript:alert(1)", "excerpt": "x\n" * 5000}),
        step,
    )
    made = [block for block in blocks(answer(next_steps=steps), {}, URL) if "*Runbook*" in str(block)]
    assert [block.get("accessory", {}).get("url") for block in made] == ["https://wiki.test/orders", None]
    for block in made:
        text = block["text"]["text"]
        assert len(text) <= 3000
        assert "<" not in text
        assert "@here" not in text
        assert all(line.startswith("> ") for line in text.splitlines()[1:])
    assert "Runbook: Orders › Rolling back" in plain_text(answer(next_steps=steps), URL)


def test_an_answer_that_was_finished_without_the_model_says_so() -> None:
    assert "used up" not in json.dumps(blocks(answer(), {}, URL))
    made = answer(usage=Usage(requests=5, tool_calls=6, budget_exhausted="day_usd"))
    assert "budget day_usd used up: finished by the offline model" in json.dumps(blocks(made, {}, URL))


def test_without_a_cause_the_message_says_so_and_names_a_suspect() -> None:
    made = answer(root_cause=None, remediation=None, confidence=0.2, evidence=())
    text = json.dumps(blocks(made, {}, URL), ensure_ascii=False)
    assert "Not enough evidence" in text
    assert "strongest suspect, but not proven" in text
    assert "Why" not in text


def test_every_destination_describes_its_form() -> None:
    for name, one in known_destinations().items():
        assert one.name == name
        assert one.description
        assert all(field.label and field.help and field.path.split(".")[0] for field in one.fields)
        assert any(field.secret for field in one.fields)


async def test_no_gateway_of_a_team_is_the_hosts_metadata(slack: tuple[SlackTwin, Delivery]) -> None:
    _, delivery = slack
    with pytest.raises(AddressRefused):
        await destination.deliver(replace(delivery, configuration=team("http://169.254.169.254")))
