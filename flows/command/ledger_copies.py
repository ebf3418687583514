"""`animatic ledger copy`, `backup`, `verify`, `prune`: the ledger as a whole. They need no Prefect and buy nothing."""

import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from animatic import storage
from animatic.errors import FixInputError
from animatic.errors.text import counted
from animatic.ledger import LEAST_AGE, back_up_ledger, copy_ledger, files_of, ledger_name, prune_ledger, verify_ledger
from animatic.machine.start_folder import from_start
from animatic.results import formats
from animatic.storage.folder import Folder
from flows.settings import Settings
from flows.terminal import PlainConsole, say, say_json

SAYS_EVERY_S = 5.0
MOST_DAYS = 36_500


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
    if "://" in file:
        raise FixInputError(f"FILE: found {file}; allowed: a path on this machine's disk, from where it can be copied")
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


def prune(days: int, to: str | None, *, as_json: bool) -> int:
    """Move details that nothing depends on, and that are older than some days, out of the ledger into Parquet; 0.

    Raises:
        FixInputError: there is no ledger, or the days are too few.
        LocationError: the folder cannot be written to; the ledger still has what was not written.
    """
    settings, now = Settings.from_environment(), datetime.now(UTC)
    if not LEAST_AGE.days <= days <= MOST_DAYS:
        raise FixInputError(
            f"--older-than: found {days}; allowed: {LEAST_AGE.days} to {MOST_DAYS:,} days, since WaveSpeed's list "
            "shows the predictions of the last week, and open takes are settled by it"
        )
    place = Folder(f"{files_of(settings.ledger)[0]}.pruned" if to is None else to)
    folder = str(place.path) if place.is_local else place.uri
    storage.require_writable(f"{folder}/attempts.parquet")
    stamp, files = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}", list[str]()

    def keep(kind: str, rows: Any) -> None:
        if to is None:
            Path(folder).mkdir(mode=0o700, exist_ok=True)  # as private as the ledger
        file = f"{folder}/{kind}-{stamp}-{len(files):04d}.parquet"
        storage.replace_bytes(file, formats.encode(rows, ".parquet"))
        files.append(file)

    moved = prune_ledger(settings.ledger, now - timedelta(days=days), keep)
    if as_json:
        say_json(json.dumps({"ledger": ledger_name(settings.ledger), **moved._asdict(), "files": files}))
        return 0
    if not any(moved._replace(is_compacted=False)):
        say(f"nothing in {ledger_name(settings.ledger)} that may go is older than {counted(days, 'day')}")
        return 0
    parts = (
        counted(moved.attempts, "older attempt"),
        f"details of {counted(moved.polls, 'newest attempt')}",
        counted(moved.remarks, "remark"),
        f"{counted(moved.orphans, 'prediction')} of no take",
        f"{counted(moved.looks, 'look')} at stills",
        counted(moved.receipts, "receipt"),
    )
    where = f" to {folder}" if files else ""
    say(f"moved out of {ledger_name(settings.ledger)}{where}: {', '.join(parts)}")
    if not moved.is_compacted:
        say("the file keeps its size, since a run is under way on it or the disk is full: what is free is used again")
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
