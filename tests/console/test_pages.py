"""The pages over HTTP: what stands on them, what escapes, who may see them."""

from __future__ import annotations

import re
from itertools import pairwise

import httpx2
import pytest
from tests.console import investigation
from tests.console.conftest import HTML, ORG, OWN, Desk

from incidentfox.contracts.answer import NextStep
from incidentfox.contracts.events import AppendRunEvent, RunEventType
from incidentfox.contracts.permissions import Role
from incidentfox.contracts.tokens import CreateToken
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.ids import new_id

ABSENT_RUN = "run_01jd0000000000000000000000"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}"


def test_front_page_leads_to_the_runs(desk: Desk) -> None:
    with desk.stranger() as stranger:
        response = stranger.get("/")
    assert (response.status_code, response.headers["location"]) == (303, "/runs")


def test_run_page_shows_the_whole_answer(desk: Desk) -> None:
    run_id = desk.solved_run()
    with desk.visitor() as visitor:
        page = visitor.get(f"/runs/{run_id}")
    assert page.status_code == 200
    for words in (
        "Root cause",
        "transaction held open",
        "calls the payment provider inside the database transaction",
        "Roll the change back",
        "High confidence",
        investigation.POST_URL,
        "1 claim was dropped",
        "The latest deploy, but it went live after the onset",
        "orders 7c1e9a40d2 goes live",
        "pagerduty_service PSHOP01 belongs to team shop-sre",
        run_id,
        "7 model requests, 6 tool calls",
    ):
        assert words in page.text, words


def test_each_claim_links_to_its_tool_call_and_back(desk: Desk) -> None:
    run_id = desk.solved_run()
    with desk.visitor() as visitor:
        text = visitor.get(f"/runs/{run_id}").text
    linked = re.findall(r'class="cite" href="#(call-[^"]+)"', text)
    assert linked == ["call-c1", "call-c3", "call-c5", "call-c4"]
    for anchor in linked:
        assert f'id="{anchor}"' in text
    assert set(re.findall(r'href="#(evidence-\d)"', text)) == {f"evidence-{number}" for number in (1, 2, 3, 4)}


def test_excerpts_are_marked_in_the_results(desk: Desk) -> None:
    run_id = desk.solved_run()
    with desk.visitor() as visitor:
        text = visitor.get(f"/runs/{run_id}").text
    assert "<mark>idle in transaction</mark>" in text
    assert "<mark>canceling statement due to lock timeout</mark>" in text


def test_ids_are_unique(desk: Desk) -> None:
    run_id = desk.solved_run()
    with desk.visitor() as visitor:
        ids = re.findall(r'\sid="([^"]+)"', visitor.get(f"/runs/{run_id}").text)
    assert len(ids) == len(set(ids))


def test_headings_do_not_skip_a_level(desk: Desk) -> None:
    run_id = desk.solved_run()
    with desk.visitor() as visitor:
        for address in (f"/runs/{run_id}", "/runs", "/sign-in"):
            levels = [int(level) for level in re.findall(r"<h([1-6])", visitor.get(address).text)]
            assert levels[:1] in ([1], [])
            assert all(after <= before + 1 for before, after in pairwise(levels)), address


def test_a_run_without_a_verdict_says_so(desk: Desk) -> None:
    run_id = desk.new_run(team="payments-sre")
    desk.finish(run_id, investigation.undecided(run_id), team="payments-sre")
    with desk.visitor() as visitor:
        page = visitor.get(f"/runs/{run_id}").text
    assert "Not enough evidence" in page
    assert "so none is named" in page


def test_a_failed_run_says_why(desk: Desk) -> None:
    run_id = desk.new_run()
    desk.finish(run_id, None, error="The model provider did not answer in time.")
    with desk.visitor() as visitor:
        page = visitor.get(f"/runs/{run_id}").text
    assert "Failed without a verdict" in page
    assert "The model provider did not answer in time." in page


def test_a_run_that_goes_on_is_cancelled_with_a_reason(desk: Desk) -> None:
    run_id = desk.new_run()
    with desk.visitor() as visitor:
        assert f'action="/runs/{run_id}/cancel"' in visitor.get(f"/runs/{run_id}").text
        answer = visitor.post(f"/runs/{run_id}/cancel", data={"reason": "A <b>false</b> alarm"}, headers=OWN)
        page = visitor.get(f"/runs/{run_id}").text
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run_id}")
    assert "Cancelled without a verdict" in page
    assert "A &lt;b&gt;false&lt;/b&gt; alarm" in page
    assert f'action="/runs/{run_id}/cancel"' not in page


