"""Change requests in the console: asked by one, decided by another, and every way in which that is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from tests.console.conftest import OWN, Desk
from tests.console.estate import ORG, Estate

from incidentfox.contracts.change_requests import ChangeRequest, OpenChangeRequest, PatchChange
from incidentfox.contracts.configuration import ConfigurationVersion
from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.ids import new_id

START: dict[str, Any] = {"models": {"small": {"provider": "offline"}}}
CHANGED: dict[str, Any] = {**START, "agents": {"investigator": {"model": "small"}}}


@pytest.fixture
def team(desk: Desk, estate: Estate) -> str:
    """A team below `shops`, where changes of the model need approval."""
    node_id = f"team-{new_id('run')[-8:]}"

    async def make() -> None:
        node = CreateNode(node_id=node_id, parent_id="shops", kind=NodeKind.TEAM, name=f"Team {node_id}")
        await desk.platform.create_node(ORG, node)
        await desk.platform.put_configuration(ORG, node_id, START)

    desk.run(make())
    return node_id


def ask(desk: Desk, estate: Estate, team: str, person: str = "ed", title: str = "A smaller model") -> str:
    """Asks for the change in the editor; the address of the request."""
    with desk.visitor(estate.tokens[person]) as visitor:
        form = {"document": json.dumps(CHANGED), "base": "1"}
        review = visitor.post(f"/configuration/{team}/preview", data=form, headers=OWN)
        assert "A second person has to agree" in review.text
        assert "Save as version" not in review.text
        refused = visitor.post(f"/configuration/{team}/save", data=form, headers=OWN)
        assert (refused.status_code, "A second person has to agree" in refused.text) == (200, True)
        nameless = visitor.post(f"/configuration/{team}/ask", data={**form, "title": "  "}, headers=OWN)
        assert (nameless.status_code, "Say in a few words" in nameless.text) == (422, True)
        answer = visitor.post(f"/configuration/{team}/ask", data={**form, "title": title}, headers=OWN)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].partition("?")[0]


def act(visitor: httpx2.Client, address: str, step: str, **form: str) -> httpx2.Response:
    return visitor.post(f"{address}/{step}", data={"seen": "1", **form}, headers=OWN)


def document_of(desk: Desk, node_id: str) -> ConfigurationVersion:
    return desk.run(desk.platform.configuration(ORG, node_id))


def request_at(desk: Desk, address: str) -> ChangeRequest:
    _, _, node_id, request_id = address.split("/")
    return desk.run(desk.platform.change_request(ORG, node_id, request_id))


def test_asked_by_one_and_approved_by_another(desk: Desk, estate: Estate, team: str) -> None:
    address = ask(desk, estate, team)
    with desk.visitor(estate.tokens["ed"]) as ed, desk.visitor(estate.tokens["jonas"]) as jonas:
        own = ed.get(f"{address}?done=opened")
        assert "Somebody else has to approve it" in own.text
        assert "somebody else has to approve it" in own.text
        assert f"{address}/approve" not in own.text
        assert f"{address}/withdraw" in own.text
        waiting = jonas.get("/change-requests")
        assert f'href="{address}"' in waiting.text
        page = jonas.get(address)
        assert "<code>/agents</code>" in page.text
        assert "1 team is affected" in page.text
        approved = act(jonas, address, "approve", comment="Measured: it is enough.")
        assert approved.headers["location"] == f"{address}?done=approved"
        after = jonas.get(approved.headers["location"])
        assert "Applied <time-ago>" in after.text
        assert "<code>/agents</code>" in after.text
        assert "Measured: it is enough." in after.text
        history = jonas.get(f"/configuration/{team}/history")
    assert f'href="{address}"' in history.text
    written = document_of(desk, team)
    assert (written.version, written.document, written.created_by) == (2, CHANGED, "user:ed")


def test_nobody_approves_their_own_by_another_way(desk: Desk, estate: Estate, team: str) -> None:
    """The button is not there, and the form is refused all the same."""
    address = ask(desk, estate, team, person="mira")
    with desk.visitor(estate.tokens["mira"]) as mira:
        answer = act(mira, address, "approve")
    assert answer.status_code == 403
    assert "Nobody approves their own change" in answer.text
    assert document_of(desk, team).version == 1


def test_comments_and_a_rejection(desk: Desk, estate: Estate, team: str) -> None:
    address = ask(desk, estate, team)
    with desk.visitor(estate.tokens["vera"]) as vera, desk.visitor(estate.tokens["jonas"]) as jonas:
        said = act(vera, address, "comments", comment="<b>Why</b>?\nSecond line")
        assert said.headers["location"] == f"{address}?done=commented"
        for empty in ("", "   ", "x" * 4001):
            assert act(vera, address, "comments", comment=empty).status_code == 422
        page = vera.get(address)
        assert "&lt;b&gt;Why&lt;/b&gt;?\nSecond line" in page.text
        assert f"{address}/approve" not in page.text
        assert act(vera, address, "approve").status_code == 403
        assert act(jonas, address, "reject", comment="No.").status_code == 303
        again = act(jonas, address, "approve")
        assert again.status_code == 409
        assert "rejected already" in again.text
        assert "approve" not in jonas.get(address).text.partition('<form method="post" action="/change')[2]
    assert request_at(desk, address).status == "rejected"
    assert document_of(desk, team).version == 1


def test_its_author_takes_it_back(desk: Desk, estate: Estate, team: str) -> None:
    address = ask(desk, estate, team)
    with desk.visitor(estate.tokens["ed"]) as ed, desk.visitor(estate.tokens["tess"]) as tess:
        assert tess.get(address).status_code == 404
        assert act(ed, address, "withdraw").status_code == 303
        assert "Withdrawn" in ed.get(address).text
        assert f'href="{address}"' not in ed.get("/change-requests").text
        assert f'href="{address}"' in ed.get("/change-requests?status=withdrawn").text


def test_a_request_that_was_overtaken_says_so(desk: Desk, estate: Estate, team: str) -> None:
    address = ask(desk, estate, team)
    desk.run(desk.platform.patch_configuration(ORG, team, {"budgets": {"run_usd": 1}}))
    with desk.visitor(estate.tokens["jonas"]) as jonas, desk.visitor(estate.tokens["ed"]) as ed:
        page = jonas.get(address)
        assert "has changed since this was asked for" in page.text
        assert f"{address}/approve" not in page.text
        assert act(jonas, address, "approve").status_code == 409
        assert "withdraw it and ask again" in ed.get(address).text
        refused = act(ed, address, "rebase")
    assert refused.status_code == 409
    assert document_of(desk, team).document == {**START, "budgets": {"run_usd": 1}}


def test_what_is_approved_is_what_was_read(desk: Desk, estate: Estate, team: str) -> None:
    """A request that its author binds to a newer version after somebody read it is to be read again."""
    change = PatchChange(patch={"agents": {"investigator": {"model": "small"}}})
    opened = desk.run(desk.platform.open_change_request(ORG, team, OpenChangeRequest(title="Patch", change=change)))
    address = f"/change-requests/{team}/{opened.request_id}"
    desk.run(desk.platform.patch_configuration(ORG, team, {"budgets": {"run_usd": 1}}))
    desk.run(desk.platform.rebase_change_request(ORG, team, opened.request_id))
    with desk.visitor(estate.tokens["jonas"]) as jonas:
        refused = act(jonas, address, "approve")
        assert refused.status_code == 409
        assert "since you read it" in refused.text
        assert 'name="seen" value="2"' in refused.text
        assert act(jonas, address, "approve", seen="2").status_code == 303
    assert document_of(desk, team).document == {
        **START,
        "budgets": {"run_usd": 1},
        "agents": {"investigator": {"model": "small"}},
    }


def test_a_draft_that_was_overtaken_is_not_asked_for(desk: Desk, estate: Estate, team: str) -> None:
    desk.run(desk.platform.patch_configuration(ORG, team, {"budgets": {"run_usd": 1}}))
    with desk.visitor(estate.tokens["ed"]) as ed:
        form = {"document": json.dumps(CHANGED), "base": "1", "title": "Late"}
        page = ed.post(f"/configuration/{team}/ask", data=form, headers=OWN)
    assert page.status_code == 412
    assert "Somebody else was faster" in page.text
    assert desk.run(desk.platform.change_requests(ORG, node_id=team)).items == ()


def test_returning_to_a_version_may_need_approval_too(desk: Desk, estate: Estate, team: str) -> None:
    address = ask(desk, estate, team)
    with desk.visitor(estate.tokens["jonas"]) as jonas, desk.visitor(estate.tokens["ed"]) as ed:
        act(jonas, address, "approve")
        page = ed.get(f"/configuration/{team}/rollback?version=1")
        assert "A second person has to agree" in page.text
        assert 'value="Return to version 1"' in page.text
        form = {"document": json.dumps(START), "base": "2", "title": "Return to version 1"}
        asked = ed.post(f"/configuration/{team}/ask", data=form, headers=OWN)
        back = asked.headers["location"].partition("?")[0]
        assert act(jonas, back, "approve", seen="2").status_code == 303
    assert document_of(desk, team).document == START


@pytest.mark.parametrize(
    "address",
    [
        "/shops/nonsense",
        "/shops/crq_01jd0000000000000000000000",
        "/nowhere/crq_01jd0000000000000000000000",
        "?cursor=x",
        "?node=A%20B",
    ],
)
def test_what_is_not_there_is_a_page(desk: Desk, estate: Estate, address: str) -> None:
    with desk.visitor(estate.tokens["mira"]) as mira:
        page = mira.get(f"/change-requests{address}")
    assert page.status_code in {400, 404, 422}
    assert page.headers["x-correlation-id"] in page.text


def test_a_form_from_elsewhere_decides_nothing(desk: Desk, estate: Estate, team: str) -> None:
    address = ask(desk, estate, team)
    with desk.visitor(estate.tokens["jonas"]) as jonas:
        for step in ("approve", "reject", "withdraw", "rebase", "comments"):
            answer = jonas.post(
                f"{address}/{step}", data={"seen": "1", "comment": "x"}, headers={"Sec-Fetch-Site": "cross-site"}
            )
            assert answer.status_code == 403
    assert request_at(desk, address).status == "open"
