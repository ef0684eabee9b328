"""The forms of the tree: what each would do is said before it is done, and every refusal is said where it belongs."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx2
import pytest
from tests.console.conftest import OWN, Desk
from tests.console.estate import ORG, Estate

from incidentfox.console.pages.new_node import slug
from incidentfox.contracts.tree import CreateNode, Node, NodeKind, UpdateNode
from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.ids import new_id

STEPS = ("rename", "move", "archive", "restore", "delete")


@pytest.fixture
def team(desk: Desk, estate: Estate) -> str:
    """A team of its own below `shops`."""
    return make(desk, NodeKind.TEAM, "shops")


@pytest.fixture
def mira(desk: Desk, estate: Estate) -> Iterator[httpx2.Client]:
    with desk.visitor(estate.tokens["mira"]) as visitor:
        yield visitor


def make(desk: Desk, kind: NodeKind, parent_id: str) -> str:
    node_id = f"{kind}-{new_id('run')[-8:]}"
    node = CreateNode(node_id=node_id, parent_id=parent_id, kind=kind, name=f"The {node_id}")
    desk.run(desk.platform.create_node(ORG, node))
    return node_id


def node(desk: Desk, node_id: str) -> Node:
    return desk.run(desk.platform.node(ORG, node_id))


def hidden(page: httpx2.Response) -> dict[str, str]:
    """What the form of a review carries."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in found}


def confirm(visitor: httpx2.Client, review: httpx2.Response, **more: str) -> httpx2.Response:
    """Sends the form of a review as it stands."""
    return visitor.post(review.url.path, data={**hidden(review), **more}, headers=OWN)


def beside(page: httpx2.Response, field: str) -> str:
    """What is said beside a field that is marked as wrong."""
    assert re.search(rf'aria-invalid="true" aria-describedby="{field}-error', page.text)
    found = re.search(rf'<p class="field-error" id="{field}-error">(.*?)</p>', page.text)
    assert found is not None
    return html.unescape(found[1])


def test_a_name_makes_an_id() -> None:
    assert slug("Zahlungen & Rückgaben (EU)") == "zahlungen-ruckgaben-eu"
    assert slug("…") == ""
    assert slug("x" * 62 + " y") == "x" * 62


def test_a_creation_is_reviewed_and_sent_twice_makes_one(desk: Desk, mira: httpx2.Client) -> None:
    name = f"Depot {new_id('run')[-8:]}"
    form = mira.get("/configuration/shops/create")
    typed = {**hidden(form), "kind": "team", "name": name, "document": '{"budgets": {"run_usd": 1}}'}
    review = mira.post("/configuration/shops/create/review", data=typed, headers=OWN)
    node_id = hidden(review)["id"]
    assert node_id == slug(name)
    with pytest.raises(NotFound):
        node(desk, node_id)
    sent = {**hidden(review), "document": typed["document"]}
    answers = [mira.post("/configuration/shops/create/confirm", data=sent, headers=OWN) for _ in range(2)]
    assert {answer.headers["location"] for answer in answers} == {f"/configuration/{node_id}?done=created"}
    assert "It is created." in mira.get(answers[0].headers["location"]).text
    own = desk.run(desk.platform.configuration(ORG, node_id))
    assert (own.version, own.document) == (1, {"budgets": {"run_usd": 1}})


