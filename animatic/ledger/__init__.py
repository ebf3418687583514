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
    by_hand,
    clips,
    history,
    importing,
    liveness,
    location,
    newest,
    opening,
    operations,
    planned,
    predictions,
    settling,
    snapshot,
    unsettled,
    uploads,
)
from animatic.ledger.account import Account
from animatic.ledger.clips import Booking
from animatic.ledger.history import COLUMNS as HISTORY_COLUMNS
from animatic.ledger.history import place_of
from animatic.ledger.importing import Imported
from animatic.ledger.newest import IsDead, Rows, no_run_is_dead, outcomes_from
from animatic.ledger.planned import Asked, Request
from animatic.ledger.predictions import Orphan
from animatic.ledger.receipts import Entry, Receipt, Receipts, read_receipts
from animatic.ledger.records import Clip, Finish, Intended, Intent, KeptClip, Record, Reserved, WantedClip
from animatic.ledger.settling import Settlement
from animatic.ledger.statements import in_chunks
from animatic.ledger.transactions import Transactions
from animatic.ledger.unsettled import Open, Stuck
from animatic.pace.limits import Limits
from animatic.takes.fingerprints import Digests
from animatic.takes.snapshot import LedgerSnapshot

__all__ = [
    "HISTORY_COLUMNS",
    "Account",
    "Asked",
    "Booking",
    "Clip",
    "Entry",
    "Finish",
    "Imported",
    "Intended",
    "Intent",
    "IsDead",
    "KeptClip",
    "Ledger",
    "LedgerRun",
    "Open",
    "Orphan",
    "Receipt",
    "Receipts",
    "Record",
    "Request",
    "Reserved",
    "Rows",
    "Settlement",
    "Stuck",
    "WantedClip",
    "dead_runs",
    "files_of",
    "in_chunks",
    "ledger_name",
    "look_into",
    "no_run_is_dead",
    "open_ledger",
    "outcomes_from",
    "place_of",
    "read_receipts",
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

    def __init__(self, path: Path, transactions: Transactions) -> None:
        self.path, self.transactions = path, transactions

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
    inference_history = _Operation(operations.inference_history)
    seek_outcomes = _Operation(newest.seek_outcomes)
    paid_attempts = _Operation(history.paid_attempts)

    # Runs
    begin_run = _Operation(operations.begin_run)
    runs_submitting = _Operation(operations.runs_submitting)
    give_up_submitting = _Operation(operations.give_up_submitting)
    redeem_accepted = _Operation(settling.redeem_accepted)
    redeem_no = _Operation(settling.redeem_no)
    require_sound = _Operation(opening.require_sound)

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
    add_planned = _Operation(planned.add)
    finish_planned = _Operation(planned.finish)
    bought_among = _Operation(planned.bought_among)
    models_bought = _Operation(history.models_bought)
    manifests_with = _Operation(planned.manifests_with)
    takes_of_shot = _Operation(planned.takes_of_shot)
    requests_of_shot = _Operation(planned.requests_of_shot)
    versions_of = _Operation(planned.versions_of)
    takes_beginning = _Operation(planned.takes_beginning)
    attempts_at = _Operation(planned.attempts_at)

    # Uploaded stills
    find_uploads = _Operation(uploads.find)
    remember_upload = _Operation(uploads.remember)
    forget_upload = _Operation(uploads.forget)

    # Clips
    book_clips = _Operation(clips.book)
    take_over_booking = _Operation(clips.take_over_booking)
    keep_clips = _Operation(clips.keep, ANSWERS_WITHIN_S)
    give_up_clip = _Operation(clips.give_up)
    clips_in = _Operation(clips.clips_in)
    usual_clip_bytes = _Operation(clips.usual_size_bytes)
    clips_of = _Operation(clips.clips_of)

    # Imported tables and restored backups
    take_over = _Operation(importing.take_over)
    lacking = _Operation(importing.lacking)
    note_looked_for = _Operation(importing.note_looked_for)
    declare_complete = _Operation(importing.declare_complete)

    async def intend(self, intent: Intent) -> Intended:
        """Record that a take is about to be bought, reserve its price, and note the number of intents beside it.

        Raises:
            BudgetError: the run would reserve more than it may, or the price is not known.
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
        with liveness.alive(self.path, run_id) as receipts:
            await self.begin_run(run_id, manifest, socket.gethostname(), os.getpid(), flow_run_id)
            yield LedgerRun(self, run_id, receipts)

    def is_alive(self, run_id: str) -> bool:
        """Tell if a process carries this run out now."""
        return liveness.is_alive(self.path, run_id)

    def receipts_left_behind(self) -> dict[str, Path]:
        """Return the receipts of dead runs, by run id."""
        return liveness.receipts_left_behind(self.path)

    def bury(self, run_id: str) -> None:
        """Remove what a dead run left behind, once all of it is in the ledger."""
        liveness.bury(self.path, run_id)

    def sweep(self) -> None:
        """Remove old leavings of killed runs from the runs folder."""
        liveness.sweep(self.path)

    def noted_intents(self) -> int:
        """Return how many intents the runs folder has seen; a ledger that holds fewer was restored from a backup."""
        return location.noted_intents(self.path)

    def note_intents(self, intents: int) -> None:
        """Note beside the ledger how many intents it holds."""
        location.note_intents(self.path, intents)

    def close(self) -> None:
        """Finish what is queued and close the file."""
        self.transactions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
        url: `sqlite:////PATH`.
        waits_for_company: operations may wait a moment to share a commit.
        may_be_restored: open a ledger that is older than its runs folder too, for the commands that mend that.

    Raises:
        SettingsError: the URL is none, or it lies on a network file system.
        LedgerError: it cannot be trusted with money now.
    """
    engine = opening.open_engine(url, may_be_restored=may_be_restored)
    return Ledger(opening.sqlite_path(url), Transactions(engine, waits_for_company=waits_for_company))


@contextmanager
def look_into(url: str, *, may_be_restored: bool = False) -> Generator[Ledger | None]:
    """Open a ledger for reading; None if there is none. None is made.

    Raises:
        LedgerError: it was there and is gone, or cannot be opened.
    """
    path = opening.sqlite_path(url)
    location.require_not_lost(path)
    if not path.exists():
        yield None
        return
    with open_ledger(url, may_be_restored=may_be_restored) as ledger:
        yield ledger


def dead_runs(url: str) -> IsDead:
    """Return a function that tells if a run is dead. It looks once at each, because a dead run stays dead."""
    path = opening.sqlite_path(url)
    return functools.lru_cache(maxsize=None)(lambda run_id: not liveness.is_alive(path, run_id))


def ledger_name(url: str) -> str:
    """Return the ledger as messages name it: its path. It need not exist.

    Raises:
        SettingsError: the URL is none.
    """
    return str(opening.sqlite_path(url))


def files_of(url: str) -> tuple[Path, Path]:
    """Return the ledger's file and its runs folder; neither need exist.

    Raises:
        SettingsError: the URL is none.
    """
    path = opening.sqlite_path(url)
    return path, liveness.runs_folder(path)
