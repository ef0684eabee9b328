"""The console in a real browser, Debian's Chromium: what is seen, what is live, what the keyboard reaches.

Screenshots go to the folder that INCIDENTFOX_SCREENSHOTS names; to the test's temporary folder otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.console import investigation
from tests.console.browsing import CHROMIUM, DESKTOP, NO_BROWSER, PHONE, Scheme, Visits
from tests.console.conftest import Background, Desk, Served, console_settings, listener
from tests.environment import Trusted

from incidentfox.console.main import create_app
from incidentfox.contracts.events import AppendRunEvent, RunEventType
from incidentfox.kernel.clock import utc_now
from incidentfox.kernel.ids import new_id

README_HEIGHT = 1300  # verdict, evidence and plots: the picture that the README shows

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=NO_BROWSER)


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)])
def test_run_page_is_whole_in_every_light_and_width(
    desk: Desk, visits: Visits, screenshots: Path, scheme: Scheme, size: tuple[int, int]
) -> None:
    run_id = desk.solved_run()
    page = visits.page(desk, size=size, scheme=scheme)
    page.goto(f"/runs/{run_id}")
    expect(page.get_by_role("heading", name="orders transaction held open")).to_be_visible()
    expect(page.get_by_role("img", name="inventory_reserve_seconds_p99 of inventory")).to_be_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0], f"the page is {width} px wide"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(246, 245, 242)") == (scheme == "light")
    name = f"run-{scheme}" if size == DESKTOP else f"run-{scheme}-phone"
    page.screenshot(path=screenshots / f"{name}-whole.png", full_page=True)
    page.set_viewport_size({"width": size[0], "height": README_HEIGHT})
    page.screenshot(path=screenshots / f"{name}.png")
    assert visits.errors == []


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_a_run_is_cancelled_from_its_page(
    desk: Desk, visits: Visits, screenshots: Path, scheme: Scheme, size: tuple[int, int]
) -> None:
    run_id = desk.new_run()
    page = visits.page(desk, size=size, scheme=scheme)
    page.goto(f"/runs/{run_id}")
    page.get_by_text("Cancel this run").click()
    page.get_by_label("Reason").fill("A false alarm: the load test of Tuesday")
    page.evaluate("document.querySelector('[data-region=verdict]').dataset.seen = 'yes'")
    desk.append(run_id, investigation.events(run_id, finished=False))
    expect(page.locator("[data-region=verdict][data-seen]")).to_have_count(0)
    expect(page.get_by_label("Reason")).to_have_value("A false alarm: the load test of Tuesday")
    page.screenshot(path=screenshots / f"run-cancel-{scheme}.png")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0], f"the page is {width} px wide"
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("heading", name="Cancelled without a verdict")).to_be_visible()
    expect(page.get_by_text("A false alarm: the load test of Tuesday").first).to_be_visible()
    page.screenshot(path=screenshots / f"run-cancelled-{scheme}.png")
    assert visits.errors == []


def test_other_pages_look_right(desk: Desk, visits: Visits, screenshots: Path) -> None:
    desk.solved_run()
    page = visits.page(desk)
    page.screenshot(path=screenshots / "runs.png")
    page.goto("/nowhere")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    page.screenshot(path=screenshots / "failure.png")


def test_evidence_opens_the_tool_call_that_it_rests_on(desk: Desk, visits: Visits) -> None:
    run_id = desk.solved_run()
    page = visits.page(desk)
    page.goto(f"/runs/{run_id}")
    details = page.locator("#call-c3-details")
    expect(details).not_to_have_attribute("open", "")
    page.locator("#evidence-2 a.cite").click()
    expect(details).to_have_attribute("open", "")
    expect(page.locator("#call-c3 mark").first).to_be_in_viewport()
    details.locator("summary").first.click()
    page.locator("#evidence-2 a.cite").click()
    expect(details).to_have_attribute("open", "")
    assert visits.errors == []


def test_keyboard_alone_is_enough(desk: Desk, visits: Visits) -> None:
    run_id = desk.solved_run()
    page = visits.page(desk)
    page.goto(f"/runs/{run_id}")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    expect(page.get_by_text("Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.locator("details[open]").count() == 0
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#evidence-1 a.cite')"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#call-c1-details")).to_have_attribute("open", "")
    expect(page.locator("#call-c1-details > summary")).to_be_focused()


def test_a_run_is_followed_live_to_its_verdict(desk: Desk, visits: Visits, screenshots: Path) -> None:
    run_id = desk.new_run()
    whole = investigation.events(run_id)
    begun = investigation.events(run_id, finished=False)
    desk.append(run_id, begun)
    page = visits.page(desk)
    page.goto(f"/runs/{run_id}")
    expect(page.locator("live-run")).to_have_text("Live")
    expect(page.locator("#call-c3")).to_contain_text("running")
    page.locator("#call-c1-details > summary").click()
    page.evaluate("document.body.dataset.stayed = 'yes'")
    page.screenshot(path=screenshots / "run-live.png")

    desk.append(run_id, whole[len(begun) : len(begun) + 3])
    expect(page.locator("#call-c3")).not_to_contain_text("running")
    expect(page.locator("#call-c4")).to_contain_text("find_log_patterns")

    ready = next(index for index, event in enumerate(whole) if event.type is RunEventType.ANSWER_READY)
    desk.append(run_id, whole[len(begun) + 3 : ready + 1])
    expect(page.get_by_role("heading", name="orders transaction held open")).to_be_visible()

    desk.append(run_id, whole[ready + 1 : -1])
    desk.post(run_id)
    desk.finish(run_id, investigation.answer(run_id))
    expect(page.locator("live-run")).to_have_text("Finished")
    expect(page.locator(".run-meta")).to_contain_text("Cause found")
    expect(page.locator("[data-region=verdict]").get_by_role("link", name="Slack #inc-4711")).to_be_visible()
    expect(page.locator("#call-c1")).to_contain_text("cited by evidence 1")
    expect(page.locator("#call-c1-details")).to_have_attribute("open", "")
    assert page.evaluate("document.body.dataset.stayed") == "yes", "the page was not loaded again"
    ids = page.evaluate("[...document.querySelectorAll('.entry')].map((entry) => entry.id)")
    assert len(ids) == len(set(ids))
    assert visits.errors == []


def test_a_page_that_was_cut_off_goes_on_where_it_was(
    desk: Desk, background: Background, trusted: Trusted, visits: Visits
) -> None:
    run_id = desk.new_run()
    whole = investigation.events(run_id)
    desk.append(run_id, whole[:4])
    opened, url = listener()
    port = opened.getsockname()[1]
    settings = console_settings(trusted, desk.config_service_url, url)
    console = Served(background, create_app(settings), opened)
    page = visits.page(desk, url)
    page.goto(f"/runs/{run_id}")
    expect(page.locator("live-run")).to_have_text("Live")
    console.stop()
    expect(page.locator("live-run")).to_have_text("Reconnecting")
    desk.append(run_id, whole[4:7])
    again, _ = listener(port)
    console = Served(background, create_app(settings), again)
    try:
        expect(page.locator("#call-c1")).to_contain_text("rank_anomalies")
        expect(page.locator("live-run")).to_have_text("Live")
        keys = page.evaluate("[...document.querySelectorAll('.entry')].map((entry) => entry.id)")
        assert len(keys) == len(set(keys)) == 6
    finally:
        console.stop()


def test_hostile_events_run_nothing(desk: Desk, visits: Visits) -> None:
    hostile = '<img src=x onerror="globalThis.owned=1"><script>globalThis.owned=1</script>'
    run_id = desk.new_run()
    page = visits.page(desk)
    page.goto(f"/runs/{run_id}")
    expect(page.locator("live-run")).to_have_text("Live")
    about = {"tool_call_id": hostile, "tool": hostile}
    for kind, data in (
        (RunEventType.TOOL_CALLED, {**about, "arguments": {hostile: hostile}}),
        (RunEventType.TOOL_RETURNED, {**about, "result": {hostile: [{hostile: hostile}]}, "is_error": False}),
        (RunEventType.CLAIM_DROPPED, {"claim": hostile, "reason": hostile}),
    ):
        desk.append(run_id, [AppendRunEvent(event_key=new_id("evt"), type=kind, at=utc_now(), data=data)])
    expect(page.locator(".entry-note")).to_have_text(hostile)
    assert page.evaluate("globalThis.owned") is None
    assert page.locator(".entry img, .entry script").count() == 0
    refused = page.evaluate("""() => { try { document.body.innerHTML = '<b>x</b>'; } catch { return true; } }""")
    assert refused, "Trusted Types are enforced: no string becomes markup"


def test_without_script_everything_but_the_live_part_is_there(desk: Desk, visits: Visits) -> None:
    run_id = desk.new_run()
    desk.append(run_id, investigation.events(run_id, finished=False))
    page = visits.page(desk, script=False)
    page.goto(f"/runs/{run_id}")
    expect(page.get_by_role("link", name="Refresh")).to_be_visible()
    page.locator("#call-c1-details > summary").click()
    expect(page.locator("#call-c1 table").first).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def test_the_list_keeps_itself_current(desk: Desk, visits: Visits) -> None:
    desk.new_run()
    page = visits.page(desk)
    expect(page.locator("live-page")).to_have_text("Live")
    fresh = desk.new_run()
    expect(page.locator(f'a[href="/runs/{fresh}"]')).to_be_visible()


def test_nothing_moves_while_the_page_loads(desk: Desk, visits: Visits) -> None:
    run_id = desk.solved_run()
    page = visits.page(desk)
    page.goto(f"/runs/{run_id}")
    shift = page.evaluate(
        """() => new Promise((resolve) => {
          let sum = 0;
          new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value; })
            .observe({ type: "layout-shift", buffered: true });
          requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(sum), 0)));
        })"""
    )
    assert shift <= 0.01


def test_motion_is_reduced_on_request(desk: Desk, visits: Visits) -> None:
    run_id = desk.new_run()
    page = visits.page(desk)
    page.goto(f"/runs/{run_id}")
    assert page.evaluate("getComputedStyle(document.querySelector('.spin')).animationName") == "none"
