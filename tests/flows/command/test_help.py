"""The help of every command: one line each in groups, a default for every option, and near names for mistakes."""

from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from flows.command.cli import app

ROOT = typer.main.get_command(app)


def commands(command: click.Command, name: str = "animatic") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for each, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {each}")


OPTIONS = [
    pytest.param(each, id=f"{name} {each.opts[0]}")
    for name, command in commands(ROOT)
    for each in command.params
    if each.param_type_name == "option" and each.name != "help"
]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_says_its_default(option: click.Option) -> None:
    is_needed = option.required or "required" in (option.help or "")
    has_default = isinstance(option.show_default, str) or option.default not in {None, False, ""}
    assert is_needed or has_default, f"{option.opts[0]} shows no default"


def test_commands_stand_in_groups_with_one_line_each() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80", "TERM": "dumb"}).stdout
    for group in ("The job", "Look", "Keep", "Set up"):
        assert group in shown
    assert "animatic plan shots.csv --sandbox" in shown
    for name, command in commands(ROOT):
        if name != "animatic":
            assert len(command.get_short_help_str(200)) <= 64, name


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["run", "shots.csv", "--resluts", "out.csv"], "--results"),
        (["rnu", "shots.csv"], "run"),
        (["ledger", "shwo", "a"], "show"),
        (["sandbox", "--level", "gould"], "gold"),
        (["sandbox", "--shape", "crad"], "card"),
    ],
)
def test_a_mistake_is_told_with_the_nearest_name(arguments: list[str], near: str) -> None:
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "120", "TERM": "dumb"})
    assert ended.exit_code == 2
    assert near in ended.output
