"""The page of routing: who would get this, why, and everything that was tried."""

from __future__ import annotations

import html
import re

import pytest
from tests.console.conftest import Desk
from tests.console.estate import Estate

from incidentfox.console.pages import routing


def answer(desk: Desk, token: str, **asked: str) -> tuple[int, str]:
    with desk.visitor(token) as visitor:
        page = visitor.get("/routing", params=asked)
    return page.status_code, html.unescape(page.text)


def listed(page: str) -> list[tuple[str, str, str]]:
    """(identifier, kind, owner) of each row."""
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)]
    texts = [[re.sub(r"<[^>]+>", "", cell).strip() for cell in row] for row in cells if row]
    return [(row[0], row[2], row[1]) for row in texts]


def test_the_answer_says_who_why_and_what_was_tried(desk: Desk, estate: Estate) -> None:
    status, page = answer(
        desk, estate.tokens["vera"], service="search-api, nope", slack_channel="C0CHECKOUT", custom="cluster: eu-1"
    )
    assert status == 200
    assert '<a href="/configuration/checkout">checkout</a>' in page
    tried = re.findall(r'<li(| class="is-hit")>\s*<span class="tried-what">(.*?)</li>', page, re.DOTALL)
    assert [bool(hit) for hit, _ in tried] == [True] + [False] * (len(tried) - 1)
    texts = [" ".join(re.sub(r"<[^>]+>", " ", text).split()) for _, text in tried]
    assert texts[0] == "Slack channel C0CHECKOUT checkout"
    assert "Custom cluster eu-1 nobody" in texts
    assert "Service search-api by pattern search-* search , but decided before" in texts
    assert texts[-1] == "Default team nobody"


def test_nobody_is_an_answer(desk: Desk, estate: Estate) -> None:
    _, page = answer(desk, estate.tokens["vera"], service="<script>alert(1)</script>")
    assert ">Nobody<" in page
    assert 'value="<script>' in page, "escaped on the wire, unescaped here"
    with desk.visitor(estate.tokens["vera"]) as visitor:
        assert "<script>alert" not in visitor.get("/routing", params={"service": "<script>alert(1)</script>"}).text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"custom": "no colon"}, "a colon and the value"),
        ({"custom": "cluster:"}, "1 to 512 characters"),
        ({"service": "x" * 600}, "1 to 512 characters"),
        ({"service": ",".join("abcdefgh" for _ in range(70))}, "64 identifiers"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_said(desk: Desk, estate: Estate, asked: dict[str, str], words: str) -> None:
    status, page = answer(desk, estate.tokens["vera"], **asked)
    assert status in {400, 422}
    assert words in page
    assert "Who owns what" in page


def test_who_owns_what(desk: Desk, estate: Estate) -> None:
    _, page = answer(desk, estate.tokens["vera"])
    assert listed(page) == [
        ("orbit/billing", "GitHub repository", "billing"),
        ("checkout", "Service", "checkout"),
        ("payments", "Service", "checkout"),
        ("search", "Service", "search"),
        ("search-*", "Service pattern", "search"),
        ("C0CHECKOUT", "Slack channel", "checkout"),
    ]
    assert '<a href="/configuration/billing">billing</a>' in page
    assert "no default team is set" in page


def test_the_list_is_filtered_and_comes_in_pages(desk: Desk, estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    vera = estate.tokens["vera"]
    assert listed(answer(desk, vera, kind="service", team="checkout")[1]) == [
        ("checkout", "Service", "checkout"),
        ("payments", "Service", "checkout"),
    ]
    _, nothing = answer(desk, vera, kind="service", team="billing")
    assert listed(nothing) == []
    assert "Nothing of that kind or team" in nothing
    for wrong in ({"kind": "planet"}, {"team": "No Such!"}):
        status, page = answer(desk, vera, **wrong)
        assert (status, 'role="alert"' in page) == (422, True)
    status, page = answer(desk, vera, cursor="x")
    assert (status, "`next_cursor` of an earlier page" in page) == (422, True)
    monkeypatch.setattr(routing, "PER_PAGE", 2)
    seen, address = [], "/routing?kind=service"
    with desk.visitor(vera) as visitor:
        while address:
            page = html.unescape(visitor.get(address).text)
            seen.append([identifier for identifier, _, _ in listed(page)])
            found = re.search(r'href="([^"]+)" rel="next"', page)
            address = found[1] if found else ""
    assert seen == [["checkout", "payments"], ["search"]]
    assert "From the beginning" in page


def test_a_team_sees_its_own_identifiers(desk: Desk, estate: Estate) -> None:
    _, page = answer(desk, estate.tokens["tess"])
    assert "C0CHECKOUT" in page
    assert "orbit/billing" not in page
