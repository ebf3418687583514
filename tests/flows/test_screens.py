"""Whole screens of the command, as people see them: kept in docs/screens, and compared with what is shown now.

Each command is typed in a pseudo-terminal (or runs without one, as in CI) against a sandbox of its own. `make screens`
writes them again. What varies from run to run is replaced by the rules in `VARIES`.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from terminals import CTRL_C, WITHIN_S, Terminal

ROOT = Path(__file__).parents[2]
SCREENS, PAGE = ROOT / "docs/screens", ROOT / "docs/screens.md"
IS_WRITING = bool(os.environ.get("WRITE_SCREENS"))
HOME = "/home/adriana"
"""Shown in place of the folder that commands run in, which is as long."""

VARIES: Mapping[str, tuple[str, str]] = {
    "the id of a run": (r"\b\d{8}T\d{6}Z-[0-9a-f]{4}\b", "########T######Z-####"),
    "a date": (r"\b\d{4}-\d\d-\d\d\b", "####-##-##"),
    "a time": (r"\b\d\d:\d\d:\d\d\b", "##:##:##"),
    "a fingerprint": (r"\b(?=[a-f]*\d)[0-9a-f]{12}\b", "############"),
    "a forecast": (r"about \d+ (?:s|min)(?=\s+left)", "about ##"),
    "a wait": (r"(?<=in )\d+(?= s\b)|(?<=for )\d+(?= s;)|(?<=submitted )\d+(?= min)|(?<=usual are )\d+", "##"),
    "checks made": (r"\d+/\d+ clips checked(?:, \d+ fails?)?", "#/# clips checked, # fail"),
    "a rate": (r"\d+\.\d(?=/min)", "##.#"),
}
"""Parts that differ each time, by name: the pattern that finds it, and what is shown instead."""

OF_A_BUSY_MACHINE = re.compile(r"(?:waiting for Prefect at|results are written; waiting for Prefect).*\n(?:  \S.*\n)*")
"""Lines that are seen only where Prefect's server is slow; they are left out."""

INFERENCE_S, SLOW_S = 2, 12
SHOTS = (
    ("lighthouse", "", "slow push in", "5s", ""),
    ("harbour", "", "pan left [sandbox:stuck]", "5s", ""),
    ("bridge", "", f"tilt up [sandbox:slow={SLOW_S}]", "8s", ""),
    ("square", "", f"static [sandbox:slow={SLOW_S}]", "5s", "2"),
)
NIGHT = (
    ("well", "night", f"push in [sandbox:slow={SLOW_S}]", "", ""),
    ("gate", "night", "pan left [sandbox:nsfw]", "", ""),
    ("tower", "night", "orbit [sandbox:fails]", "", ""),
    ("crowd", "day", "crane up [sandbox:moderated]", "", ""),
    ("river", "day", "static [sandbox:rejects]", "", ""),
    ("mill", "day", "pull back [sandbox:fails]", "", ""),
)
STORM = (("waves", "", "push in", "", ""), ("mast", "", "tilt down [sandbox:reset-before]", "", ""))
ATTIC = (("window", "", "push in", "", ""),)

SCENES = {
    "plan": "A plan: which takes, why, what they cost and how long they take.",
    "no-key": "No key is set.",
    "question": "A run asks before it buys. A yes is to a sum.",
    "bronze": "A bronze account starts two takes a minute: the run says when the next one is.",
    "ctrl-c": "Ctrl-C: what was bought, what was not, and how to go on.",
    "network": "The network is away for a while.",
    "stuck": "A take does not end. The others are done; it is left to the next run.",
    "failures": "Failures of three kinds, each with what to do about it; then the plan of the next run.",
    "unknown": "A reply was lost: nobody knows whether that take was bought.",
    "wrong-key": "WaveSpeed refuses the key.",
    "no-network": "WaveSpeed cannot be reached from the first request on.",
    "lost-ledger": "The ledger is gone; and a results table that another ledger was made with.",
    "no-results": "An option is missing.",
    "another-manifest": "The results would replace the table of another manifest.",
}
KINDS = {
    "80": "80 columns",
    "200": "200 columns",
    "no-color": "80 columns, NO_COLOR=1",
    "dumb": "80 columns, TERM=dumb",
    "ci": "no terminal, as in CI",
}


