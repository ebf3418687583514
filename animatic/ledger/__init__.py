"""The durable record of every take: written before money is spent, and never behind it.

This module is the ledger's face: the rest of animatic imports nothing else of it. `open_ledger` opens a ledger to work
with, `look_into` one that need not exist. Every method of `Ledger` that is awaited is one transaction, and on disk when
it returns. Nothing here sends anything, and nothing decides what to buy.
"""

import functools
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from animatic.errors import LedgerAwayError
from animatic.ledger import liveness, opening
from animatic.ledger.clips import DESCRIBED as DESCRIBED_COLUMNS
from animatic.ledger.clips import Booking
from animatic.ledger.copying import back_up_ledger, copy_ledger, verify_ledger
from animatic.ledger.databases import Database
from animatic.ledger.face import Ledger, LedgerRun
from animatic.ledger.history import COLUMNS as HISTORY_COLUMNS
from animatic.ledger.history import position_of
from animatic.ledger.importing import Imported
from animatic.ledger.looks import BoughtWith
from animatic.ledger.moments import aware, aware_always
from animatic.ledger.newest import IsDead, Rows, no_run_is_dead, outcomes_from
from animatic.ledger.outages import Outage, Patience, Warn
from animatic.ledger.planned import LONG_ROWS, PlannedTake, Request
from animatic.ledger.predictions import Orphan
from animatic.ledger.prices import Paid
from animatic.ledger.pruning import LEAST_AGE, prune_ledger
from animatic.ledger.quality import Bought
from animatic.ledger.receipts import Entry, Receipt, read_receipts
from animatic.ledger.records import Clip, Finish, Intent, KeptClip, Quality, Record, WantedClip
from animatic.ledger.settling import Settlement
from animatic.ledger.statements import in_chunks
from animatic.ledger.transactions import Transactions
from animatic.ledger.unsettled import Open, Stuck

__all__ = [
    "DESCRIBED_COLUMNS",
    "HISTORY_COLUMNS",
    "LEAST_AGE",
    "LONG_ROWS",
    "Booking",
    "Bought",
    "BoughtWith",
    "Clip",
    "Entry",
    "Finish",
    "Imported",
    "Intent",
    "IsDead",
    "KeptClip",
    "Ledger",
    "LedgerRun",
    "Open",
    "Orphan",
    "Paid",
    "PlannedTake",
    "Quality",
    "Receipt",
    "Record",
    "Request",
    "Rows",
    "Settlement",
    "Stuck",
    "WantedClip",
    "aware",
    "aware_always",
    "back_up_ledger",
    "copy_ledger",
    "dead_runs",
    "files_of",
    "in_chunks",
    "ledger_name",
    "look_into",
    "no_run_is_dead",
    "open_ledger",
    "open_when_there",
    "outcomes_from",
    "position_of",
    "prune_ledger",
    "read_receipts",
    "verify_ledger",
]


def open_ledger(
    url: str, *, waits_for_company: bool = True, may_be_restored: bool = False, warn: Warn | None = None
) -> Ledger:
    """Open a ledger; a new one is made where none was.

    Args:
        url: `sqlite:////PATH`, or `postgresql://USER@HOST/DATABASE`.
        waits_for_company: operations may wait a moment to share a commit.
        may_be_restored: open a ledger that is older than its runs folder too, for the commands that mend that.
        warn: gets sentences while the server of an open ledger is away.

    Raises:
        SettingsError: the URL is none, or no ledger can be kept there.
        LedgerError: it cannot be trusted with money now. LedgerAwayError is one: its server does not answer.
    """
    return _open(opening.find_database(url), waits_for_company, may_be_restored, warn)


def open_when_there(url: str, warn: Warn, within_s: float | None = None) -> Ledger:
    """Open a ledger as an unattended run does: it waits minutes for a server that is away.

    Args:
        url: the ledger's.
        warn: gets sentences while the server is away.
        within_s: it waits so long; by default as long as an open ledger does.

    Raises:
        SettingsError: the URL is none, or no ledger can be kept there.
        LedgerError: it cannot be trusted with money now. LedgerAwayError is one: its server has not answered.
    """
    database = opening.find_database(url)
    outage = Outage(Patience(database.RECONNECTS_WITHIN_S if within_s is None else within_s, warn))
    while True:
        try:
            ledger = _open(database, waits_for_company=True, may_be_restored=False, warn=warn)
        except LedgerAwayError as error:
            if not outage.waits(str(error).removesuffix(". Nothing was bought.")):
                raise
        else:
            outage.ended(database.name)
            return ledger


def _open(database: Database, waits_for_company: bool, may_be_restored: bool, warn: Warn | None = None) -> Ledger:
    opened = opening.open_database(database, may_be_restored=may_be_restored)
    transactions = Transactions(opened, waits_for_company=waits_for_company)
    if warn is not None:
        transactions.patience.warn = warn
    return Ledger(transactions)


@contextmanager
def look_into(url: str, *, may_be_restored: bool = False) -> Generator[Ledger | None]:
    """Open a ledger for reading; None if there is none. None is made.

    Raises:
        LedgerError: it was there and is gone, or cannot be opened.
    """
    database = opening.find_database(url)
    if not database.may_hold_ledger():
        yield None
        return
    with _open(database, waits_for_company=True, may_be_restored=may_be_restored) as ledger:
        yield ledger


def dead_runs(url: str) -> IsDead:
    """Return a function that tells if a run is dead. It looks once at each, because a dead run stays dead."""
    database = opening.find_database(url)
    return functools.lru_cache(maxsize=None)(lambda run_id: not database.is_alive(run_id))


def ledger_name(url: str) -> str:
    """Return the ledger as messages name it: a path, or a server's URL without a password. It need not exist.

    Raises:
        SettingsError: the URL is none.
    """
    return opening.find_database(url).name


def files_of(url: str) -> tuple[Path, Path]:
    """Return a path of the ledger's own on this machine, and its runs folder; neither need exist.

    The path is that of the ledger's file, where it is one.

    Raises:
        SettingsError: the URL is none.
    """
    path = opening.find_database(url).place
    return path, liveness.runs_folder(path)
