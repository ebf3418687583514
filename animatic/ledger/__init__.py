"""The durable record of every take: written before money is spent, and never behind it.

This module is the ledger's face: the rest of animatic imports nothing else of it. `open_ledger` opens a ledger to work
with, `look_into` one that need not exist. Every method of `Ledger` that is awaited is one transaction, and on disk when
it returns. Nothing here sends anything, and nothing decides what to buy.
"""

import functools
import os
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

import sqlalchemy as sa

from animatic.ledger import (
    aliases,
    bill,
    by_hand,
    chains,
    clips,
    history,
    importing,
    inbox,
    liveness,
    location,
    looks,
    newest,
    opening,
    operations,
    planned,
    predictions,
    prices,
    quality,
    settling,
    snapshot,
    spending,
    unsettled,
    uploads,
)
from animatic.ledger.account import Account
from animatic.ledger.clips import DESCRIBED as DESCRIBED_COLUMNS
from animatic.ledger.clips import Booking
from animatic.ledger.copying import Copied, back_up_ledger, copy_ledger, verify_ledger
from animatic.ledger.databases import Database
from animatic.ledger.history import COLUMNS as HISTORY_COLUMNS
from animatic.ledger.history import place_of
from animatic.ledger.importing import Imported
from animatic.ledger.looks import BoughtWith
from animatic.ledger.media import MediaBatches
from animatic.ledger.newest import IsDead, Rows, no_run_is_dead, outcomes_from
from animatic.ledger.planned import Asked, Request
from animatic.ledger.predictions import Orphan
from animatic.ledger.prices import Paid
from animatic.ledger.pruning import LEAST_AGE, Pruned, prune_ledger
from animatic.ledger.quality import Bought
from animatic.ledger.receipts import Entry, Receipt, Receipts, read_receipts
from animatic.ledger.records import Clip, Finish, Intended, Intent, KeptClip, Quality, Record, Reserved, WantedClip
from animatic.ledger.settling import Settlement
from animatic.ledger.statements import in_chunks
from animatic.ledger.transactions import Transactions
from animatic.ledger.unsettled import Open, Stuck
from animatic.pace.limits import Limits
from animatic.takes.fingerprints import Digests
from animatic.takes.snapshot import LedgerSnapshot

__all__ = [
    "DESCRIBED_COLUMNS",
    "HISTORY_COLUMNS",
    "LEAST_AGE",
    "Account",
    "Asked",
    "Booking",
    "Bought",
    "BoughtWith",
    "Clip",
    "Copied",
    "Entry",
    "Finish",
    "Imported",
    "Intended",
    "Intent",
    "IsDead",
    "KeptClip",
    "Ledger",
    "LedgerRun",
    "MediaBatches",
    "Open",
    "Orphan",
    "Paid",
    "Pruned",
    "Quality",
    "Receipt",
    "Receipts",
    "Record",
    "Request",
    "Reserved",
    "Rows",
    "Settlement",
    "Stuck",
    "WantedClip",
    "back_up_ledger",
    "copy_ledger",
    "dead_runs",
    "files_of",
    "in_chunks",
    "ledger_name",
    "look_into",
    "no_run_is_dead",
    "open_ledger",
    "outcomes_from",
    "place_of",
    "prune_ledger",
    "read_receipts",
    "verify_ledger",
]

P = ParamSpec("P")
R = TypeVar("R")

INTENDS_WITHIN_S = 0.05
"""Intents wait so long for others to share their commit: a block of starts is intended in one transaction."""

ANSWERS_WITHIN_S = 0.2
"""Answers wait so long: they can be asked for again."""


class _Operation(Generic[P, R]):
    """A method of `Ledger` that runs one operation in a transaction."""

    def __init__(self, run: Callable[Concatenate[sa.Connection, P], R], within_s: float = 0.0) -> None:
        self.run, self.within_s, self.__doc__ = run, within_s, run.__doc__

    @overload
    def __get__(self, ledger: None, owner: type) -> Self: ...
    @overload
    def __get__(self, ledger: "Ledger", owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, ledger: "Ledger | None", owner: type) -> Any:
        return self if ledger is None else functools.partial(ledger.transactions.do, self.within_s, self.run)


