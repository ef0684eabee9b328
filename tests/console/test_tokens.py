"""The page of tokens: made and shown once, replaced, revoked; and what nobody may give."""

from __future__ import annotations

import html
import re

import httpx2
import pytest
from tests.console.conftest import OWN, Desk
from tests.console.estate import ORG, Estate

from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.clients.transport import TokenCredential
from incidentfox.contracts.tokens import Caller
from incidentfox.kernel.errors import Unauthenticated
from incidentfox.kernel.ids import new_id


def form(page: httpx2.Response, **typed: str) -> dict[str, str]:
    """The form for a new token, with its key."""
    key = re.search(r'name="key" value="([^"]+)"', page.text)
    assert key is not None
    return {"name": "ci", "role": "viewer", "node": ORG, "user": "", "lifetime": "2592000", "key": key[1], **typed}


def secret_in(page: httpx2.Response) -> str:
    found = re.search(r'class="secret"><code>([^<]+)</code>', page.text)
    assert found is not None, page.text
    return found[1]


def token_id_of(page: httpx2.Response, name: str) -> str:
    row = re.search(rf"<b>{name}</b>(?:(?!</tr>).)*?/tokens/(tok_\w+)/revoke", page.text, re.DOTALL)
    assert row is not None, page.text
    return row[1]


def caller(desk: Desk, secret: str) -> Caller:
    async def ask() -> Caller:
        client = ConfigServiceClient(desk.config_service_url, TokenCredential(secret))
        try:
            return await client.me()
        finally:
            await client.close()

    return desk.run(ask())


def test_made_shown_once_replaced_and_revoked(desk: Desk, estate: Estate) -> None:
    name = new_id("run")
    with desk.visitor(estate.tokens["mira"]) as mira:
        made = mira.post("/tokens", data=form(mira.get("/tokens"), name=name, node="shops", user="nina"), headers=OWN)
        assert made.status_code == 200
        assert made.headers["cache-control"] == "no-store"
        secret = secret_in(made)
        assert (caller(desk, secret).subject, caller(desk, secret).team_node_id) == ("user:nina", "shops")
        listed = mira.get("/tokens")
        assert secret not in listed.text
        token_id = token_id_of(listed, name)

        asked = mira.get(f"/tokens/{token_id}/rotate")
        assert "a new token with the same rights" in asked.text
        replaced = mira.post(f"/tokens/{token_id}/rotate", data={"overlap": "3600"}, headers=OWN)
        successor = secret_in(replaced)
        assert caller(desk, successor).subject == caller(desk, secret).subject
        again = mira.post(f"/tokens/{token_id}/rotate", data={"overlap": "0"}, headers=OWN)
        assert again.status_code == 409
        assert "rotated before" in again.text
        assert "Being replaced" in mira.get("/tokens").text

        assert "stops working at once" in mira.get(f"/tokens/{token_id}/revoke").text
        revoked = mira.post(f"/tokens/{token_id}/revoke", headers=OWN)
        assert revoked.headers["location"] == "/tokens?done=revoked"
        assert f"/tokens/{token_id}/revoke" not in mira.get("/tokens").text
        assert "Revoked" in mira.get("/tokens?show=all").text
        with pytest.raises(Unauthenticated):
            caller(desk, secret)


def test_a_reload_makes_no_second_token(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["mira"]) as mira:
        sent = form(mira.get("/tokens"), name=new_id("run"))
        assert mira.post("/tokens", data=sent, headers=OWN).status_code == 200
        again = mira.post("/tokens", data=sent, headers=OWN)
        assert again.status_code == 409
        assert "created tok_" in again.text
        assert 'class="secret"' not in again.text
        assert mira.get("/tokens").text.count(f"<b>{sent['name']}</b>") == 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"name": "  "}, "a name of 1 to 200"),
        ({"user": "no body"}, "e-mail address or a handle"),
        ({"node": "No Node"}, "lower-case letters"),
        ({"node": "nowhere"}, "no node"),
        ({"role": "king"}, "Choose a role"),
        ({"role": "org_admin", "node": "shops"}, "for the organisation"),
    ],
    ids=str,
)
def test_what_cannot_be_made_is_said(desk: Desk, estate: Estate, typed: dict[str, str], words: str) -> None:
    with desk.visitor(estate.tokens["mira"]) as mira:
        page = mira.post("/tokens", data=form(mira.get("/tokens"), **typed), headers=OWN)
    assert page.status_code in {404, 422}
    assert words in html.unescape(page.text)
    assert 'class="secret"' not in page.text


def test_a_team_admin_gives_what_it_holds_where_it_holds_it(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["tess"]) as tess:
        page = tess.get("/tokens")
        assert re.findall(r'<option value="(\w+)"[^>]*>[A-Z][a-z ]+</option>', page.text)[:2] == [
            "team_admin",
            "editor",
        ]
        assert '<option value="org_admin"' not in page.text
        assert '<option value="auditor"' in page.text
        assert "jonas" not in page.text
        assert '<option value="search"' not in page.text
        beyond = tess.post("/tokens", data=form(page, node="search"), headers=OWN)
        above = tess.post("/tokens", data=form(page, node=ORG), headers=OWN)
        own = tess.post("/tokens", data=form(page, node="checkout"), headers=OWN)
    assert {beyond.status_code, above.status_code} <= {403, 404}
    assert caller(desk, secret_in(own)).team_node_id == "checkout"


def test_who_only_reads_sees_no_button(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["audrey"]) as audrey, desk.visitor(estate.tokens["vera"]) as vera:
        page = audrey.get("/tokens")
        assert "Make a token" not in page.text
        assert "/revoke" not in page.text
        assert audrey.post("/tokens", data={"name": "x", "role": "viewer"}, headers=OWN).status_code == 403
        assert vera.get("/tokens").status_code == 403
        assert 'href="/tokens"' not in vera.get("/configuration").text


def test_what_is_not_there_is_a_page(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["mira"]) as mira:
        for token_id in ("nonsense", "tok_01jd0000000000000000000000"):
            assert mira.get(f"/tokens/{token_id}/revoke").status_code == 404
            assert mira.post(f"/tokens/{token_id}/revoke", headers=OWN).status_code in {400, 404}
            assert mira.post(f"/tokens/{token_id}/rotate", headers=OWN).status_code in {400, 404}


def test_a_form_from_elsewhere_makes_and_ends_nothing(desk: Desk, estate: Estate) -> None:
    with desk.visitor(estate.tokens["mira"]) as mira:
        page = mira.get("/tokens")
        name = new_id("run")
        mira.post("/tokens", data=form(page, name=name), headers=OWN)
        own = token_id_of(mira.get("/tokens"), name)
        for address, data in (
            ("/tokens", form(page, key=new_id("idk"))),
            (f"/tokens/{own}/revoke", {}),
            (f"/tokens/{own}/rotate", {"overlap": "0"}),
        ):
            answer = mira.post(address, data=data, headers={"Sec-Fetch-Site": "same-site"})
            assert answer.status_code == 403
        assert token_id_of(mira.get("/tokens"), name) == own
