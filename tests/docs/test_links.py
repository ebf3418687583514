"""Links and marks of the pages: what they name is there."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it.token import Token
from pages import DOCS, GUIDES, ROOT, all_pages, parsed, read_page

NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
SOURCES = [*all_pages(), *NOTEBOOKS, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]


def markdown_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def every(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from every(token.children or [])


def links_of(path: Path) -> list[str]:
    found = (token.attrGet("href") or token.attrGet("src") for token in every(parsed(markdown_of(path))))
    return [unquote(str(link)) for link in found if link]


@cache
def anchors_of(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    tokens = parsed(markdown_of(path))
    headings = (tokens[index + 1] for index, token in enumerate(tokens) if token.type == "heading_open")
    plain = ("".join(each.content for each in heading.children or ()) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in plain}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(path: Path) -> None:
    for link in links_of(path):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_every_page_is_in_the_navigation() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^[\w/-]+$", index, re.MULTILINE))
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in [*DOCS.rglob("*.md"), *NOTEBOOKS]}
    assert {page for page in pages if not re.match(r"adr/\d|index$", page)} == listed - {"index"}


def test_the_list_of_decisions_has_each_page_by_its_title() -> None:
    decisions = sorted((DOCS / "adr").glob("0*.md"))
    titles = {page.name: page.read_text(encoding="utf-8").splitlines()[0] for page in decisions}
    index = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d{4})\]\((.*)\) \| (.*) \|$", index, re.MULTILINE)
    assert [(name, f"# {number} {title}") for number, name, title in listed] == list(titles.items())
    assert all("\n**Status.** " in page.read_text(encoding="utf-8") for page in decisions)


def test_commands_of_every_page_are_run() -> None:
    with_commands = {page.name for page in map(read_page, all_pages()) if any(page.runs(step) for step in page.steps)}
    assert {name for name in with_commands if not name.startswith("docs/adr/")} <= {
        "README.md",
        *(f"docs/{name}" for name in GUIDES),
    }


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_not_run_is_in_the_page_and_has_a_reason(path: Path) -> None:
    page = read_page(path)
    for begin, reason in page.not_run.items():
        assert any(step.text.startswith(begin) for step in page.steps), begin
        assert len(reason) > 5, begin
