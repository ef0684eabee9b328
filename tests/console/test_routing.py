"""The page of routing: who would get this, why, and everything that was tried."""

from __future__ import annotations

import html
import re

import pytest
from tests.console.conftest import Desk
from tests.console.estate import Estate


def answer(desk: Desk, token: str, **asked: str) -> tuple[int, str]:
    with desk.visitor(token) as visitor:
        page = visitor.get("/routing", params=asked)
    return page.status_code, html.unescape(page.text)


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
    rows = {
        name: re.findall(r'<code class="chip">([^<]+)</code>', row)
        for name, row in re.findall(r'owner-row">.*?/configuration/([^/]+)/document(.*?)</li>', page, re.DOTALL)
    }
    assert rows["search"] == ["search", "search-*"]
    assert rows["billing"] == ["orbit/billing"]
    assert "no default team is set" in page


def test_a_team_sees_its_own_identifiers(desk: Desk, estate: Estate) -> None:
    _, page = answer(desk, estate.tokens["tess"])
    assert "C0CHECKOUT" in page
    assert "orbit/billing" not in page