def test_a_run_that_is_over_or_posting_is_not_cancelled(desk: Desk) -> None:
    over, posting = desk.new_run(), desk.new_run()
    desk.finish(over, None, error="The model provider did not answer in time.")
    desk.post(posting)
    with desk.visitor() as visitor:
        refused = visitor.post(f"/runs/{over}/cancel", data={}, headers={**OWN, **HTML})
        assert f'action="/runs/{posting}/cancel"' not in visitor.get(f"/runs/{posting}").text
        late = visitor.post(f"/runs/{posting}/cancel", data={}, headers={**OWN, **HTML})
        assert (refused.status_code, late.status_code) == (303, 303)
        assert "It was over before it could be cancelled" in visitor.get(refused.headers["location"]).text
        assert "Too late to cancel it" in visitor.get(late.headers["location"]).text
        assert "notice" not in visitor.get(f"/runs/{over}?refused=%3Cb%3E").text


def test_who_may_not_cancel_a_run_is_not_offered_it(desk: Desk) -> None:
    run_id = desk.new_run()
    viewer = desk.run(desk.platform.create_token(ORG, CreateToken(name="viewer", role=Role.VIEWER)))
    with desk.visitor(viewer.secret) as visitor:
        assert f'action="/runs/{run_id}/cancel"' not in visitor.get(f"/runs/{run_id}").text
        assert visitor.post(f"/runs/{run_id}/cancel", data={}, headers={**OWN, **HTML}).status_code == 403


def test_a_run_that_goes_on_works_without_script(desk: Desk) -> None:
    run_id = desk.new_run()
    desk.append(run_id, investigation.events(run_id, finished=False))
    with desk.visitor() as visitor:
        page = visitor.get(f"/runs/{run_id}").text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert f'<a href="/runs/{run_id}">Refresh</a>' in page
    assert "Model asks for database_activity" in page


def test_a_quoted_runbook_stands_with_the_verdict(desk: Desk) -> None:
    run_id = desk.new_run()
    step = NextStep(
        claim="Orders: locks › Rolling back", tool_call_id="c9", excerpt="1. Roll back.", url="https://wiki.test/locks"
    )
    desk.finish(run_id, investigation.answer(run_id).model_copy(update={"next_steps": (step,)}))
    with desk.visitor() as visitor:
        page = visitor.get(f"/runs/{run_id}").text
    assert "Runbook: Orders: locks › Rolling back" in page
    assert '<blockquote class="excerpt">1. Roll back.</blockquote>' in page
    assert 'href="#call-c9"' in page
    assert 'href="https://wiki.test/locks" rel="noreferrer"' in page


def test_hostile_telemetry_stays_text(desk: Desk) -> None:
    content = investigation.alert()
    assert content.alert is not None
    alert = content.alert.model_copy(
        update={"title": HOSTILE, "summary": HOSTILE, "service": HOSTILE, "url": "javascript:alert(3)"}
    )
    run_id = desk.new_run(content=content.model_copy(update={"alert": alert}))
    about = {"tool_call_id": HOSTILE, "tool": HOSTILE}
    rows = [{HOSTILE: HOSTILE, "log": HOSTILE}]
    for kind, data in (
        (RunEventType.DELIVERY_ROUTED, {"team_node_id": HOSTILE, "reason": HOSTILE}),
        (RunEventType.MODEL_RESPONDED, {"model": HOSTILE, "text": HOSTILE, "tool_calls": [{"tool": HOSTILE}]}),
        (RunEventType.TOOL_CALLED, {**about, "arguments": {HOSTILE: HOSTILE}}),
        (RunEventType.TOOL_RETURNED, {**about, "result": {HOSTILE: HOSTILE, "rows": rows}, "is_error": False}),
        (RunEventType.CLAIM_DROPPED, {"claim": HOSTILE, "reason": HOSTILE, "tool_call_id": HOSTILE}),
        (RunEventType.EFFECT_DONE, {"destination": HOSTILE, "target": HOSTILE, "url": "javascript:alert(4)"}),
    ):
        desk.append(run_id, [AppendRunEvent(event_key=new_id("evt"), type=kind, at=utc_now(), data=data)])
    answer = investigation.answer(run_id)
    assert answer.root_cause is not None
    cause = answer.root_cause.model_copy(
        update={"service": HOSTILE, "kind": HOSTILE, "summary": HOSTILE, "change": HOSTILE}
    )
    claims = (answer.evidence[0].model_copy(update={"claim": HOSTILE, "excerpt": HOSTILE, "tool_call_id": HOSTILE}),)
    series = answer.plots[0].model_copy(update={"service": HOSTILE, "metric": HOSTILE})
    step = NextStep(claim=HOSTILE, tool_call_id=HOSTILE, excerpt=HOSTILE, url="javascript:alert(6)")
    changed = {"root_cause": cause, "evidence": claims, "plots": (series,), "blast_radius": (HOSTILE,)}
    changed |= {"next_steps": (step,)}
    desk.post(run_id, url="javascript:alert(5)")
    desk.finish(run_id, answer.model_copy(update=changed))
    with desk.visitor() as visitor:
        run_page, list_page = visitor.get(f"/runs/{run_id}").text, visitor.get("/runs").text
    for text in (run_page, list_page):
        assert "<script>" not in text
        assert "<img src=x" not in text
        assert "javascript:" not in text
        assert "&lt;script&gt;" in text


