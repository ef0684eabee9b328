"""The pages of configuration in a real browser: the whole way of a change, alone and with a second person.

Screenshots go where those of test_browser.py go.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.console.browsing import CHROMIUM, DESKTOP, NO_BROWSER, PHONE, Scheme, Visits
from tests.console.conftest import Desk
from tests.console.estate import ORG, SECRET_VALUE, Estate

from incidentfox.contracts.tree import CreateNode, NodeKind
from incidentfox.kernel.ids import new_id

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=NO_BROWSER)

START: dict[str, Any] = {"budgets": {"run_usd": 1}, "models": {"small": {"provider": "offline"}}}
LOOKS: tuple[tuple[tuple[int, int], Scheme], ...] = ((DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"))
FARTHEST_SECTION = """
    () => Math.max(...[...document.querySelectorAll(".sections a")].map((link) => link.getBoundingClientRect().right))
"""
PAGES = {
    "tree": "/configuration",
    "node": "/configuration/checkout",
    "document": "/configuration/orbit/document",
    "edit": "/configuration/checkout/edit",
    "history": "/configuration/checkout/history",
    "changes": "/change-requests",
    "routing": "/routing?service=search-api,nope&slack_channel=C0CHECKOUT",
    "tokens": "/tokens",
    "audit": "/audit",
}


@pytest.fixture
def team(desk: Desk, estate: Estate) -> str:
    """A team of its own below `shops`, at version 1."""
    node_id = f"team-{new_id('run')[-8:]}"

    async def make() -> None:
        node = CreateNode(node_id=node_id, parent_id="shops", kind=NodeKind.TEAM, name="Payments")
        await desk.platform.create_node(ORG, node)
        await desk.platform.put_configuration(ORG, node_id, START)

    desk.run(make())
    return node_id


def write(page: Page, document: dict[str, Any]) -> None:
    """Types a document and asks for the review."""
    page.get_by_label("Document").fill(json.dumps(document, indent=2))
    page.get_by_role("button", name="Review the change").click()


def press_until(page: Page, selector: str) -> None:
    """Tabs until the element has the focus, as somebody without a mouse does."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_every_page_is_whole_in_every_light_and_width(
    desk: Desk, estate: Estate, visits: Visits, screenshots: Path
) -> None:
    page = visits.page(desk, token=estate.tokens["mira"])
    for name, address in PAGES.items():
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert SECRET_VALUE not in page.content()
        for size, scheme in LOOKS:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.emulate_media(color_scheme=scheme)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], f"{address} is {width} px wide"
            farthest = page.evaluate(FARTHEST_SECTION)
            assert farthest <= size[0], "the navigation is within sight"
            suffix = "" if size == DESKTOP else "-phone"
            page.screenshot(path=screenshots / f"{name}-{scheme}{suffix}.png", full_page=True)
    assert visits.errors == []


def test_a_change_is_written_reviewed_confirmed_and_taken_back_without_script(
    desk: Desk, estate: Estate, visits: Visits, screenshots: Path, team: str
) -> None:
    page = visits.page(desk, token=estate.tokens["ed"], script=False)
    page.goto(f"/configuration/{team}")
    page.get_by_role("link", name="Edit").click()
    write(page, {**START, "budgets": {"run_usd": 9}})
    expect(page.get_by_role("alert")).to_contain_text("at most 5")
    expect(page.locator(".is-at")).to_contain_text('"run_usd": 9')
    write(page, {**START, "budgets": {"run_usd": 3.5}})
    expect(page.get_by_role("heading", name="1 team is affected")).to_be_visible()
    expect(page.locator("ins").first).to_have_text("3.5")
    page.screenshot(path=screenshots / "review.png", full_page=True)
    page.get_by_role("button", name="Back to the editor").click()
    expect(page.get_by_label("Document")).to_have_value(json.dumps({**START, "budgets": {"run_usd": 3.5}}, indent=2))
    page.get_by_role("button", name="Review the change").click()
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("status")).to_have_text("Version 2 is in force.")
    page.get_by_role("link", name="What changed in version 2").click()
    expect(page.locator("del")).to_have_text("1")
    page.get_by_role("link", name="Back to the history").click()
    page.get_by_role("link", name="Return to it (version 1)").click()
    page.get_by_role("button", name="Return to version 1").click()
    expect(page.get_by_role("status")).to_have_text("Version 3 is in force.")
    assert desk.run(desk.platform.configuration(ORG, team)).document == START


