"""A real browser for pages: Debian's Chromium, driven by Playwright; and what a page did in it that it should not."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium")
AXE = ROOT / "tools/page/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not there: apt-get install chromium")
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="axe is not there: make page")

_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
window.alerts = [];
window.alert = (text) => alerts.push(text);
"""


@dataclass
class Browsed:
    """An open page.

    Attributes:
        requests: URLs of all that it asked for.
        errors: what it logged as an error, or raised.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        """Return what its content security policy refused."""
        return self.page.evaluate("violations")

    def wait_until(self, claim: str) -> None:
        """Wait until an expression is true; Playwright's own way needs what the page's policy forbids."""
        for _ in range(200):
            if self.page.evaluate(claim):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"it never came true: {claim}")

    def axe(self) -> list[str]:
        """Return what axe finds against WCAG 2.2 AA, one line an element."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("(tags) => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", RULES)
        return [f"{each['id']}: {node['html'][:160]}" for each in found["violations"] for node in each["nodes"]]


@contextmanager
def browser() -> Iterator[Any]:
    """Run a browser."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - for tests with a browser only

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield running
        finally:
            running.close()


@contextmanager
def browsing(running: Any, url: str, *, size: tuple[int, int] = (1440, 900), theme: str = "light") -> Iterator[Browsed]:
    """Open a review page in a browser that remembers nothing, and wait until it is drawn."""
    width, height = size
    context = running.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, accept_downloads=True, reduced_motion="reduce"
    )
    try:
        context.add_init_script(_WATCH)
        browsed = Browsed(context.new_page())
        browsed.page.on("request", lambda request: browsed.requests.append(request.url))
        browsed.page.on("pageerror", lambda error: browsed.errors.append(str(error)))
        browsed.page.on(
            "console", lambda message: browsed.errors.append(message.text) if message.type == "error" else None
        )
        browsed.page.goto(url)
        browsed.page.wait_for_selector("[data-ready]", state="attached")
        yield browsed
    finally:
        context.close()
