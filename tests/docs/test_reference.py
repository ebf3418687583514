"""The reference is what the code says, and commands that pages name are those of the code."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from pages import ROOT, all_pages, read_page

from flows.command.cli import app
from tools.reference import DOCS, PARTS, page_with

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", PARTS)
def test_each_part_of_the_reference_is_up_to_date(name: str) -> None:
    page, make = PARTS[name]
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text == page_with(text, name, make()), "make fmt writes it"


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_names_is_there_with_its_options(path: Path) -> None:
    page = read_page(path)
    for text in {*page.named, *(step.text for step in page.steps if step.language == "sh")}:
        if text.startswith("make "):
            assert set(re.findall(r"^make ([a-z-]+)", text)) <= TARGETS, text
        elif text.startswith("animatic "):
            require_known(text)


def require_known(text: str) -> None:
    """Look up a command and its options as typer has them."""
    command = typer.main.get_command(app)
    words = shlex.split(text.replace("…", ""))[1:]
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands") or not words or words[0].startswith("-"), text
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    typed = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert typed <= known | {"--help", "--version"}, text
