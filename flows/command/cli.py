"""The `animatic` command. It imports Prefect, and a flow, only inside the command that runs one."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from animatic.machine.privacy import keep_private
from flows import process
from flows.command import cli_job, cli_keep, cli_set_up
from flows.command.app import app

__all__ = ["app", "main", "with_dates"]

COMMANDS = (cli_job, cli_keep, cli_set_up)
"""Modules whose commands are known once they are imported."""


def main() -> None:
    """Run the command; see `_end` for exit codes."""
    keep_private()
    process.forget_current_folder()
    try:
        app(args=with_dates(sys.argv[1:], datetime.now(UTC).date().isoformat()))
    except SystemExit as end:
        process.exit_with(end.code if isinstance(end.code, int) else int(end.code is not None))


def with_dates(arguments: Sequence[str], today: str) -> list[str]:
    """Give today's date to a `--new-ledger` that stands alone: the parser has no options with optional values."""
    following = [*arguments[1:], ""]
    return [
        f"--new-ledger={today}" if each == "--new-ledger" and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", after) else each
        for each, after in zip(arguments, following, strict=True)
    ]


if __name__ == "__main__":
    main()
