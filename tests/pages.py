"""Pages of the documentation as a reader follows them: commands, snippets and files, in their order.

Comments in a page's source, which no reader sees, say what cannot be seen in the text:

    <!-- file: film/shots.csv -->            the next block is that file
    <!-- screen -->                          the next block is what the command before it shows
    <!-- new terminals -->                   what was exported and started so far is gone
    <!-- not run: `make bench`: REASON -->   commands that begin so are not run by the tests, anywhere in the page

The exit code of a command is in the comment behind it: `# ends with 3`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDES = (
    *("tutorial.md", "how-to/failures.md", "how-to/clips.md", "how-to/spreadsheets.md"),
    *(
        "how-to/bill.md",
        "how-to/accounts.md",
        "how-to/ledger.md",
        "how-to/retakes.md",
        "how-to/timeline.md",
        "how-to/reel.md",
    ),
    "how-to/review.md",
    *("how-to/models.md", "how-to/stills.md", "how-to/plans.md", "how-to/chains.md"),
    *("how-to/proxies.md", "how-to/stores.md", "how-to/containers.md", "how-to/metrics.md", "how-to/inbox.md"),
    "how-to/media.md",
    *("deploying.md", "operating.md", "reliability.md", "hosts.md"),
)
"""Pages below docs/ whose commands are run, in this order."""

_PROGRAM = re.compile(r"(?:make|animatic|prefect|\.venv/bin/\w+) \S")
_PLACEHOLDER = re.compile(r"(?<![\w$%{/-])[A-Z][A-Z_]+(?![\w=(])|…")
_FILE = re.compile(r"<!-- file: (\S+) -->")
_NOT_RUN = re.compile(r"<!-- not run: `(.+?)`: (.+?) -->", re.DOTALL)
_ENDS_WITH = re.compile(r"#.*\bends with (\d+)")


class Step(NamedTuple):
    """One thing that a reader does or sees.

    A command (`sh`), a snippet (`python`, `sql`), a `file` to write, a `screen` to compare, or new `terminals`. `lines`
    are those of its block in the page.
    """

    language: str
    text: str = ""
    exit_code: int = 0
    name: str = ""
    lines: tuple[int, int] = (0, 0)


@dataclass
class Page:
    """A page: its steps, and the commands that no test runs, with the reason."""

    path: Path
    steps: list[Step] = field(default_factory=list[Step])
    not_run: dict[str, str] = field(default_factory=dict[str, str])
    named: list[str] = field(default_factory=list[str])
    """Commands and parts of commands in sentences, to be run or not."""

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    def runs(self, step: Step) -> bool:
        """Tell if a test does this step."""
        return not any(step.text.startswith(begin) for begin in self.not_run)


def all_pages() -> list[Path]:
    """Return every page in Markdown: the README, and what is below docs/."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def read_page(path: Path) -> Page:
    page, mark, before = Page(path), "", ""
    for token in parsed(path.read_text(encoding="utf-8")):
        is_heading, before = before == "heading_open", token.type
        if token.type == "html_block":
            page.not_run |= dict(_NOT_RUN.findall(token.content))
            mark = token.content.strip()
            page.steps += [Step("terminals")] if mark == "<!-- new terminals -->" else []
        elif token.type == "fence":
            page.steps += _in_block(token, mark)
            mark = ""
        elif token.type == "inline":
            for each in token.children or ():
                if each.type == "code_inline" and _PROGRAM.match(each.content):
                    page.named.append(each.content)
                    page.steps += [] if is_heading or not _is_whole(each.content) else [Step("sh", each.content)]
    return page


def _in_block(token: Token, mark: str) -> Iterator[Step]:
    """Yield the steps of a block, given the comment before it."""
    language, lines = token.info.strip(), tuple(token.map or (0, 0))
    if found := _FILE.search(mark):
        yield Step("file", token.content, name=found[1])
    elif mark == "<!-- screen -->":
        yield Step("screen", token.content, lines=lines)
    elif language in {"python", "sql"}:
        yield Step(language, token.content)
    elif language == "sh":
        for line in token.content.replace("\\\n", "").splitlines():
            command = re.sub(r"(^|\s+)#.*", "", line).strip()
            found = _ENDS_WITH.search(line)
            if command:
                yield Step("sh", command, int(found[1]) if found else 0)


def _is_whole(command: str) -> bool:
    """Tell a command in a sentence from the name of one: it has arguments, and none that stands for another."""
    if command.startswith("make ") or (command.startswith(("animatic ", "prefect ")) and len(command.split()) < 3):
        return False
    return not _PLACEHOLDER.search(command)