@pytest.mark.parametrize("address", ["/runs", "/incidents", f"/runs/{ABSENT_RUN}", "/runs?status=failed&team=x"])
def test_strangers_are_sent_to_sign_in_and_back(desk: Desk, address: str) -> None:
    with desk.stranger() as stranger:
        response = stranger.get(address)
    assert response.status_code == 303
    target = httpx2.URL(response.headers["location"])
    assert (target.path, target.params["next"]) == ("/sign-in", address)


def test_list_filters_by_state_and_team(desk: Desk) -> None:
    run_id = desk.new_run(team="payments-sre")
    desk.finish(run_id, None, error="gone wrong", team="payments-sre")
    solved = desk.solved_run()
    with desk.visitor() as visitor:
        failed = visitor.get("/runs?status=failed&team=payments-sre").text
        nothing = visitor.get("/runs?status=timed_out").text
    assert run_id in failed
    assert solved not in failed
    assert "No run matches" in nothing


def test_list_pages_to_older_runs(desk: Desk) -> None:
    oldest = desk.new_run()
    for _ in range(25):
        desk.new_run(started=False)
    with desk.visitor() as visitor:
        first = visitor.get("/runs?team=shop-sre").text
        older = re.search(r'href="([^"]+)" rel="next"', first)
        assert older is not None
        assert oldest not in first
        second = visitor.get(older.group(1).replace("&amp;", "&")).text
    assert oldest in second
    assert "Newest" in second


def test_a_team_sees_its_own_runs_only(desk: Desk) -> None:
    foreign = desk.new_run(team="shop-sre")
    own = desk.new_run(team="payments-sre")
    with desk.visitor(desk.team_token) as visitor:
        listed = visitor.get("/runs").text
        page = visitor.get(f"/runs/{foreign}")
        stream = visitor.get(f"/runs/{foreign}/events", headers={"Accept": "text/event-stream"})
    assert own in listed
    assert foreign not in listed
    assert page.status_code == 404
    assert stream.status_code == 404


def test_what_is_not_there_is_a_page_with_the_correlation_id(desk: Desk) -> None:
    with desk.visitor() as visitor:
        for address in (f"/runs/{new_id('run')}", "/runs/not-an-id", "/nowhere"):
            page = visitor.get(address)
            assert page.status_code in {400, 404}
            assert page.headers["x-correlation-id"] in page.text
            assert "text/html" in page.headers["content-type"]


def test_a_service_that_is_away_can_be_tried_again(desk: Desk) -> None:
    with desk.visitor() as visitor:
        page = visitor.get("/incidents")
    assert page.status_code == 503
    assert "Try again" in page.text
    assert page.headers["x-correlation-id"] in page.text


def test_programs_get_a_problem(desk: Desk) -> None:
    with desk.stranger() as stranger:
        response = stranger.get("/runs", headers={"Accept": "application/json"})
    assert response.status_code == 401
    assert response.json()["code"] == "unauthenticated"


def test_static_files_are_kept_for_good_under_their_hash(desk: Desk) -> None:
    with desk.stranger() as stranger:
        address = re.search(r'href="(/static/theme\.css\?v=\w+)"', stranger.get("/sign-in").text)
        assert address is not None
        kept = stranger.get(address.group(1))
        plain = stranger.get("/static/theme.css")
        missing = stranger.get("/static/..%2fmain.py")
    assert "immutable" in kept.headers["cache-control"]
    assert plain.headers["cache-control"] == "no-cache"
    assert missing.status_code == 404


def test_health_and_readiness(desk: Desk) -> None:
    with desk.stranger() as stranger:
        assert stranger.get("/healthz").json() == {"status": "ok", "service": "console"}
        assert stranger.get("/readyz").json() == {"status": "ready", "service": "console"}


def test_signing_out_revokes_the_session(desk: Desk) -> None:
    with desk.visitor() as visitor:
        stolen = dict(visitor.cookies)
        response = visitor.post("/sign-out", headers=OWN)
        assert response.headers["location"] == "/sign-in"
        assert visitor.get("/runs").status_code == 303
    with desk.stranger() as thief:
        thief.cookies.update(stolen)
        response = thief.get("/runs")
    assert response.headers["location"].startswith("/sign-in?")
