"""`python -m tools.pictures FOLDER`: take the docs' pictures of the review page that the demo made in FOLDER.

`make pictures` runs the demo first. Needs Chromium.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parents[1] / "docs"
CHROMIUM = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars"]


class Picture(NamedTuple):
    """A picture to take: its name, the size of the window, the theme, and what is done before."""

    name: str
    width: int
    height: int
    theme: str
    act: Callable[[Any], object]


def _look(page: Any) -> None:
    page.locator(".take .frame").nth(1).hover(position={"x": 130, "y": 60})


def _compare(page: Any) -> None:
    page.locator(".is-retake .open, .take .open").first.click()
    page.wait_for_timeout(1_500)
    page.keyboard.press("c")
    page.wait_for_timeout(700)
    page.keyboard.press("k")


def _chart(page: Any) -> None:
    page.get_by_text("Charts").click()
    page.wait_for_selector(".plot svg")


PICTURES: Sequence[Picture] = (
    Picture("review-board", 1_440, 1_000, "dark", _look),
    Picture("review-viewer", 1_440, 900, "light", _compare),
    Picture("review-charts", 1_440, 1_080, "light", _chart),
    Picture("review-phone", 390, 844, "dark", lambda _: None),
)


def main() -> int:
    """Take all pictures of a page."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where help is asked for, it need not be there

    index = Path(sys.argv[1], "index.html").resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        for name, width, height, theme, act in PICTURES:
            page: Any = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
            page.goto(index.as_uri())
            page.wait_for_selector("[data-ready]", state="attached")
            page.wait_for_timeout(500)
            act(page)
            page.wait_for_timeout(300)
            page.screenshot(path=DOCS / f"{name}.jpg", type="jpeg", quality=82)
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
