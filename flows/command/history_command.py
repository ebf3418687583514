"""The `history` command: every paid attempt of all runs, as Parquet by date. Asks no API."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from animatic import storage
from animatic.errors import FixInputError
from animatic.errors.text import counted
from animatic.ledger import Ledger, ledger_name, look_into, position_of
from animatic.results.history import FILE, date_of, tables_of
from animatic.storage.folder import Folder
from animatic.storage.spool import nameless_file
from animatic.takes.canonical import provider_in_words
from flows.command import embedded
from flows.command.next_steps import as_dict
from flows.dates import start_of
from flows.settings import Settings
from flows.terminal import PlainConsole, say_json


def write_history(to: str, since: str | None, console: PlainConsole, *, sandbox: bool, as_json: bool) -> int:
    """Write the history of this provider into a folder; 0.

    A date's file is replaced as a whole; dates without attempts are left as they are.

    Raises:
        SettingsError: the date is none.
        FixInputError: there is no ledger.
        LocationError: the folder cannot be written to.
    """
    moment = None if since is None else start_of("--since", since)
    settings = Settings.from_environment()
    settings = embedded.sandbox_settings(settings) if sandbox else settings
    folder, counts = Folder(to), Counter[str]()
    with look_into(settings.ledger) as ledger:
        if ledger is None:
            raise FixInputError(
                f"ledger {ledger_name(settings.ledger)}: there is none yet, so there is no history; a first run makes "
                "it, and ANIMATIC_LEDGER says where it lies"
            )
        asyncio.run(_copy(ledger, settings.origin, moment, folder.uri, counts))
    console.print(f"{folder.place}: {counted(counts.total(), 'paid attempt')} on {counted(len(counts), 'day')}")
    if not counts and not sandbox:
        console.print(
            f"the ledger holds none of {provider_in_words(settings.origin)}; --sandbox writes those of the "
            "embedded sandbox"
        )
    if as_json:
        say_json(json.dumps({"attempts": counts.total(), "days": len(counts), "to": folder.uri} | as_dict(None)))
    return 0


async def _copy(ledger: Ledger, provider: str, since: datetime | None, folder: str, counts: Counter[str]) -> None:
    """Write a file for each date, and count its rows."""
    waiting, after = list[Sequence[Any]](), None
    while rows := await ledger.paid_attempts(provider, after, since):
        after = position_of(rows[-1])
        waiting += rows
        done = [row for row in waiting if date_of(row) != date_of(rows[-1])]
        waiting = waiting[len(done) :]
        await asyncio.to_thread(_write_dates, folder, done, counts)
    await asyncio.to_thread(_write_dates, folder, waiting, counts)


def _write_dates(folder: str, rows: Sequence[Sequence[Any]], counts: Counter[str]) -> None:
    for day, table in tables_of(rows):
        _write(folder, day, table)
        counts[day] += len(table)


def _write(folder: str, day: str, table: pa.Table) -> None:
    with nameless_file() as file:
        pq.write_table(table, file, compression="zstd")
        storage.replace_with(f"{folder.rstrip('/')}/date={day}/{FILE}", file)