def settled(text: str, home: str = HOME) -> str:
    """Replace what varies."""
    assert len(home) == len(HOME)
    text = OF_A_BUSY_MACHINE.sub("", text).replace(home, HOME)
    for pattern, shown in VARIES.values():
        text = re.sub(pattern, shown, text)
    return text


Act = Callable[[Terminal, Callable[[str], None]], None]


@dataclass
class Home:
    """A home in which commands are typed, at a terminal of one kind, and the screens that were seen, by scene."""

    kind: str
    folder: Path
    environment: dict[str, str]
    sandbox: "Sandbox"
    pages: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    raw: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def type(self, scene: str, line: str, act: Act | None = None, **more: str) -> int:
        """Type a command, do what a person does while it runs, and keep its screens; the exit code."""
        environment = {name: value for name, value in (self.environment | more).items() if value}
        command, head = ["sh", "-c", f"exec {line}"], f"$ {line}"

        def keep(of: str, text: str, end: str) -> None:
            self.pages.setdefault(of, []).append(f"{head}\n{text}\n{end}")

        if self.kind == "ci":
            done = subprocess.run(
                command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=WITHIN_S, check=False,
            )  # fmt: skip
            code, text, raw = done.returncode, done.stdout.decode().rstrip("\n"), done.stdout
        else:
            term, columns = (
                "dumb" if self.kind == "dumb" else "xterm-256color",
                int(self.kind) if self.kind.isdigit() else 80,
            )
            with Terminal(command, environment, self.folder, columns, term) as terminal:
                if act is not None:
                    act(terminal, lambda of: keep(of, terminal.text, "(it goes on)"))
                code, text = terminal.end()
                raw = terminal.raw
        self.raw[scene] = self.raw.get(scene, b"") + raw
        keep(scene, with_one_line_of_progress(text), f"(exit code {code})")
        return code

    def write(self, name: str, shots: Sequence[Sequence[str]]) -> None:
        """Write a manifest."""
        rows = [
            f"{shot},{board},https://stills.example/{shot}.png,{prompt},{length},{takes}"
            for shot, board, prompt, length, takes in shots
        ]
        (self.folder / name).write_text("\n".join(["shot_id,storyboard,image,prompt,duration,takes", *rows, ""]))


def with_one_line_of_progress(text: str) -> str:
    """Leave out all lines of progress but the last one that shows five of six takes done: how many come, varies."""
    lines = re.split(r"\n(?!  )", text)
    progress = [number for number, line in enumerate(lines) if re.match(r"night\.csv: (?:starting|\d+/\d+ done)", line)]
    kept = [number for number in progress if " 5/6 done" in lines[number]][-1:]
    return "\n".join(line for number, line in enumerate(lines) if number not in progress or number in kept)


class Sandbox:
    """A sandbox that can be away for a while, and is the same afterwards."""

    def __init__(self, serving: Any, folder: Path) -> None:
        self._serving, self._folder = serving, folder
        self._stack, self.url = contextlib.ExitStack(), ""
        self.come()

    def come(self) -> None:
        where = ["--port", self.url.rpartition(":")[2]] if self.url else []
        served = self._serving(self._folder, "--inference-s", str(INFERENCE_S), *where)
        self.url = self._stack.enter_context(served).url

    def go(self) -> None:
        self._stack.close()


def story_of_a_slow_account(home: Home) -> None:
    """A bronze account, interrupted; then one that starts more, while the network is away for a while."""
    home.write("shots.csv", SHOTS)
    home.type("no-key", "animatic plan shots.csv", WAVESPEED_API_KEY="")
    home.type("plan", "animatic plan shots.csv")

    def interrupt(terminal: Terminal, keep: Callable[[str], None]) -> None:
        terminal.when(r"\[y/N\]")
        keep("question")
        terminal.type("y\n")
        terminal.when(r"(?s)1 made.*1 in flight.*next start is in [1-5]\d s")
        keep("bronze")
        terminal.type(CTRL_C)

    home.type("ctrl-c", "animatic run shots.csv --results out.csv", interrupt)
    with sqlite3.connect(home.folder / ".local/share/animatic/ledger.sqlite") as ledger:
        ledger.execute("UPDATE attempt SET submitted_at = datetime(submitted_at, '-6 minutes')")
    ledger.close()

    def lose_network(terminal: Terminal, keep: Callable[[str], None]) -> None:
        terminal.when(r"(?s)4 in flight.*harbour take 1 is late")
        home.sandbox.go()
        terminal.when(r"cannot reach WaveSpeed for")
        keep("network")
        home.sandbox.come()
        terminal.when(r"(?s)3 made.*4/4 clips archived")
        keep("stuck")

    more = {"ANIMATIC_ACCOUNT_LEVEL": "silver", "ANIMATIC_TAKE_DEADLINE_S": "40"}
    home.type("stuck", "animatic run shots.csv --results out.csv --yes", lose_network, **more)


