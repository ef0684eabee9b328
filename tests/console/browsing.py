"""Debian's Chromium, and signed-in pages in it that note every error of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import Browser, BrowserContext, Page, expect

if TYPE_CHECKING:
    from tests.console.conftest import Desk

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1360, 900), (390, 844)
PATIENCE_MS = 15_000
NO_BROWSER = f"no browser: {CHROMIUM} is not installed"
Scheme = Literal["light", "dark"]

expect.set_options(timeout=PATIENCE_MS)


class Visits:
    """Signed-in pages that note every error of theirs: a refused style or script is one."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.errors: list[str] = []

    def page(
        self,
        desk: Desk,
        url: str | None = None,
        *,
        token: str | None = None,
        size: tuple[int, int] = DESKTOP,
        scheme: Scheme = "light",
        script: bool = True,
    ) -> Page:
        """A page at the list of runs, signed in by a link as people are."""
        context = self._browser.new_context(
            base_url=url or desk.url,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"/sign-in?code={desk.sign_in_code(token)}")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/runs")
        return page

    def close(self) -> None:
        """Closes what was opened."""
        for context in self._contexts:
            context.close()
