"""The secrets of a node in the console: listed, written, replaced and deleted, and their values nowhere to be seen."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx2
import pytest
from tests.console.conftest import OWN, Desk
from tests.console.estate import ORG, SECRET_VALUE, Estate

from incidentfox.console.pages import secrets
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.ids import new_id

PLANTED = "planted-Qz57-value"


@pytest.fixture
def team(desk: Desk, estate: Estate) -> str:
    """A team of its own below `shops`, with a secret `own-key` that it uses."""
    node_id = f"team-{new_id('run')[-8:]}"
    models = {"small": {"provider": "offline", "api_key": {"$secret": "own-key"}}}

    async def make() -> None:
        node = CreateNode(node_id=node_id, parent_id="shops", kind=NodeKind.TEAM, name=f"Team {node_id}")
        await desk.platform.create_node(ORG, node)
        await desk.platform.put_configuration(ORG, node_id, {"models": models})
        await desk.platform.put_secret(ORG, node_id, "own-key", "first")

    desk.run(make())
    return node_id


@pytest.fixture
def ed(desk: Desk, estate: Estate) -> Iterator[httpx2.Client]:
    with desk.visitor(estate.tokens["ed"]) as visitor:
        yield visitor


def names(desk: Desk, node_id: str) -> list[str]:
    return [secret.name for secret in desk.run(desk.platform.secrets(ORG, node_id)).items]


def seen(page: httpx2.Response) -> str:
    """The moment of writing that a step's form carries."""
    found = re.search(r'name="seen" value="([^"]+)"', page.text)
    assert found is not None
    return html.unescape(found[1])


def row(page: httpx2.Response, name: str) -> str:
    """The row of one secret."""
    found = re.search(rf'<th scope="row" role="rowheader">{name}.*?</tr>', page.text, re.DOTALL)
    assert found is not None
    return found[0]


def write(visitor: httpx2.Client, node_id: str, name: str, value: str) -> httpx2.Response:
    return visitor.post(f"/configuration/{node_id}/secrets", data={"name": name, "value": value}, headers=OWN)


def test_the_list_says_where_each_comes_from_and_what_uses_it(desk: Desk, ed: httpx2.Client, team: str) -> None:
    page = ed.get(f"/configuration/{team}/secrets")
    assert "<code>/models/small/api_key</code>" in row(page, "own-key")
    assert "<code>k1</code>" in row(page, "own-key")
    assert f'href="/configuration/{ORG}/secrets">{ORG}</a>' in row(page, "model-key")
    assert "<code>/models/default/api_key</code>" in row(page, "model-key")
    assert "written nowhere" not in page.text
    desk.run(desk.platform.delete_secret(ORG, team, "own-key"))
    page = ed.get(f"/configuration/{team}/secrets")
    assert "<b>own-key</b> at <code>/models/small/api_key</code>" in page.text
    assert f'href="/configuration/{team}/secrets?name=own-key#write-heading"' in page.text
    assert 'value="own-key"' in ed.get(f"/configuration/{team}/secrets?name=own-key").text
    assert SECRET_VALUE not in page.text