def story_of_failures(home: Home) -> None:
    home.environment["ANIMATIC_ACCOUNT_LEVEL"] = "silver"
    home.write("night.csv", NIGHT)
    home.type("failures", "animatic run night.csv --results night.parquet --yes")
    home.type("failures", "animatic plan night.csv")


def story_of_what_goes_wrong(home: Home) -> None:
    """Failures, a lost reply, and what is wrong with the key, the network, the ledger and the options."""
    story_of_failures(home)
    home.write("storm.csv", STORM)
    home.write("attic.csv", ATTIC)
    home.type("unknown", "animatic run storm.csv --results storm.jsonl --yes")
    home.type("unknown", "animatic reconcile")
    home.type("unknown", "animatic ledger show mast")
    home.type("no-results", "animatic run attic.csv")

    def decline(terminal: Terminal, keep: Callable[[str], None]) -> None:
        terminal.when(r"\[y/N\]")
        terminal.type("n\n")

    home.type("another-manifest", "animatic run attic.csv --results night.parquet", decline)
    home.type("wrong-key", "animatic plan attic.csv", WAVESPEED_API_KEY="wrong")
    home.type("wrong-key", "animatic run attic.csv --results attic.jsonl", WAVESPEED_API_KEY="wrong")
    home.type(
        "lost-ledger",
        "animatic run night.csv --results night.parquet",
        ANIMATIC_LEDGER=f"sqlite:///{home.folder}/other.sqlite",
    )
    home.sandbox.go()
    home.type("no-network", "animatic plan attic.csv")

    def give_up(terminal: Terminal, keep: Callable[[str], None]) -> None:
        terminal.when(r"0/1 .*\n.*1 waiting.*\n +cannot reach WaveSpeed for")
        keep("no-network")
        terminal.type(CTRL_C)

    line = "animatic run attic.csv --results attic.jsonl --max-usd 4"
    home.type("no-network", line, give_up, ANIMATIC_PRICE_USD="4")
    shutil.move(home.folder / ".local/share/animatic/ledger.sqlite", home.folder / "gone.sqlite")
    home.type("lost-ledger", "animatic plan night.csv")


STORIES: Sequence[tuple[str, Callable[[Home], None]]] = (
    ("80", story_of_a_slow_account),
    ("200", story_of_a_slow_account),
    ("80", story_of_what_goes_wrong),
    ("200", story_of_what_goes_wrong),
    ("no-color", story_of_failures),
    ("dumb", story_of_failures),
    ("ci", story_of_failures),
)
SHOWN = [(scene, kind) for kind in KINDS for scene in SCENES if kind in {"80", "200"} or scene == "failures"]


@dataclass(frozen=True)
class Seen:
    """Output, by scene and kind of terminal: as text, and as it was written."""

    pages: Mapping[tuple[str, str], str]
    raw: Mapping[tuple[str, str], bytes]


