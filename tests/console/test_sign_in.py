"""Signing in: a code once, a token for a session of its own, and a cookie that only the console can read."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from tests.console.conftest import OWN, Desk, console_settings
from tests.environment import Trusted

from incidentfox.console.main import create_app
from incidentfox.console.pages.sign_in import local_path
from incidentfox.console.session import Session, SessionCookie, VisitorCredential, acting_as
from incidentfox.contracts.permissions import Permission
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.crypto import Keyring, new_token
from incidentfox.kernel.errors import Unauthenticated
from incidentfox.kernel.ids import new_id

UNKNOWN = new_token("ift")  # well-formed, held by nobody


def session(**changed: object) -> Session:
    made = Session(
        token="ift_secret",
        subject="token:tok_1",
        org_id="acme",
        team_node_id=None,
        permissions=frozenset({Permission.RUNS_READ}),
        expires_at=utc_now() + timedelta(hours=1),
    )
    return made.model_copy(update=changed)


def request_with(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", cookie.encode())]})


def written(cookie: SessionCookie, content: Session) -> str:
    response = Response()
    cookie.write(response, content)
    return response.headers["set-cookie"]


def test_looking_at_the_link_does_not_use_it_up(desk: Desk) -> None:
    code = desk.sign_in_code()
    with desk.stranger() as preview, desk.stranger() as person:
        for _ in range(3):
            page = preview.get(f"/sign-in?code={code}")
            assert page.status_code == 200
            assert "set-cookie" not in page.headers
        response = person.post("/sign-in", data={"code": code}, headers=OWN)
        assert (response.status_code, response.headers["location"]) == (303, "/runs")
        assert person.get("/runs").status_code == 200


def test_a_code_signs_in_once(desk: Desk) -> None:
    code = desk.sign_in_code()
    with desk.stranger() as first, desk.stranger() as second:
        assert first.post("/sign-in", data={"code": code}, headers=OWN).status_code == 303
        refused = second.post("/sign-in", data={"code": code}, headers=OWN)
    assert refused.status_code == 401
    assert "used already or is too old" in refused.text
    assert code not in refused.text


def test_signing_in_leads_back_to_where_one_was_going(desk: Desk) -> None:
    address = f"/runs/{new_id('run')}?x=1"
    with desk.stranger() as stranger:
        page = stranger.get("/sign-in", params={"code": "c", "next": address})
        assert f'name="next" value="{address}"' in page.text
        response = stranger.post("/sign-in", data={"token": desk.admin_token, "next": address}, headers=OWN)
    assert response.headers["location"] == address


def test_the_token_itself_is_not_kept(desk: Desk) -> None:
    """The session is a token of its own: signing out must not revoke what the person pasted."""
    with desk.visitor() as visitor:
        assert visitor.post("/sign-out", headers=OWN).status_code == 303
    with desk.visitor() as again:
        assert again.get("/runs").status_code == 200


@pytest.mark.parametrize("token", ["", "nonsense", UNKNOWN, "ift_" + "x" * 49], ids=len)
def test_an_unknown_token_is_refused_in_words(desk: Desk, token: str) -> None:
    with desk.stranger() as stranger:
        page = stranger.post("/sign-in", data={"token": token}, headers=OWN)
    assert page.status_code == 401
    assert "unknown, expired or revoked" in page.text
    assert 'role="alert"' in page.text
    assert not token or token not in page.text


@pytest.mark.parametrize(
    "target",
    ["//evil.com", "/\\evil.com", "https://evil.com", "evil", "", "javascript:x", "/a\nb", "/\t/evil", "/sign-out"],
)
def test_no_link_leads_out_of_the_console(target: str) -> None:
    assert local_path(target) == "/runs"


def test_paths_of_the_console_are_kept() -> None:
    assert local_path("/runs?status=failed&team=a%20b") == "/runs?status=failed&team=a%20b"


def test_cookie_opens_only_with_its_key() -> None:
    mine, other = (SessionCookie(Keyring("s1", {"s1": bytes([n]) * 32}), secure=False) for n in (1, 2))
    cookie = written(mine, session()).split(";")[0]
    assert mine.read(request_with(cookie)) is not None
    assert other.read(request_with(cookie)) is None
    assert "ift_secret" not in base64.urlsafe_b64decode(cookie.partition("=")[2].strip('"')).decode("latin-1")


def test_a_changed_cookie_is_no_session() -> None:
    cookie = SessionCookie(Keyring("s1", {"s1": bytes(32)}), secure=False)
    name, _, value = written(cookie, session()).split(";")[0].partition("=")
    for broken in (value[:-8] + "AAAAAAA=", value[4:], "", "%%%", "eA=="):
        assert cookie.read(request_with(f"{name}={broken}")) is None


def test_an_expired_session_is_none() -> None:
    cookie = SessionCookie(Keyring("s1", {"s1": bytes(32)}), secure=False)
    sealed = written(cookie, session(expires_at=utc_now() - timedelta(seconds=1)))
    assert cookie.read(request_with(sealed.split(";")[0])) is None


def test_cookie_attributes() -> None:
    keyring = Keyring("s1", {"s1": bytes(32)})
    plain = written(SessionCookie(keyring, secure=False), session()).lower()
    secure = written(SessionCookie(keyring, secure=True), session()).lower()
    for cookie in (plain, secure):
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "path=/" in cookie
        assert "max-age=35" in cookie
    assert "secure" not in plain
    assert secure.startswith("__host-")
    assert "secure" in secure.split("; ")


def test_the_clients_act_as_nobody_unless_told() -> None:
    credential = VisitorCredential()
    with pytest.raises(Unauthenticated):
        credential.bearer("config-service", Permission.RUNS_READ, None)
    with acting_as("ift_x"):
        assert credential.bearer("config-service", Permission.RUNS_READ, None) == "ift_x"
        with acting_as(None), pytest.raises(Unauthenticated):
            credential.bearer("config-service", Permission.RUNS_READ, None)


def test_while_the_config_service_is_away_a_link_is_kept(trusted: Trusted) -> None:
    away = create_app(console_settings(trusted, "http://127.0.0.1:1", "http://testserver"))
    browser = TestClient(away, headers={"Accept": "text/html"})
    page = browser.post("/sign-in", data={"code": "a-code", "next": "/incidents"}, headers=OWN)
    assert page.status_code == 503
    assert 'name="code" value="a-code"' in page.text
    assert 'name="next" value="/incidents"' in page.text


def test_while_the_config_service_is_away_signing_out_still_empties_the_browser(trusted: Trusted) -> None:
    settings = console_settings(trusted, "http://127.0.0.1:1", "http://testserver")
    browser = TestClient(create_app(settings), headers={"Accept": "text/html"}, follow_redirects=False)
    cookie = written(SessionCookie(settings.session_keyring(), secure=False), session())
    name, _, value = cookie.split(";")[0].partition("=")
    browser.cookies.set(name, value)
    page = browser.post("/sign-out", headers=OWN)
    assert page.status_code == 503
    assert "could not revoke the session" in page.text
    assert 'incidentfox=""' in page.headers["set-cookie"]
