"""The forms of the tree and of secrets in a real browser without script: the whole way of a team, and of a secret.

Screenshots go where those of test_browser.py go.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.console.browsing import CHROMIUM, DESKTOP, NO_BROWSER, PHONE, Scheme, Visits
from tests.console.conftest import Desk
from tests.console.estate import ORG, Estate

from incidentfox.kernel.errors import NotFound
from incidentfox.kernel.ids import new_id

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=NO_BROWSER)

PLANTED = "planted-Vx83-value"
LOOKS: tuple[tuple[tuple[int, int], Scheme], ...] = ((DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"))

Look = Callable[[Page, str], None]


@pytest.fixture
def look(screenshots: Path) -> Look:
    """Sees that nothing of a page is wider than the screen; where pictures are asked for, takes them in every light."""

    def take(page: Page, name: str) -> None:
        for size, scheme in LOOKS if os.environ.get("INCIDENTFOX_SCREENSHOTS") else LOOKS[-1:]:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_load_state()  # what a form led to may not have arrived
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], f"{name} is {width} px wide"
            if os.environ.get("INCIDENTFOX_SCREENSHOTS"):
                suffix = "" if size == DESKTOP else "-phone"
                page.screenshot(path=screenshots / f"{name}-{scheme}{suffix}.png", full_page=True)
        page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})

    return take


def press(page: Page, name: str) -> None:
    """Reaches a button with the Tab key and presses it, as somebody without a mouse does."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"Tab does not reach {name!r}")


def test_a_team_is_created_moved_archived_restored_and_deleted_with_the_keyboard(
    desk: Desk, estate: Estate, visits: Visits, look: Look
) -> None:
    name = f"Depot {new_id('run')[-6:]}"
    node_id = name.lower().replace(" ", "-")
    page = visits.page(desk, token=estate.tokens["mira"], script=False)
    page.goto("/configuration/shops")
    look(page, "node-of-a-unit")
    page.get_by_role("link", name="Create below").click()
    look(page, "create")
    press(page, "Review")
    expect(page.locator("#name")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was created")
    look(page, "create-refused")
    page.locator("#name").fill(name)
    page.locator("#id").fill("")
    page.locator("#id").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Create the team {name}?")
    look(page, "create-review")
    press(page, "Create it")
    expect(page.get_by_role("status")).to_have_text("It is created.")

    page.get_by_role("link", name="Manage").click()
    look(page, "manage")
    page.locator("#name").fill(f"{name} North")
    page.locator("#name").press("Enter")
    look(page, "rename")
    press(page, "Rename it")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{name} North")

    page.get_by_role("link", name="Manage").click()
    page.get_by_label("Below").select_option("back-office")
    page.get_by_role("button", name="Review the move").click()
    expect(page.get_by_role("heading", name="1 team is affected")).to_be_visible()
    look(page, "move")
    press(page, "Move it")
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_contain_text("Back office")

    for step, button in (("Review archiving", "Archive it"), ("Review restoring", "Restore it")):
        page.get_by_role("link", name="Manage").click()
        page.get_by_role("link", name=step).click()
        look(page, button.split()[0].lower())
        press(page, button)
        expect(page.get_by_role("status")).to_contain_text(f"It is {button.split()[0].lower()}d")

    page.get_by_role("link", name="Manage").click()
    page.get_by_role("link", name="See what would fall").click()
    page.get_by_label("To confirm, type its id").fill("something-else")
    press(page, "Delete it for good")
    expect(page.locator("#typed")).to_have_attribute("aria-invalid", "true")
    look(page, "delete-mistyped")
    page.get_by_label("To confirm, type its id").fill(node_id)
    press(page, "Delete it for good")
    expect(page.get_by_role("heading", level=1)).to_have_text("Back office")
    expect(page.get_by_role("status")).to_contain_text("is deleted")
    with pytest.raises(NotFound):
        desk.run(desk.platform.node(ORG, node_id))
    assert [error for error in visits.errors if "422" not in error] == []


def test_a_secret_is_written_replaced_and_deleted_and_its_value_is_nowhere(
    desk: Desk, estate: Estate, visits: Visits, look: Look
) -> None:
    page = visits.page(desk, token=estate.tokens["ed"])
    pages: list[str] = []
    page.on("response", lambda response: pages.append(response.url + str(response.all_headers())))
    page.on("load", lambda page: pages.append(page.url + page.content()))
    page.goto("/configuration/search/secrets")
    expect(page.get_by_role("row").filter(has_text="slack-bot")).to_contain_text("/integrations/slack/bot_token")
    page.get_by_role("link", name="Override here the secret slack-bot").click()
    expect(page.locator("#name")).to_have_value("slack-bot")
    page.locator("#name").fill("Slack bot")
    page.get_by_label("Value", exact=True).fill(PLANTED)
    page.get_by_label("Value", exact=True).press("Enter")
    expect(page.get_by_text("A name begins with a lower-case letter")).to_be_visible()
    expect(page.get_by_label("Value", exact=True)).to_have_value("")
    look(page, "secrets-refused")
    page.locator("#name").fill("slack-bot")
    page.get_by_label("Value", exact=True).fill(PLANTED)
    page.get_by_label("Value", exact=True).press("Enter")
    expect(page.get_by_role("status")).to_have_text("The secret slack-bot is written.")
    own = page.get_by_role("row").filter(has_text="instead of that of orbit")
    expect(own).to_contain_text("/integrations/slack/bot_token")
    look(page, "secrets")
    page.get_by_role("link", name="Replace slack-bot").click()
    expect(page.get_by_role("heading", name="1 team refers to it")).to_be_visible()
    look(page, "secret-replace")
    page.get_by_label("New value").fill(f"{PLANTED}-2")
    page.get_by_role("button", name="Replace it").click()
    expect(page.get_by_role("status")).to_have_text("The secret slack-bot is replaced.")
    page.go_back()
    assert PLANTED not in page.content()
    assert PLANTED not in page.get_by_label("New value").input_value()
    page.go_forward()
    page.get_by_role("link", name="Delete slack-bot").click()
    expect(page.get_by_text("From then on it gets the secret of the same name of orbit")).to_be_visible()
    look(page, "secret-delete")
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("status")).to_have_text("The secret slack-bot is deleted.")
    assert desk.run(desk.platform.secrets(ORG, "search")).items == ()
    assert len(pages) > 5
    assert not any(PLANTED in text for text in pages)
    assert [error for error in visits.errors if "422" not in error] == []


def test_the_secrets_of_an_organisation_and_what_their_deletion_warns_of(
    desk: Desk, estate: Estate, visits: Visits, look: Look
) -> None:
    page = visits.page(desk, token=estate.tokens["mira"])
    page.goto(f"/configuration/{ORG}/secrets/model-key/delete")
    expect(page.get_by_role("heading", name="teams refer to it")).to_be_visible()
    expect(page.get_by_role("link", name="checkout")).to_be_visible()
    expect(page.get_by_text("No level above has a secret of this name")).to_be_visible()
    look(page, "secret-delete-last")
    page.get_by_role("link", name="Cancel").click()
    look(page, "secrets-of-the-organisation")
    assert visits.errors == []
