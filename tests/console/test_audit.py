"""The page of the audit: searched, paged, exported; and what a team does not see of it."""

from __future__ import annotations

import json
import re

import pytest
from tests.console.conftest import Desk
from tests.console.estate import SECRET_VALUE, Estate


def actions(page: str) -> list[str]:
    return re.findall(r'/audit\?action=[^"]+"><code>([^<]+)</code>', page)


def test_events_are_searched_by_what_they_are_about(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["audrey"]) as audrey:
        everything = audrey.get("/audit")
        created = audrey.get("/audit?action=node.created&target=checkout&actor=service:platform")
        nothing = audrey.get("/audit?action=node")
        past = audrey.get("/audit?until=2020-01-01T00:00")
        recent = audrey.get("/audit?since=2020-01-01T00:00&action=node.created&target=checkout")
    assert len(actions(everything.text)) > 1
    assert actions(created.text) == actions(recent.text) == ["node.created"]
    assert "No event matches" in nothing.text
    assert "No event matches" in past.text
    assert SECRET_VALUE not in everything.text
    assert "sealed in a chain" in everything.text


def test_pages_follow_each_other_without_a_gap(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["audrey"]) as audrey:
        for _ in range(30):  # sign-ins are events: enough for two pages whatever ran before
            desk.sign_in_code(estate.tokens["vera"])
        seen: list[str] = []
        address: str | None = "/audit?action=sign_in_code.created"
        while address is not None:
            page = audrey.get(address).text
            seen += re.findall(r"<code>(aud_\w+)</code>", page)
            following = re.search(r'href="([^"]+)" rel="next"', page)
            address = following[1].replace("&amp;", "&") if following else None
    assert len(seen) == len(set(seen)) >= 30
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=yesterday", "A time is written"),
        ("team_node_id=No Team", "lower-case"),
        ("until=2026-13-01T00:00", "time"),
    ],
)
def test_odd_filters_are_said(desk: Desk, estate: Estate, query: str, words: str) -> None:
    with desk.visitor(estate.tokens["audrey"]) as audrey:
        page = audrey.get(f"/audit?{query}")
    assert page.status_code == 422
    assert words in page.text


def test_the_export_is_the_chain(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["audrey"]) as audrey:
        page = audrey.get("/audit")
        assert 'href="/audit/export?format=ndjson"' in page.text
        lines = audrey.get("/audit/export?format=ndjson")
        table = audrey.get("/audit/export?format=csv")
        wrong = [audrey.get("/audit/export?format=xml"), audrey.get("/audit/export?since=yesterday")]
    assert lines.headers["content-disposition"] == 'attachment; filename="audit-orbit.ndjson"'
    parsed = [json.loads(line) for line in lines.text.splitlines()]
    assert any("organisation.created" in json.dumps(line) for line in parsed)
    assert SECRET_VALUE not in lines.text + table.text
    assert table.headers["content-type"].startswith("text/csv")
    assert {answer.status_code for answer in wrong} <= {400, 422}


def test_a_team_sees_its_own_events_and_no_chain(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["tess"]) as tess:
        page = tess.get("/audit")
        refused = tess.get("/audit/export")
    assert page.status_code == 200
    assert "organisation.created" not in page.text
    assert set(re.findall(r"<dt>Team</dt><dd>([^<]+)</dd>", page.text)) == {"checkout"}
    assert "/audit/export" not in page.text
    assert "sealed in a chain" not in page.text
    assert refused.status_code == 403
    assert "text/html" in refused.headers["content-type"]


def test_who_may_not_see_the_audit_is_told(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["vera"]) as vera:
        page = vera.get("/audit")
        assert page.status_code == 403
        assert 'href="/audit"' not in vera.get("/runs").text