@pytest.mark.parametrize(
    ("more", "status", "field", "words"),
    [
        ({"name": " "}, 422, "name", "1 to 200 characters"),
        ({"name": "…"}, 422, "id", "lower-case letters"),
        ({"id": "Not An Id"}, 422, "id", "lower-case letters"),
        ({"id": "checkout"}, 409, "id", "is taken"),
        ({"kind": "org"}, 422, "kind", "Choose what it is"),
        ({"kind": ""}, 422, "kind", "Choose what it is"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_creation_stands_beside_its_field(
    mira: httpx2.Client, more: dict[str, str], status: int, field: str, words: str
) -> None:
    typed = {"kind": "team", "name": "Depot", "id": "", "document": "", **more}
    for step in ("review", "confirm"):
        page = mira.post(f"/configuration/shops/create/{step}", data=typed, headers=OWN)
        assert page.status_code == status
        assert words in beside(page, field)
        assert len(re.findall("field-error", page.text)) == 1


@pytest.mark.parametrize(
    ("document", "words"),
    [('{"budgets":\n{"run_usd": }}', "Expecting value"), ('{\n"budgets": {\n"run_usd": 9}}', "at most 5")],
)
def test_what_is_wrong_with_a_first_document_stands_at_its_line(mira: httpx2.Client, document: str, words: str) -> None:
    typed = {"kind": "team", "name": f"Depot {new_id('run')[-8:]}", "document": document}
    page = mira.post("/configuration/shops/create/review", data=typed, headers=OWN)
    assert page.status_code == 422
    assert words in html.unescape(page.text)
    assert f'is-at"><span class="number">{2 + (words != "Expecting value")}</span>' in page.text
    assert html.escape(document, quote=True).replace("&quot;", "&#34;") in page.text


def test_nothing_is_created_below_a_team_or_what_is_archived(desk: Desk, mira: httpx2.Client) -> None:
    unit = make(desk, NodeKind.UNIT, "shops")
    desk.run(desk.platform.archive_node(ORG, unit))
    assert "Create below" not in mira.get("/configuration/checkout").text
    assert "Create below" not in mira.get(f"/configuration/{unit}").text
    assert mira.get("/configuration/checkout/create").status_code == 422
    assert mira.get(f"/configuration/{unit}/create").status_code == 409


def test_the_whole_way_of_a_node_and_each_step_is_reviewed(desk: Desk, mira: httpx2.Client, team: str) -> None:
    start = node(desk, team)
    reviews = {
        "rename": mira.get(f"/configuration/{team}/rename", params={"name": "Nord <b>"}),
        "move": mira.get(f"/configuration/{team}/move", params={"parent": "back-office"}),
        "archive": mira.get(f"/configuration/{team}/archive"),
        "delete": mira.get(f"/configuration/{team}/delete"),
    }
    assert {page.status_code for page in reviews.values()} == {200}
    assert node(desk, team) == start, "a review changes nothing"
    assert "Nord &lt;b&gt;" in reviews["rename"].text
    assert "1 team is affected" in reviews["move"].text
    assert "<code>/budgets/run_usd</code>" in reviews["move"].text
    for step, params, check in (
        ("rename", {"name": "Nord <b>"}, lambda found: found.name == "Nord <b>"),
        ("move", {"parent": "back-office"}, lambda found: found.parent_id == "back-office"),
        ("archive", {}, lambda found: found.archived_at is not None),
        ("restore", {}, lambda found: found.archived_at is None),
    ):
        done = confirm(mira, mira.get(f"/configuration/{team}/{step}", params=params))
        assert done.status_code == 303, (step, done.text)
        assert 'role="status"' in mira.get(done.headers["location"]).text
        assert check(node(desk, team)), step
    done = confirm(mira, mira.get(f"/configuration/{team}/delete"), typed=team)
    assert done.headers["location"] == "/configuration/back-office?done=deleted"
    assert mira.get(f"/configuration/{team}").status_code == 404


def test_who_was_slower_is_told_and_undoes_nothing(desk: Desk, mira: httpx2.Client, team: str) -> None:
    params = {"rename": {"name": "Mine"}, "move": {"parent": "back-office"}}
    for step in ("rename", "move", "archive", "delete"):
        review = mira.get(f"/configuration/{team}/{step}", params=params.get(step, {}))
        theirs = desk.run(desk.platform.update_node(ORG, team, UpdateNode(name=f"Theirs {new_id('run')}")))
        refused = confirm(mira, review, typed=team)
        assert refused.status_code == 412
        assert "Somebody else changed this node in the meantime" in refused.text
        assert theirs.name in refused.text, "what it is now is shown"
        assert hidden(refused)["base"] == str(theirs.version)
        assert node(desk, team) == theirs
    no_version = mira.post(f"/configuration/{team}/archive", headers=OWN)
    assert no_version.status_code == 412, "a form without a version confirms nothing"


def test_nobody_deletes_what_they_have_not_seen(desk: Desk, mira: httpx2.Client) -> None:
    unit = make(desk, NodeKind.UNIT, "shops")
    review = mira.get(f"/configuration/{unit}/delete")
    team = make(desk, NodeKind.TEAM, unit)
    refused = confirm(mira, review, typed=unit)
    assert refused.status_code == 409
    assert "has changed since you looked" in refused.text
    assert f'<span class="chip">{team}</span>' in refused.text
    assert confirm(mira, refused, typed="shops").status_code == 422
    assert node(desk, team).parent_id == unit
    assert confirm(mira, refused, typed=unit).status_code == 303


def test_policies_refuse_a_move_and_name_the_teams(desk: Desk, mira: httpx2.Client) -> None:
    unit, strict = make(desk, NodeKind.UNIT, "shops"), make(desk, NodeKind.UNIT, ORG)
    team = make(desk, NodeKind.TEAM, unit)
    desk.run(desk.platform.put_configuration(ORG, team, {"budgets": {"run_usd": 4}}))
    desk.run(desk.platform.put_configuration(ORG, strict, {"policies": {"/budgets/run_usd": {"max": 2}}}))
    review = mira.get(f"/configuration/{unit}/move", params={"parent": strict})
    assert "Policies refuse this." in review.text
    assert f"In team &#39;{team}&#39;" in review.text
    assert "Move it" not in review.text
    sent = mira.post(
        f"/configuration/{unit}/move", data={"parent": strict, "base": hidden(review)["base"]}, headers=OWN
    )
    assert sent.status_code == 422
    assert "Policies refuse this." in sent.text
    assert node(desk, unit).parent_id == "shops"


def test_a_move_that_needs_approval_is_asked_for(desk: Desk, mira: httpx2.Client, team: str) -> None:
    guarded = make(desk, NodeKind.UNIT, ORG)
    document = {"policies": {"/budgets/run_usd": {"requires_approval": True}}}
    desk.run(desk.platform.put_configuration(ORG, guarded, document))
    desk.run(desk.platform.put_configuration(ORG, team, {"budgets": {"run_usd": 4}}))
    review = mira.get(f"/configuration/{team}/move", params={"parent": guarded})
    assert "A second person has to agree" in review.text
    address = f"/configuration/{team}/move/ask"
    untitled = mira.post(address, data={**hidden(review), "title": " "}, headers=OWN)
    assert (untitled.status_code, "what the move is for" in untitled.text) == (422, True)
    asked = mira.post(address, data={**hidden(review), "title": "Back to the guarded"}, headers=OWN)
    assert asked.headers["location"].startswith(f"/change-requests/{team}/crq_")
    assert "Where it stands" in mira.get(asked.headers["location"]).text
    desk.run(desk.platform.update_node(ORG, team, UpdateNode(name="Other")))
    assert mira.post(address, data={**hidden(review), "title": "Late"}, headers=OWN).status_code == 412
    assert node(desk, team).parent_id == "shops"


@pytest.mark.parametrize(
    ("parent", "words"),
    [
        ("", "Choose where"),
        ("nowhere", "no node 'nowhere'"),
        ("Not An Id", "no node"),
        ("checkout", "is a team"),
        ("shops", "there already"),
    ],
)
def test_a_place_where_it_cannot_stand_is_said_beside_the_field(
    desk: Desk, mira: httpx2.Client, team: str, parent: str, words: str
) -> None:
    page = mira.get(f"/configuration/{team}/move", params={"parent": parent})
    assert page.status_code == 422
    assert words in beside(page, "parent_id")
    name = mira.get(f"/configuration/{team}/rename", params={"name": " "})
    assert "1 to 200" in beside(name, "name")


def test_what_the_organisation_depends_on_is_not_archived_or_deleted(desk: Desk, mira: httpx2.Client) -> None:
    page = mira.get(f"/configuration/{ORG}/manage")
    assert f"/configuration/{ORG}/delete" not in page.text
    assert f"/configuration/{ORG}/move" not in page.text
    for step in ("archive", "delete"):
        review = mira.get(f"/configuration/{ORG}/{step}")
        assert "neither archived nor deleted" in review.text
        assert confirm(mira, review, typed=ORG).status_code == 422
    assert node(desk, ORG).archived_at is None


@pytest.mark.parametrize("person", ["vera", "audrey", "ed", "tess"])
def test_who_does_not_administer_the_organisation_is_offered_nothing_and_does_nothing(
    desk: Desk, estate: Estate, team: str, person: str
) -> None:
    before = node(desk, team)
    with desk.visitor(estate.tokens[person]) as visitor:
        for address in ("/configuration", "/configuration/checkout", "/configuration/shops"):
            text = visitor.get(address).text
            assert "/manage" not in text
            assert "/create" not in text
        pages = [visitor.get(f"/configuration/{team}/{step}") for step in (*STEPS, "manage")]
        pages += [visitor.post(f"/configuration/{team}/{step}", data={"base": "1"}, headers=OWN) for step in STEPS]
        typed = {"kind": "team", "name": "Depot"}
        pages += [
            visitor.post(f"/configuration/shops/create/{step}", data=typed, headers=OWN)
            for step in ("review", "confirm")
        ]
    assert {page.status_code for page in pages} <= {403, 404}
    assert all("text/html" in page.headers["content-type"] for page in pages)
    assert node(desk, team) == before


def test_a_form_from_elsewhere_does_nothing(desk: Desk, mira: httpx2.Client, team: str) -> None:
    before = node(desk, team)
    for step in STEPS:
        sent = {"base": str(before.version), "name": "x", "parent": "back-office", "typed": team}
        answer = mira.post(f"/configuration/{team}/{step}", data=sent, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
    assert node(desk, team) == before
