"""Writing configuration in the console: draft, review, save, history, return; and every way in which it can fail."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.console.conftest import OWN, Desk
from tests.console.estate import ORG, Estate

from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.ids import new_id

START: dict[str, Any] = {"budgets": {"run_usd": 1}, "routing": {"services": []}}


@pytest.fixture
def team(desk: Desk, estate: Estate) -> str:
    """A team of its own below `shops`, at version 1."""
    node_id = f"team-{new_id('run')[-8:]}"

    async def make() -> None:
        node = CreateNode(node_id=node_id, parent_id="shops", kind=NodeKind.TEAM, name=f"Team {node_id}")
        await desk.platform.create_node(ORG, node)
        await desk.platform.put_configuration(ORG, node_id, START)

    desk.run(make())
    return node_id


@pytest.fixture
def ed(desk: Desk, estate: Estate) -> Iterator[httpx2.Client]:
    with desk.visitor(estate.tokens["ed"]) as visitor:
        yield visitor


def send(visitor: httpx2.Client, node_id: str, step: str, document: Any, base: int, **more: str) -> httpx2.Response:
    """Sends the form of one step."""
    text = document if isinstance(document, str) else json.dumps(document, indent=2)
    data = {"document": text, "base": str(base), **more}
    return visitor.post(f"/configuration/{node_id}/{step}", data=data, headers=OWN)


def version_of(desk: Desk, node_id: str) -> int:
    return desk.run(desk.platform.configuration(ORG, node_id)).version


def draft_in(page: httpx2.Response) -> Any:
    """What stands in the form of a page."""
    found = re.search(r'<textarea[^>]*name="document"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def test_a_change_is_reviewed_saved_and_taken_back(desk: Desk, ed: httpx2.Client, team: str) -> None:
    editor = ed.get(f"/configuration/{team}/edit")
    assert json.loads(draft_in(editor)) == START
    changed = {**START, "budgets": {"run_usd": 2}}
    review = send(ed, team, "preview", changed, 1)
    assert review.status_code == 200
    assert "<code>/budgets/run_usd</code>" in review.text
    assert "<del>1</del>" in review.text
    assert "<ins>2</ins>" in review.text
    assert "1 team is affected" in review.text
    assert version_of(desk, team) == 1, "a review writes nothing"

    saved = send(ed, team, "save", draft_in(review), 1)
    assert (saved.status_code, saved.headers["location"]) == (303, f"/configuration/{team}/history?saved=2")
    history = ed.get(saved.headers["location"])
    assert "Version 2 is in force" in history.text
    assert 'title="user:ed">ed</span>' in history.text
    diff = ed.get(f"/configuration/{team}/diff?from=1&to=2")
    assert "<del>1</del>" in diff.text

    back = ed.get(f"/configuration/{team}/rollback?version=1")
    assert "<ins>1</ins>" in back.text
    returned = ed.post(f"/configuration/{team}/rollback", data={"version": "1", "base": "2"}, headers=OWN)
    assert returned.headers["location"] == f"/configuration/{team}/history?saved=3"
    assert desk.run(desk.platform.configuration(ORG, team)).document == START


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{"budgets": {"run_usd": 2,\n"run_usd": 3}}', 2, "occurs twice"),
        ('{"budgets":\n{"run_usd": }}', 2, "Expecting value"),
        ('{\n"budgets": {\n"run_usd": 9}}', 3, "at most 5"),
        ('{\n"bugdets": {}}', 2, "bugdets"),
        ('{\n"privacy": {\n"redact_emails": false}}', 3, "locks this"),
        ('{\n"routing": {\n"services": ["search"]}}', 3, "belongs to the team"),
        ('{\n"agents": {"investigator": {\n"tools": ["telepathy"]}}}', 3, "telepathy"),
        ("[" * 3000, 1, "deeper"),
        ('"text"', 1, "object"),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_at_its_line(
    desk: Desk, ed: httpx2.Client, team: str, text: str, line: int, words: str
) -> None:
    for step in ("preview", "save"):
        page = send(ed, team, step, text, 1)
        assert page.status_code in {400, 409, 422}
        assert 'role="alert"' in page.text
        assert words in html.unescape(page.text)
        assert f'is-at"><span class="number">{line}</span>' in page.text
        assert draft_in(page) == text, "nothing that was typed is lost"
    assert version_of(desk, team) == 1


def test_a_markup_in_a_draft_stays_text(ed: httpx2.Client, team: str) -> None:
    hostile = '{"x": "</textarea><script>alert(1)</script>"}'
    page = send(ed, team, "preview", hostile, 1)
    assert "<script>alert" not in page.text
    assert draft_in(page) == hostile


def test_a_document_over_the_limit_is_refused_kindly(ed: httpx2.Client, team: str) -> None:
    document = {"agents": {"investigator": {"prompt": {"suffix": "x" * 1_100_000}}}}
    page = send(ed, team, "preview", document, 1)
    assert page.status_code == 413
    assert "text/html" in page.headers["content-type"]
    assert "bytes" in page.text


def test_who_was_slower_sees_what_the_other_wrote_and_keeps_the_draft(desk: Desk, ed: httpx2.Client, team: str) -> None:
    theirs = {**START, "privacy": {"redact_emails": True}, "budgets": {"run_usd": 3}}
    desk.run(desk.platform.put_configuration(ORG, team, theirs))
    mine = {**START, "budgets": {"run_usd": 2}, "destinations": {"slack": {"channel": "#mine"}}}
    for step in ("preview", "save"):
        page = send(ed, team, step, mine, 1)
        assert page.status_code == 412
        assert "Somebody else was faster" in page.text
        assert 'by <span title="service:platform">the operator</span>; your draft stands on version 1' in page.text
        assert "<code>/privacy</code>" in page.text
        assert json.loads(draft_in(page)) == mine
    carried = send(ed, team, "carry", mine, 1)
    assert carried.status_code == 200
    assert 'name="base" value="2"' in carried.text
    assert "Both of you changed <code>/budgets/run_usd</code>" in carried.text
    merged = json.loads(draft_in(carried))
    assert merged == {**theirs, "budgets": {"run_usd": 2}, "destinations": {"slack": {"channel": "#mine"}}}
    assert send(ed, team, "save", merged, 2).status_code == 303


def test_returning_is_reviewed_again_when_somebody_wrote(desk: Desk, ed: httpx2.Client, team: str) -> None:
    desk.run(desk.platform.put_configuration(ORG, team, {"budgets": {"run_usd": 4}}))
    desk.run(desk.platform.put_configuration(ORG, team, {"budgets": {"run_usd": 5}}))
    page = ed.post(f"/configuration/{team}/rollback", data={"version": "1", "base": "2"}, headers=OWN)
    assert page.status_code == 412
    assert "in the meantime" in page.text
    assert 'name="base" value="3"' in page.text
    assert version_of(desk, team) == 3


def test_the_same_again_is_no_change(ed: httpx2.Client, team: str) -> None:
    page = send(ed, team, "preview", START, 1)
    assert "what the document says already" in page.text


@pytest.mark.parametrize("person", ["vera", "audrey", "tess"])
def test_nobody_writes_beyond_their_reach(desk: Desk, estate: Estate, team: str, person: str) -> None:
    with desk.visitor(estate.tokens[person]) as visitor:
        pages = [visitor.get(f"/configuration/{team}/edit"), visitor.get(f"/configuration/{team}/rollback?version=0")]
        pages += [send(visitor, team, step, {}, 1) for step in ("edit", "preview", "save", "ask", "carry")]
        pages.append(visitor.post(f"/configuration/{team}/rollback", data={"version": "0", "base": "1"}, headers=OWN))
    assert {page.status_code for page in pages} <= {403, 404}
    assert version_of(desk, team) == 1


def test_an_archived_node_is_not_edited(desk: Desk, estate: Estate, team: str) -> None:
    desk.run(desk.platform.archive_node(ORG, team))
    with desk.visitor(estate.tokens["mira"]) as mira:
        page = mira.get(f"/configuration/{team}")
        refused = mira.get(f"/configuration/{team}/edit")
    assert f"/configuration/{team}/edit" not in page.text
    assert refused.status_code == 403
    assert "archived" in refused.text


def test_a_form_from_elsewhere_writes_nothing(desk: Desk, ed: httpx2.Client, team: str) -> None:
    for step in ("preview", "save", "ask", "carry", "edit", "rollback"):
        answer = ed.post(
            f"/configuration/{team}/{step}",
            data={"document": "{}", "base": "1", "version": "0", "title": "x"},
            headers={"Sec-Fetch-Site": "cross-site"},
        )
        assert answer.status_code == 403
        assert "not sent from the console" in answer.text
    assert version_of(desk, team) == 1


@pytest.mark.parametrize("form", [{}, {"base": "x"}, {"base": "-1"}, {"base": "99999999999"}, {"base": "7"}], ids=str)
def test_odd_forms_are_refused(desk: Desk, ed: httpx2.Client, team: str, form: dict[str, str]) -> None:
    for step in ("preview", "save", "carry", "ask"):
        answer = ed.post(f"/configuration/{team}/{step}", data={"document": "{}", **form}, headers=OWN)
        assert 400 <= answer.status_code < 500, (step, answer.text)
    assert version_of(desk, team) == 1
