"""The site: it builds without a warning, asks no other host for anything, has a search, and shows every page."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pages import DOCS

NEEDED = ("sphinx", "furo", "myst_nb")


class Resources(HTMLParser):
    """Addresses that a browser fetches by itself, and links to pages."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        if tag == "a":
            self.links.add(values.get("href", ""))
        elif tag == "link" and values.get("rel") not in {"stylesheet", "icon", "preload"}:
            return
        else:
            self.fetched |= {values[name] for name in ("src", "href", "data") if name in values}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built where no host can be reached; skipped where `make docs` has not set up what it needs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"make docs installs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", str(DOCS), str(folder)]
    dead = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    ended = subprocess.run(command, env=os.environ | dead, capture_output=True, text=True, timeout=170, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_no_page_fetches_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = Resources(text).fetched
        assert not {address for address in fetched if re.match(r"(?:https?:)?//", address)}, page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_every_link_of_the_site_leads_to_a_file_that_is_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        for link in Resources(page.read_text(encoding="utf-8")).links:
            name = link.partition("#")[0]
            if name and not re.match(r"(?:https?|mailto):", name):
                assert (page.parent / name).exists(), f"{page.relative_to(site)}: {link}"


def test_the_search_knows_the_pages(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for title in ("A storyboard of your own", "A spreadsheet's traps", "Settings", "Analysing results"):
        assert title in index.replace("\\u2019", "'").replace("\u2019", "'")


def test_pages_are_light_and_dark(site: Path) -> None:
    text = (site / "tutorial.html").read_text(encoding="utf-8")
    assert "theme-toggle" in text
    assert "prefers-color-scheme: dark" in text
