"""Every command of the pages for users, as it stands there, in the order of each page; all of them in one home.

One sandbox stands for WaveSpeed, and one Prefect server shows the runs, but where a page starts its own. Screens are
compared without what differs from run to run; `WRITE_SCREENS=1` writes them into the pages instead.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pages import DOCS, GUIDES, Step, read_page
from reader import Terminal, bare_environment, follow, make_clone

from tools.authority import Authority

OWN_SERVER = {"deploying.md"}
"""Pages that start a Prefect server of their own."""

DIFFERS = re.compile(
    r"\d+(?:\.\d+)?(?= (?:s|min|h)\b)|(?<=the account has \$)[\d,.]+| \(new: .*\)|[\d-]{10} [\d:]{5} UTC"
)
"""Parts of a screen that may differ: moments, durations, the account's money, a ledger that is in use."""


@pytest.fixture(scope="module")
def terminal(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, warm: Any
) -> Iterator[Terminal]:
    """A terminal in a clone, its virtual environment activated, with a home of its own."""
    folder = tmp_path_factory.mktemp("reader")
    clone, home = folder / "animatic", folder / "home"
    home.mkdir()
    make_clone(clone)
    (clone / "company.pem").write_bytes(Authority(folder / "authority").file.read_bytes())
    environment = bare_environment(clone, home)
    ours = {
        "WAVESPEED_BASE_URL": sandbox.url,
        "ANIMATIC_ACCOUNT_LEVEL": "ultra",
        "PREFECT_API_URL": prefect_server.url,
    }
    here = Terminal(
        clone, environment | ours, warm.programs, {"8787": "0", "4200": environment["PREFECT_SERVER_API_PORT"]}
    )
    try:
        yield here
    finally:
        here.stop()


def plain(text: str, terminal: Terminal) -> str:
    """Return a screen as a page has it: with a reader's folders, and without blanks at the ends."""
    home = Path(terminal.environment["HOME"])
    for path, shown in ((terminal.folder, "~/animatic"), (home, "~")):
        text = text.replace(str(path), shown)
    return "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", GUIDES)
def test_every_command_of_a_page_works(name: str, terminal: Terminal, tools: Any) -> None:
    page = read_page(DOCS / name)
    found: list[tuple[Step, str]] = []
    environment = dict(terminal.environment)
    if name in OWN_SERVER:
        del terminal.environment["PREFECT_API_URL"]
    try:
        follow(terminal, page, tools.KEY, lambda step, shown: found.append((step, plain(shown, terminal))))
    finally:
        terminal.environment = environment
    if os.environ.get("WRITE_SCREENS"):
        write_screens(page.path, found)
    else:
        for step, shown in found:
            assert DIFFERS.sub("", step.text) == DIFFERS.sub("", shown), "WRITE_SCREENS=1 writes it"


def write_screens(path: Path, found: Sequence[tuple[Step, str]]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for step, shown in reversed(found):
        lines[step.lines[0] + 1 : step.lines[1] - 1] = [shown]
    path.write_text("".join(lines), encoding="utf-8")