def test_what_needs_approval_takes_two(
    desk: Desk, estate: Estate, visits: Visits, screenshots: Path, team: str
) -> None:
    ed = visits.page(desk, token=estate.tokens["ed"])
    ed.goto(f"/configuration/{team}/edit")
    write(ed, {**START, "agents": {"investigator": {"model": "small"}}})
    expect(ed.get_by_role("button", name="Save")).to_have_count(0)
    ed.get_by_label("What is it for?").fill("A smaller model is enough here")
    ed.screenshot(path=screenshots / "ask.png", full_page=True)
    ed.get_by_role("button", name="Ask for approval").click()
    expect(ed.get_by_text("You asked for this, so somebody else has to approve it.")).to_be_visible()
    expect(ed.get_by_role("button", name="Approve")).to_have_count(0)

    jonas = visits.page(desk, token=estate.tokens["jonas"])
    jonas.get_by_role("link", name="Changes").click()
    jonas.get_by_role("link", name="A smaller model is enough here").first.click()
    jonas.get_by_role("textbox", name="Comment").fill("Measured?")
    jonas.get_by_role("button", name="Comment", exact=True).click()
    expect(jonas.locator(".said")).to_have_text("Measured?")
    jonas.screenshot(path=screenshots / "change.png", full_page=True)
    jonas.get_by_role("button", name="Approve and apply").click()
    expect(jonas.get_by_role("status")).to_contain_text("Applied")
    ed.reload()
    expect(ed.get_by_role("status")).to_contain_text("by jonas")
    ed.goto(f"/configuration/{team}")
    row = ed.get_by_role("row").filter(has_text="investigator › model")
    expect(row).to_contain_text("needs approval")
    expect(row.get_by_role("link", name="approved")).to_be_visible()
    assert visits.errors == []


def test_the_keyboard_alone_writes_a_change(desk: Desk, estate: Estate, visits: Visits, team: str) -> None:
    page = visits.page(desk, token=estate.tokens["ed"])
    page.goto(f"/configuration/{team}")
    press_until(page, "a.node-edit")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Document")).to_be_visible()
    press_until(page, "#document")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(json.dumps({**START, "budgets": {"run_usd": 2}}))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Review the change", "Tab leaves the editor"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Review the change of Payments")).to_be_visible()
    press_until(page, f'button[formaction="/configuration/{team}/save"]')
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Version 2 is in force.")


def test_a_token_is_seen_once(desk: Desk, estate: Estate, visits: Visits, screenshots: Path) -> None:
    page = visits.page(desk, token=estate.tokens["mira"])
    page.get_by_role("link", name="Tokens").click()
    name = f"nightly report {new_id('run')[-6:]}"
    page.get_by_label("What it is for").fill(name)
    page.get_by_label("Where, with all below it").select_option("checkout")
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator(".secret code").inner_text()
    assert secret.startswith("ift_")
    page.locator(".secret").evaluate("(element) => { element.querySelector('code').textContent = 'ift_…'; }")
    page.screenshot(path=screenshots / "token-made.png")
    page.get_by_role("link", name="I have copied it").click()
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("In force")
    assert secret not in page.content()
    row.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)
    page.get_by_role("link", name="All").click()
    expect(page.get_by_role("row").filter(has_text=name)).to_contain_text("Revoked")
    assert visits.errors == []