@pytest.fixture(scope="module")
def seen(tools: Any, prefect_server: Any, warm: Any) -> Seen:
    """Every screen. The stories wait more than they work, so several are told at once."""
    base = {
        "PATH": f"{warm.programs}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "DO_NOT_TRACK": "1",
        "WAVESPEED_API_KEY": tools.KEY,
        "ANIMATIC_POLL_FLOOR_S": "0.5",
        "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
        "PREFECT_API_URL": prefect_server.url,
        "PREFECT_HOME": str(prefect_server.home),
    }

    with urllib.request.urlopen(f"{prefect_server.url}/health", timeout=120):  # it listens before it is up
        pass

    def told(kind: str, story: Callable[[Home], None]) -> Home:
        folder = Path(tempfile.mkdtemp(prefix="", dir="/tmp"))
        sandbox = Sandbox(tools.serving, folder.with_name(f"{folder.name}-sandbox"))
        more = {"HOME": str(folder), "WAVESPEED_BASE_URL": sandbox.url}
        more |= {"no-color": {"NO_COLOR": "1"}, "ci": {"CI": "true"}}.get(kind, {})
        home = Home(kind, folder, base | more, sandbox)
        try:
            story(home)
        finally:
            sandbox.go()
            shutil.rmtree(folder)
            shutil.rmtree(folder.with_name(f"{folder.name}-sandbox"))
        return home

    pages: dict[tuple[str, str], str] = {}
    raw: dict[tuple[str, str], bytes] = {}
    with ThreadPoolExecutor(AT_ONCE) as at_once:
        for home in at_once.map(lambda each: told(*each), STORIES):
            for scene, parts in home.pages.items():
                shown = "\n\n".join(settled(part, str(home.folder)) for part in parts) + "\n"
                pages[scene, home.kind] = shown
            raw |= {(scene, home.kind): found for scene, found in home.raw.items()}
    if IS_WRITING:
        shutil.rmtree(SCREENS, ignore_errors=True)
        SCREENS.mkdir(parents=True)
        for (scene, kind), text in pages.items():
            (SCREENS / f"{scene}-{kind}.txt").write_text(text)
        PAGE.write_text(page(pages))
    return Seen(pages, raw)


AT_ONCE = 3


def page(pages: Mapping[tuple[str, str], str]) -> str:
    """The page that shows them all at 80 columns, with links to the others."""
    rules = "; ".join(VARIES)
    lines = [
        "# What you see",
        "",
        "Screens of the command, made by `make screens` and held by a test: typed at a terminal of 80 columns, against",
        "the sandbox, which stands for WaveSpeed. `#` stands for what differs each time:",
        f"{rules}. *It goes on* is a screen in the middle of a run.",
    ]
    for scene, text in SCENES.items():
        others = [
            f"[{name}](screens/{scene}-{kind}.txt)"
            for kind, name in KINDS.items()
            if (scene, kind) in pages and kind != "80"
        ]
        lines += [
            "",
            f"## {text.rstrip('.')}",
            "",
            f"Also with {', '.join(others)}.",
            "",
            "```text",
            pages[scene, "80"].rstrip("\n"),
            "```",
        ]
    return "\n".join([*lines, ""])


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("scene", "kind"), SHOWN)
def test_the_screen_is_as_it_is_kept(seen: Seen, scene: str, kind: str) -> None:
    kept = SCREENS / f"{scene}-{kind}.txt"
    assert kept.exists(), "make screens"
    assert seen.pages[scene, kind] == kept.read_text(), "make screens writes them again"


def test_the_page_shows_what_is_kept(seen: Seen) -> None:
    assert {tuple(path.stem.rsplit("-", 1)) for path in SCREENS.glob("*-80.txt")} == {(scene, "80") for scene in SCENES}
    kept = {(scene, kind): (SCREENS / f"{scene}-{kind}.txt").read_text() for scene, kind in SHOWN}
    assert PAGE.read_text() == page(kept)


def test_colours_are_for_terminals_that_have_them(seen: Seen) -> None:
    colour = re.compile(rb"\x1b\[[0-9;]*3[0-9](;[0-9]+)*m")
    assert colour.search(seen.raw["failures", "80"])
    assert not colour.search(seen.raw["failures", "no-color"])
    assert b"\x1b" not in seen.raw["failures", "dumb"]
    assert b"\x1b" not in seen.raw["failures", "ci"]


def test_commands_stand_whole_in_lines_of_their_own(seen: Seen) -> None:
    commands = [line for line in seen.pages["failures", "200"].splitlines() if line.strip().startswith("animatic ")]
    assert any(line.endswith("--only shot_id=tower --only shot_id=mill") for line in commands)
    assert all(line.startswith("    ") for line in commands)
