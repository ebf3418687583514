"""`animatic ledger copy`, `backup` and `verify`: the ledger as a whole. They need no Prefect and buy nothing."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from animatic.ledger import back_up_ledger, copy_ledger, ledger_name, verify_ledger
from animatic.machine.start_folder import from_start
from animatic.settings import Settings
from animatic.text import counted
from flows.terminal import PlainConsole, say, say_json

SAYS_EVERY_S = 5.0


def copy(source: str, target: str, console: PlainConsole, *, as_json: bool) -> int:
    """Move a ledger into another database; 0.

    Raises:
        FixInputError: there is none, something is under way on it, or the other holds takes.
    """
    names = ledger_name(source), ledger_name(target)
    copied = copy_ledger(source, target, _telling(console))
    if as_json:
        say_json(json.dumps({"from": names[0], "to": names[1], **copied._asdict()}))
        return 0
    say(
        f"copied {counted(copied.takes, 'take')} with {counted(copied.attempts, 'attempt')}, {copied.rows:,} rows in "
        "all, each compared"
    )
    say(f"{names[0]} is closed; set ANIMATIC_LEDGER to {names[1]} on every machine")
    return 0


def back_up(file: str, console: PlainConsole, *, as_json: bool) -> int:
    """Write a copy of the ledger into a new file, while runs go on; 0.

    Raises:
        FixInputError: there is no ledger, or the file is there already or cannot be made.
    """
    settings, path = Settings.from_environment(), Path(from_start(file))
    back_up_ledger(settings.ledger, path, _telling(console))
    size_bytes = path.stat().st_size
    if as_json:
        say_json(json.dumps({"ledger": ledger_name(settings.ledger), "file": str(path), "size_bytes": size_bytes}))
        return 0
    say(f"backed up {ledger_name(settings.ledger)} to {path} ({size_bytes:,} bytes)")
    return 0


def verify(url: str | None, *, as_json: bool) -> int:
    """Read all of a ledger and count what it holds; 0 if it is whole.

    Raises:
        FixInputError: there is none.
        LedgerError: it is damaged, or cannot be used.
    """
    settings = Settings.from_environment()
    where = settings.ledger if url is None else url if "://" in url else f"sqlite:///{from_start(url)}"
    holds = verify_ledger(where)
    if as_json:
        say_json(json.dumps({"ledger": ledger_name(where), **holds._asdict()}))
        return 0
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(holds.newest.items())) or "none"
    say(f"ledger {ledger_name(where)} is whole: {counted(holds.takes, 'take')} ({states}), "
        f"{counted(holds.attempts, 'attempt')} in {counted(holds.runs, 'run')}")  # fmt: skip
    return 0


def _telling(console: PlainConsole) -> Callable[[str, int], None]:
    """Return what tells how far a copy is, every few seconds."""
    told_at = time.monotonic()

    def tell(table: str, rows: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= SAYS_EVERY_S:
            told_at = time.monotonic()
            console.print(f"{table}: {rows:,} rows copied")

    return tell
