"""Nothing that steers a terminal reaches it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from animatic.errors.text import printable
from flows.terminal import PlainConsole, folded, say_json

NASTY = "\x1b[31mred\x1b]0;title\x07\r\x9b2J\u202egpj.exe\x00\x7f"


@given(st.text())
def test_only_lines_and_what_prints_are_left(text: str) -> None:
    shown = printable(text)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert shown.count("\n") == text.count("\n")


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_prints_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_console_prints_text_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    PlainConsole(file=screen, force_terminal=True).print(f"[red]{NASTY}[/red]", "second")
    assert screen.getvalue().strip().isprintable()
    assert screen.getvalue().startswith("[red]\\x1b[31mred")


def test_json_for_programs_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    say_json(json.dumps({"name": NASTY + "é"}))
    line = capsys.readouterr().out
    assert line.strip().isascii()
    assert line.strip().isprintable()
    assert json.loads(line)["name"] == NASTY + "é"


def test_a_manifest_and_an_api_that_mean_ill_do_not_get_through(shell: Any, manifest: Callable[..., Path]) -> None:
    shots = manifest(
        {"shot_id": "a\x1b[31m", "prompt": "x\x9b2J", "storyboard": "b\u202e"},
        {"shot_id": "ok", "prompt": "fine", "storyboard": "\x1b]0;t\x07"},
    )
    for arguments in (
        ("plan", shots.name),
        ("plan", "no\x1b[31m.csv"),
        ("run", shots.name, "--results", "o\x07.parquet"),
    ):
        ended = shell.run(*map(str, arguments), "--debug")
        for line in [*ended.stdout.splitlines(), *ended.stderr.splitlines()]:
            assert line.isprintable(), line


def test_wide_characters_count_twice_where_lines_are_broken() -> None:
    shown = folded("    " + " ".join(["一二三四五六七八九十", "long", "shot", "🎬🎬🎬", "take 1"] * 3), 40)
    assert max(map(cell_len, shown.split("\n"))) <= 40
    assert shown.split() == ["一二三四五六七八九十", "long", "shot", "🎬🎬🎬", "take", "1"] * 3
