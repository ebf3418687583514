"""The `animatic` command up to its first import of `flows`, whose name others use too; also `python -m animatic`."""

import importlib
import sys

from animatic.machine.own_packages import foreign_package, forget_current_folder

REFUSED = 2
"""As in `animatic.results.exit_codes`; written again, because each import here delays every command."""


def main() -> None:
    """Run the command, or end with 2 where `flows` or `tasks` is another project's."""
    forget_current_folder()
    if (fault := foreign_package()) is not None:
        print(f"animatic: {fault}", file=sys.stderr)  # noqa: T201 - nothing that prints in another way is there yet
        sys.exit(REFUSED)
    importlib.import_module("flows.command.cli").main()


if __name__ == "__main__":
    main()
