"""The sender against the reference verifier of Standard Webhooks, and against a door that is busy."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.agent.twins import serve

from incidentfox.clients import webhook_sender
from incidentfox.clients.webhook_sender import WebhookSender
from incidentfox.kernel.errors import Invalid, Permanent, RateLimited, Unavailable

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
EVENT: dict[str, Any] = {"type": "alert.triggered", "data": {"title": "ünïcode"}}
ACCEPTED = {"delivery_id": "dlv_1", "status": "accepted"}


class Door:
    """Verifies each delivery as the specification's own library does, then answers as told."""

    def __init__(self, *answers: Callable[[], Response]) -> None:
        self.answers = list(answers)
        self.ids: list[str] = []

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        assert Webhook(SECRET).verify(body.decode(), dict(request.headers)) == EVENT
        self.ids.append(request.headers["webhook-id"])
        return self.answers.pop(0)()


def accepted() -> Response:
    return JSONResponse(ACCEPTED, status_code=202)


def busy() -> Response:
    problem = {"type": "about:blank", "title": "busy", "status": 429, "code": "rate_limited", "detail": "Slow down."}
    return JSONResponse(problem, status_code=429, headers={"Retry-After": "0"})


def refused() -> Response:
    problem = {
        "type": "about:blank",
        "title": "no",
        "status": 410,
        "code": "endpoint_disabled",
        "detail": "It is shut.",
    }
    return Response(json.dumps(problem), status_code=410)


@asynccontextmanager
async def sender(door: Door) -> AsyncIterator[WebhookSender]:
    async with serve(Starlette(routes=[Route("/webhooks/custom/whe_1", door.answer, methods=["POST"])])) as url:
        made = WebhookSender(f"{url}/webhooks/custom/whe_1", SECRET)
        yield made
        await made.close()


async def test_the_reference_library_accepts_the_signature() -> None:
    door = Door(accepted)
    async with sender(door) as made:
        assert (await made.send("msg_1", EVENT)).delivery_id == "dlv_1"
    assert door.ids == ["msg_1"]


async def test_a_busy_door_is_tried_again_with_the_same_id() -> None:
    door = Door(busy, busy, accepted)
    async with sender(door) as made:
        await made.send("msg_1", EVENT)
    assert door.ids == ["msg_1"] * 3


async def test_a_door_that_stays_busy_is_given_up_in_its_own_words() -> None:
    async with sender(Door(*[busy] * 5)) as made:
        with pytest.raises(RateLimited, match="Slow down") as failure:
            await made.send("msg_1", EVENT)
    assert failure.value.code == "rate_limited"


async def test_a_refusal_is_not_tried_again() -> None:
    door = Door(refused)
    async with sender(door) as made:
        with pytest.raises(Permanent, match="It is shut"):
            await made.send("msg_1", EVENT)
    assert len(door.ids) == 1


async def test_nobody_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sender, "_FIRST_PAUSE_S", 0.0)
    with pytest.raises(Unavailable, match="is not reachable at http://127"):
        await WebhookSender("http://127.0.0.1:9/webhooks", SECRET).send("msg_1", EVENT)


@pytest.mark.parametrize("secret", ["whsec_not base64", "ü"])
def test_a_secret_of_another_form_is_refused(secret: str) -> None:
    with pytest.raises(Invalid, match="whsec_"):
        WebhookSender("http://127.0.0.1:9", secret)