def test_a_list_of_several_pages_is_whole(
    desk: Desk, ed: httpx2.Client, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_BATCH", 2)
    for name in ("a", "b", "c", "d"):
        desk.run(desk.platform.put_secret(ORG, team, name, "x"))
    page = ed.get(f"/configuration/{team}/secrets")
    assert re.findall(r'rowheader">([a-z-]+)', page.text) == ["a", "b", "c", "d", "own-key", "model-key", "slack-bot"]


def test_a_secret_is_written_replaced_and_deleted_and_its_value_is_nowhere(
    desk: Desk, ed: httpx2.Client, team: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = [write(ed, team, "slack-bot", PLANTED)]
    answers.append(ed.get(answers[0].headers["location"]))
    assert "The secret slack-bot is written." in answers[-1].text
    assert f"instead of that of {ORG}" in row(answers[-1], "slack-bot")
    step = f"/configuration/{team}/secrets/slack-bot"
    answers.append(ed.get(f"{step}/replace"))
    sent = {"value": f"{PLANTED}-2", "seen": seen(answers[-1])}
    answers.append(ed.post(f"{step}/replace", data=sent, headers=OWN))
    assert answers[-1].headers["location"].endswith("/secrets?done=replaced&name=slack-bot")
    answers.append(ed.get(f"{step}/delete"))
    assert "1 team refers to it" in answers[-1].text
    assert f'the secret of the same name of <a href="/configuration/{ORG}/secrets">{ORG}</a>' in answers[-1].text
    answers.append(ed.post(f"{step}/delete", data={"seen": seen(answers[-1])}, headers=OWN))
    assert answers[-1].status_code == 303
    assert names(desk, team) == ["own-key"]
    shown = capfd.readouterr()
    assert not any(PLANTED in answer.text + str(answer.headers) + str(answer.url) for answer in answers)
    assert PLANTED not in shown.out + shown.err


@pytest.mark.parametrize(
    ("name", "value", "status", "words"),
    [
        ("Slack Bot", PLANTED, 422, "begins with a lower-case letter"),
        ("", PLANTED, 422, "begins with a lower-case letter"),
        ("x" * 64, PLANTED, 422, "at most 63"),
        ("new-key", "", 422, "Type or paste the value"),
        ("new-key", PLANTED * 1000, 422, "16,384 characters at most"),
        ("own-key", PLANTED, 409, "has a secret own-key already"),
    ],
    ids=["spaces", "no name", "long name", "no value", "long value", "exists"],
)
def test_what_is_wrong_is_said_and_the_value_is_not(
    desk: Desk, ed: httpx2.Client, team: str, name: str, value: str, status: int, words: str
) -> None:
    page = write(ed, team, name, value)
    assert page.status_code == status
    assert words in html.unescape(page.text)
    assert 'role="alert"' in page.text
    typed = re.search(r'<input id="name" [^>]*value="([^"]*)"', page.text)
    assert typed is not None
    assert typed[1] == name, "the name need not be typed again"
    assert PLANTED not in page.text
    assert re.search(r'<input id="value" name="value" type="password" required autocomplete="new-password"', page.text)
    assert names(desk, team) == ["own-key"]


def test_a_replacement_that_cannot_be_is_said_without_the_value(desk: Desk, ed: httpx2.Client, team: str) -> None:
    address = f"/configuration/{team}/secrets/own-key"
    page = ed.get(f"{address}/replace")
    long = ed.post(f"{address}/replace", data={"value": PLANTED * 1000, "seen": seen(page)}, headers=OWN)
    assert (long.status_code, PLANTED in long.text) == (422, False)
    assert 'aria-describedby="value-error value-hint"' in long.text
    before = desk.run(desk.platform.put_secret(ORG, team, "own-key", "theirs"))
    for step, data in (("replace", {"value": PLANTED}), ("delete", {})):
        slower = ed.post(f"{address}/{step}", data={**data, "seen": seen(page)}, headers=OWN)
        assert slower.status_code == 412
        assert "Somebody else has written this secret in the meantime" in slower.text
        assert PLANTED not in slower.text
        assert desk.run(desk.platform.secrets(ORG, team)).items == (before,)
    desk.run(desk.platform.delete_secret(ORG, team, "own-key"))
    gone = ed.post(
        f"/configuration/{team}/secrets/own-key/replace", data={"value": "x", "seen": seen(page)}, headers=OWN
    )
    assert gone.status_code == 404
    assert names(desk, team) == []


@pytest.mark.parametrize("person", ["vera", "audrey", "tess"])
def test_who_may_not_write_secrets_sees_no_form_and_writes_none(
    desk: Desk, estate: Estate, team: str, person: str
) -> None:
    with desk.visitor(estate.tokens[person]) as visitor:
        page = visitor.get("/configuration/search/secrets")
        if person == "tess":
            assert page.status_code == 404
            page = visitor.get(f"/configuration/{ORG}/secrets")
        assert page.status_code == 200
        assert "model-key" in page.text
        assert 'type="password"' not in page.text
        assert "/replace" not in page.text
        assert "?name=" not in page.text
        refused = [write(visitor, team, "evil", "x")]
        for step in ("replace", "delete"):
            refused.append(visitor.get(f"/configuration/{team}/secrets/own-key/{step}"))
            refused.append(
                visitor.post(f"/configuration/{team}/secrets/own-key/{step}", data={"value": "x"}, headers=OWN)
            )
    assert {answer.status_code for answer in refused} <= {403, 404}
    assert names(desk, team) == ["own-key"]


def test_an_archived_node_offers_no_form(desk: Desk, estate: Estate, team: str) -> None:
    desk.run(desk.platform.archive_node(ORG, team))
    with desk.visitor(estate.tokens["mira"]) as mira:
        assert 'type="password"' not in mira.get(f"/configuration/{team}/secrets").text
        refused = write(mira, team, "late", "x")
    assert refused.status_code == 403
    assert "archived" in refused.text


def test_a_form_from_elsewhere_writes_nothing(desk: Desk, ed: httpx2.Client, team: str) -> None:
    for step, data in (("", {"name": "evil"}), ("/own-key/replace", {}), ("/own-key/delete", {})):
        sent = {**data, "value": PLANTED, "seen": seen(ed.get(f"/configuration/{team}/secrets/own-key/delete"))}
        answer = ed.post(f"/configuration/{team}/secrets{step}", data=sent, headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status_code, PLANTED in answer.text) == (403, False)
    assert names(desk, team) == ["own-key"]
