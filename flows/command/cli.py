"""The `animatic` command. It imports Prefect, and a flow, only inside the command that runs one."""

import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from typer.rich_utils import rich_format_error

from animatic.machine.own_packages import forget_current_folder
from animatic.machine.privacy import keep_private
from flows import process
from flows.command import cli_fleet, cli_job, cli_keep, cli_reel, cli_retake, cli_review, cli_set_up, cli_timeline
from flows.command.app import app
from flows.command.command_end import REFUSED, say_error

__all__ = ["app", "main", "with_dates"]

COMMANDS = (cli_job, cli_keep, cli_reel, cli_retake, cli_review, cli_set_up, cli_timeline, cli_fleet)
"""Modules whose commands are known once they are imported."""


def main() -> None:
    """Run the command; see `_end` for exit codes."""
    keep_private()
    forget_current_folder()
    try:
        _run(with_dates(sys.argv[1:], datetime.now(UTC).date().isoformat()))
    except SystemExit as end:
        process.exit_with(end.code if isinstance(end.code, int) else int(end.code is not None))


def _run(arguments: Sequence[str]) -> None:
    """Run a command, and exit. With `--json` an error of its options is JSON too, below what people read of it."""
    if "--json" not in arguments:
        app(args=arguments)
    try:
        sys.exit(app(args=arguments, standalone_mode=False) or 0)
    except Exception as error:
        text: Callable[[], str] | None = getattr(error, "format_message", None)
        if text is None:  # not one of the parser's
            raise
        rich_format_error(error)  # pyright: ignore[reportArgumentType]
        say_error(text(), REFUSED)
        sys.exit(REFUSED)


def with_dates(arguments: Sequence[str], today: str) -> list[str]:
    """Give today's date to a `--new-ledger` that stands alone: the parser has no options with optional values."""
    following = [*arguments[1:], ""][: len(arguments)]
    return [
        f"--new-ledger={today}" if each == "--new-ledger" and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", after) else each
        for each, after in zip(arguments, following, strict=True)
    ]


if __name__ == "__main__":
    main()