class Ledger:
    """An open ledger. Make it with `open_ledger`; use it in one event loop, and close it."""

    def __init__(self, transactions: Transactions) -> None:
        self.transactions, self._path = transactions, transactions.opened.beside
        self._elsewhere = transactions.database.elsewhere()
        self.batches = MediaBatches(transactions)

    # Takes
    look_up = _Operation(newest.look_up)
    accept = _Operation(operations.accept, ANSWERS_WITHIN_S)
    conclude = _Operation(operations.conclude)
    finish = _Operation(operations.finish, ANSWERS_WITHIN_S)
    leave = _Operation(operations.leave)
    lose = _Operation(operations.lose)
    give_up = _Operation(operations.give_up)
    remark = _Operation(operations.remark)
    reserved_by = _Operation(operations.reserved_by)
    spent_on = _Operation(spending.spent_on)
    reserved_under = _Operation(operations.reserved_under)
    inference_history = _Operation(operations.inference_history)
    seek_outcomes = _Operation(newest.seek_outcomes)
    paid_attempts = _Operation(history.paid_attempts)

    # Runs
    begin_run = _Operation(operations.begin_run)
    runs_submitting = _Operation(operations.runs_submitting)
    give_up_submitting = _Operation(operations.give_up_submitting)
    redeem_accepted = _Operation(settling.redeem_accepted)
    redeem_no = _Operation(settling.redeem_no)
    answer = _Operation(opening.answer)

    # Takes of which it is not known if they were bought
    claims = _Operation(settling.claims)
    clock_shift = _Operation(settling.clock_shift)
    settle = _Operation(settling.settle)
    settle_by_hand = _Operation(by_hand.settle_by_hand)
    open_takes = _Operation(unsettled.open_takes)
    stuck = _Operation(unsettled.stuck)
    count_poll = _Operation(unsettled.count_poll)
    unbound = _Operation(predictions.unbound)
    note_unbound = _Operation(predictions.note_unbound)
    orphans = _Operation(predictions.orphans)
    known_between = _Operation(predictions.known_between)
    newest_known = _Operation(predictions.newest_known)

    # Older fingerprints
    join_aliases = _Operation(aliases.join)
    know_aliases = _Operation(aliases.know)
    takes_of = _Operation(aliases.takes_of)

    # What manifests asked for
    is_new = _Operation(planned.is_new)
    content_of = _Operation(planned.content_of)
    rows_of = _Operation(planned.rows_of)
    add_planned = _Operation(planned.add)
    finish_planned = _Operation(planned.finish)
    bought_among = _Operation(planned.bought_among)
    models_bought = _Operation(history.models_bought)
    newest_paid = _Operation(prices.newest_paid)
    manifests_with = _Operation(planned.manifests_with)
    takes_of_shot = _Operation(planned.takes_of_shot)
    requests_of_shot = _Operation(planned.requests_of_shot)
    versions_of = _Operation(planned.versions_of)
    takes_beginning = _Operation(planned.takes_beginning)
    attempts_at = _Operation(planned.attempts_at)

    # Chains
    sources_of = _Operation(chains.sources_of)
    standing_on = _Operation(chains.standing_on)
    names_of = _Operation(planned.names_of)

    # Uploaded stills
    find_uploads = _Operation(uploads.find)
    remember_upload = _Operation(uploads.remember)
    forget_upload = _Operation(uploads.forget)

    # Looks at stills on the web
    find_looks = _Operation(looks.find)
    remember_looks = _Operation(looks.remember)
    looks_since = _Operation(looks.since)
    looks_bought_with = _Operation(looks.bought_with)
    bind_looks_later = _Operation(looks.bind_later)

    # Clips
    book_clips = _Operation(clips.book)
    take_over_booking = _Operation(clips.take_over_booking)
    keep_clips = _Operation(clips.keep, ANSWERS_WITHIN_S)
    give_up_clip = _Operation(clips.give_up)
    clips_in = _Operation(clips.clips_in)
    usual_clip_bytes = _Operation(clips.usual_size_bytes)
    clips_of = _Operation(clips.clips_of)
    described_clips = _Operation(clips.described_clips)
    note_quality = _Operation(quality.note, ANSWERS_WITHIN_S)
    bought = _Operation(quality.bought)
    unchecked = _Operation(quality.unchecked)

    # Inboxes
    find_in_inbox = _Operation(inbox.find)
    note_marks = _Operation(inbox.note_marks)
    note_foreign = _Operation(inbox.note_foreign)
    hold_manifest = _Operation(inbox.hold)
    release_manifest = _Operation(inbox.release)

    # The bill
    note_bill = _Operation(bill.note_bill)
    bill_items_of = _Operation(bill.items_of)
    attempts_with = _Operation(bill.attempts_with)
    count_submitting = _Operation(bill.submitting)

    # Imported tables and restored backups
    take_over = _Operation(importing.take_over)
    lacking = _Operation(importing.lacking)
    note_looked_for = _Operation(importing.note_looked_for)
    declare_complete = _Operation(importing.declare_complete)

    async def require_sound(self) -> None:
        """Check the whole ledger before money depends on it.

        Raises:
            LedgerUnusableError: it is damaged.
        """
        await self.transactions.do(0.0, self.transactions.database.require_sound)

    async def intend(self, intent: Intent) -> Intended:
        """Record that a take is about to be bought, reserve its price, and note the number of intents beside it.

        Raises:
            BudgetError: the run, or the day, would reserve more than it may, or the price is not known.
            TakenError: another run has bought it since, or is about to.
        """
        intended = await self.transactions.do(INTENDS_WITHIN_S, operations.intend, intent)
        self.note_intents(intended.intents)
        return intended

    async def snapshot(
        self,
        takes: Digests,
        old_names: Mapping[str, Sequence[str]],
        run_id: str | None = None,
        is_dead: IsDead = no_run_is_dead,
    ) -> LedgerSnapshot:
        """Return the status of each take as the run sees it; `old_names` are earlier fingerprints, by take."""
        return await snapshot.snapshot_of(self.transactions, takes, old_names, run_id, is_dead)

    @asynccontextmanager
    async def run(self, run_id: str, manifest: str, flow_run_id: str | None = None) -> AsyncGenerator["LedgerRun"]:
        """Begin a run, which other processes see alive until the block ends.

        `manifest` is an absolute URI, `flow_run_id` Prefect's id of the run.

        Raises:
            LedgerUnusableError: there is no room for its receipts.
        """
        with liveness.alive(self._path, run_id) as receipts, self._elsewhere.hold(run_id):
            which = (run_id, manifest, socket.gethostname(), os.getpid(), flow_run_id)
            await self.transactions.do(0.0, _begin_if_open, self.transactions.database.name, *which)
            yield LedgerRun(self, run_id, receipts)

    def is_alive(self, run_id: str) -> bool:
        """Tell if a process carries this run out now, here or on another machine."""
        return liveness.is_alive(self._path, run_id) or self._elsewhere.is_alive(run_id)

    def receipts_left_behind(self) -> dict[str, Path]:
        """Return the receipts of dead runs, by run id."""
        return liveness.receipts_left_behind(self._path, self._elsewhere.is_alive)

    def bury(self, run_id: str) -> None:
        """Remove what a dead run left behind, once all of it is in the ledger."""
        liveness.bury(self._path, run_id)

    def sweep(self) -> None:
        """Remove old leavings of killed runs from the runs folder."""
        liveness.sweep(self._path)

    def noted_intents(self) -> int:
        """Return how many intents the runs folder has seen; a ledger that holds fewer was restored from a backup."""
        return location.noted_intents(self._path)

    def note_intents(self, intents: int) -> None:
        """Note beside the ledger how many intents it holds."""
        location.note_intents(self._path, intents)

    def report_transactions(self, reports: Callable[[float, bool], None]) -> None:
        """Report the seconds of each transaction from now on, and False where nothing of it was committed.

        `reports` is called in the thread that commits.
        """
        self.transactions.reports = reports

    def close(self) -> None:
        """Finish what is queued and close the database."""
        self._elsewhere.close()
        self.transactions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _begin_if_open(db: sa.Connection, name: str, *run: Any) -> None:
    """Begin a run, in the transaction that sees that the ledger was not closed since it was opened."""
    opening.require_open(db, name)
    operations.begin_run(db, *run)


@dataclass(frozen=True, slots=True)
class LedgerRun:
    """A run that has begun."""

    ledger: Ledger
    run_id: str
    receipts: Receipts

    def account(self, provider: str, limits: Limits) -> Account:
        """Return the account's limits as this run sees them. Call it inside the event loop."""
        return Account(self.ledger.transactions, self.ledger.is_alive, provider, self.run_id, limits)


def open_ledger(url: str, *, waits_for_company: bool = True, may_be_restored: bool = False) -> Ledger:
    """Open a ledger; a new one is made where none was.

    Args:
        url: `sqlite:////PATH`, or `postgresql://USER@HOST/DATABASE`.
        waits_for_company: operations may wait a moment to share a commit.
        may_be_restored: open a ledger that is older than its runs folder too, for the commands that mend that.

    Raises:
        SettingsError: the URL is none, or no ledger can be kept there.
        LedgerError: it cannot be trusted with money now.
    """
    return _open(opening.find_database(url), waits_for_company, may_be_restored)


def _open(database: Database, waits_for_company: bool, may_be_restored: bool) -> Ledger:
    opened = opening.open_database(database, may_be_restored=may_be_restored)
    return Ledger(Transactions(opened, waits_for_company=waits_for_company))


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
