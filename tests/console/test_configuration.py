"""The pages of the tree and of one node, over HTTP."""

from __future__ import annotations

import re

import pytest
from tests.console.conftest import Desk
from tests.console.estate import SECRET_VALUE, Estate


def test_the_tree_says_what_each_node_says(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["vera"]) as vera:
        page = vera.get("/configuration")
    assert page.status_code == 200
    names = re.findall(r'class="tree-link" href="/configuration/([^"]+)"', page.text)
    assert names[0] == "orbit"
    assert names.index("shops") < names.index("checkout") < names.index("search")
    assert names.index("back-office") < names.index("billing") < names.index("shops")
    assert "<code>/privacy/redact_emails</code>" in page.text
    assert "locked" in page.text
    assert 'by <span title="service:platform">the operator</span>' in page.text


def test_the_tree_is_searched_by_name_and_id(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["vera"]) as vera:
        found = vera.get("/configuration", params={"q": "CHECK"})
        nothing = vera.get("/configuration", params={"q": "<b>nowhere"})
    assert re.findall(r'class="tree-link" href="/configuration/([^"]+)"', found.text) == ["checkout"]
    assert "in Orbit / Shops" in found.text
    assert "No node matches" in nothing.text
    assert "<b>nowhere" not in nothing.text


def test_a_team_sees_its_own_branch(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["tess"]) as tess:
        tree = tess.get("/configuration")
        other = tess.get("/configuration/billing")
    assert set(re.findall(r'class="tree-link" href="/configuration/([^"]+)"', tree.text)) == {
        "orbit",
        "shops",
        "checkout",
    }
    assert other.status_code == 404


def test_each_value_says_who_set_it_and_what_it_overrode(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["vera"]) as vera:
        page = vera.get("/configuration/checkout")
    assert page.status_code == 200
    row = re.search(r'title="/budgets/run_usd".*?</tr>', page.text, re.DOTALL)
    assert row is not None
    assert 'href="/configuration/checkout/document?version=' in row[0]
    assert "overrides 2" in row[0]
    assert re.findall(r'<li><span class="value is-plain">(\d+)</span>', row[0]) == ["3", "2"]
    assert "required" in row[0]
    assert "at most 5" in row[0]
    locked = re.search(r'title="/privacy/redact_emails".*?</tr>', page.text, re.DOTALL)
    assert locked is not None
    assert "orbit demands this at /privacy/redact_emails" in locked[0]


def test_a_secret_is_a_name_on_every_page(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["mira"]) as mira:
        for address in ("", "?show=all", "/document"):
            page = mira.get(f"/configuration/orbit{address}")
            assert page.status_code == 200, address
            assert SECRET_VALUE not in page.text
        assert "secret model-key" in mira.get("/configuration/orbit").text


def test_which_values_are_shown(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["vera"]) as vera:
        rows = {
            show: set(re.findall(r'<span title="(/[^"]+)"', vera.get(f"/configuration/search?show={show}").text))
            for show in ("here", "set", "all")
        }
    assert rows["here"] == {"/routing/services", "/routing/service_patterns"}
    assert rows["here"] < rows["set"] < rows["all"]
    assert "/budgets/run_usd" in rows["set"]
    assert "/budgets/day_tokens" in rows["all"] - rows["set"]


@pytest.mark.parametrize(
    ("person", "may"), [("vera", False), ("audrey", False), ("ed", True), ("tess", True), ("mira", True)]
)
def test_only_who_may_edit_is_offered_it(desk: Desk, estate: Estate, person: str, may: bool) -> None:
    with desk.visitor(estate.tokens[person]) as visitor:
        page = visitor.get("/configuration/checkout")
        above = visitor.get("/configuration/orbit")
    assert ("/configuration/checkout/edit" in page.text) == may
    assert ("/configuration/orbit/edit" in above.text) == (person == "mira")


def test_what_is_not_there_is_a_page(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["mira"]) as mira:
        for address in ("nowhere", "a%2Fb", "checkout/document?version=99", "checkout/document?version=x", "x" * 300):
            page = mira.get(f"/configuration/{address}")
            assert page.status_code in {400, 404, 422}, address
            assert page.headers["x-correlation-id"] in page.text
