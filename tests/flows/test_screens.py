"""Whole screens of the command, as people see them: kept in docs/screens, and compared with what is shown now.

Each is typed in a pseudo-terminal (or without one, as in CI) against a sandbox of its own. `make screens` writes them
again: WRITE_SCREENS=1 in the environment. What varies from run to run is replaced by the rules in `VARIES`.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from network_switch import NetworkSwitch, network_to
from terminals import CTRL_C, WITHIN_S, Terminal

ROOT = Path(__file__).parents[2]
SCREENS = ROOT / "docs/screens"
HOME = "/home/adriana"
"""Shown in place of the folder that commands run in, which is as long."""

VARIES: Sequence[tuple[str, str]] = (
    (r"\d{8}T\d{6}Z-[0-9a-f]{4}", "the id of a run"),
    (r"\b\d{4}-\d\d-\d\d\b", "a date"),
    (r"\b\d\d:\d\d:\d\d\b", "a time"),
    (r"(?<=127\.0\.0\.1:)\d{5}\b", "a port"),
    (r"\b(?=[a-z]*\d)[0-9a-f]{12}\b", "the beginning of a fingerprint"),
    (r"(?<=prediction )[0-9a-z]{8,}", "a prediction's id"),
    (r"\d+(?= (?:s|min) left)", "a forecast"),
    (r"(?<=next start is in )\d+", "a wait"),
    (r"(?<=answered for )\d+|(?<=submitted )\d+(?= min ago)|(?<=usual are )\d+", "a wait"),
    (r"\d+\.\d(?=/min)", "a rate"),
    (r"(?<=not final after )\d+", "a wait"),
    (r"\d+\.\d\d +\d+\.\d\d(?= +\d+\.\d\d$)|\d+\.\d\d +\d+\.\d\d(?= +\d+\.\d\d\n)", "seconds of work"),
)
"""What differs each time: its digits are shown as `#`, its letters as `x`, so that all stays in its place."""


def settled(text: str, home: str) -> str:
    """Replace what varies, by as many characters."""
    assert len(home) == len(HOME)
    text = text.replace(home, HOME)
    for pattern, _ in VARIES:
        text = re.sub(
            pattern, lambda found: re.sub(r"[a-z]", "x", re.sub(r"\d", "#", found[0])), text, flags=re.MULTILINE
        )
    return text


@dataclass
class Home:
    """A home in which commands are typed, at a terminal of one kind.

    Attributes:
        name: of the kind of terminal: `80`, `200`, `no-color`, `dumb`, `ci`.
        pages: what was shown, by scene.
    """

    name: str
    folder: Path
    environment: dict[str, str]
    columns: int = 80
    term: str = "xterm-256color"
    pages: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    raw: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def type(
        self, scene: str, line: str, act: Callable[[Terminal, Callable[[str], None]], None] | None = None, **more: str
    ) -> int:
        """Type a command, do what a person does while it runs, and keep the screens; the exit code."""
        page = self.pages.setdefault(scene, [])
        shown = " ".join(f"{name}={value}" for name, value in more.items() if name.isupper() and name not in HIDDEN)
        head = f"$ {shown + ' ' if shown else ''}{line}"
        command = ["sh", "-c", f"exec {line}"]
        environment = {name: value for name, value in (self.environment | more).items() if value}
        if self.name == "ci":
            done = subprocess.run(
                command,
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=WITHIN_S,
            )
            self.raw[scene] = done.stdout
            code, text = done.returncode, once(done.stdout.decode())
        else:
            with Terminal(command, environment, self.folder, self.columns, self.term) as terminal:
                if act is not None:
                    act(terminal, lambda caption: page.append(f"{head}\n{terminal.text}\n({caption})"))
                code, text = terminal.end()
                self.raw[scene] = terminal.raw
        page.append(f"{head}\n{text}\n(exit code {code})")
        return code


HIDDEN = {"ANIMATIC_TAKE_DEADLINE_S"}


def once(text: str) -> str:
    """Leave out lines of progress that say the same as the one before."""
    lines = text.splitlines()
    varied = [settled(line, HOME) for line in lines]
    return "\n".join(line for number, line in enumerate(lines) if not number or varied[number] != varied[number - 1])
