"""An open ledger: each of its operations, by name, is one transaction; and a run that is under way on it.

`animatic.ledger` is the face of this package: what is here is had from there.
"""

import functools
import os
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
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
from animatic.ledger.media import MediaBatches
from animatic.ledger.newest import IsDead, no_run_is_dead
from animatic.ledger.receipts import Receipts
from animatic.ledger.records import Intended, Intent
from animatic.ledger.transactions import Transactions
from animatic.pace.limits import Limits
from animatic.takes.fingerprints import Digests
from animatic.takes.snapshot import LedgerSnapshot

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
        return self if ledger is None else functools.partial(self._way(ledger), self.within_s, self.run)

    def _way(self, ledger: "Ledger") -> Any:
        return ledger.transactions.do


class _Alongside(_Operation[P, R]):
    """One that needs no turn, as `Transactions.do_alongside` says."""

    def _way(self, ledger: "Ledger") -> Any:
        return ledger.transactions.do_alongside


class Ledger:
    """An open ledger. Make it with `open_ledger`; use it in one event loop, and close it."""

    def __init__(self, transactions: Transactions) -> None:
        self.transactions, self._path = transactions, transactions.opened.beside
        self._elsewhere = transactions.database.elsewhere()
        self.batches, self._noted = MediaBatches(transactions), 0

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
    apply_acceptance = _Operation(settling.apply_acceptance)
    apply_refusal = _Operation(settling.apply_refusal)
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
    takes_starting_from = _Operation(chains.takes_starting_from)
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
    look_up_made = _Alongside(newest.look_up)
    book_clips = _Alongside(clips.book)
    take_over_booking = _Alongside(clips.take_over_booking)
    keep_clips = _Alongside(clips.keep, ANSWERS_WITHIN_S)
    give_up_clip = _Alongside(clips.give_up)
    clips_in = _Alongside(clips.clips_in)
    usual_clip_bytes = _Alongside(clips.usual_size_bytes)
    clips_of = _Alongside(clips.clips_of)
    described_clips = _Alongside(clips.described_clips)
    note_quality = _Alongside(quality.note, ANSWERS_WITHIN_S)
    bought = _Alongside(quality.bought)
    unchecked = _Alongside(quality.unchecked)

    # Inboxes
    find_in_inbox = _Operation(inbox.find)
    note_marks = _Operation(inbox.note_marks)
    note_foreign = _Operation(inbox.note_foreign)
    note_settled = _Operation(inbox.note_settled)
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
        if intended.intents > self._noted:  # those that shared a transaction are counted together
            self.note_intents(intended.intents)
            self._noted = intended.intents
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
        return bool(self.live_among([run_id]))

    def live_among(self, run_ids: Sequence[str]) -> set[str]:
        """Return those of these runs that a process carries out now, here or on another machine. Blocks.

        All of them where the ledger's server cannot be asked.
        """
        here = {run_id for run_id in run_ids if liveness.is_alive(self._path, run_id)}
        others = [run_id for run_id in run_ids if run_id not in here]
        return here.union(self._elsewhere.may_live(others) if others else ())

    def receipts_left_behind(self) -> dict[str, Path]:
        """Return the receipts of dead runs, by run id."""
        return liveness.receipts_left_behind(self._path, self._elsewhere.is_alive)

    def remove_run(self, run_id: str) -> None:
        """Remove what a dead run left behind, once all of it is in the ledger."""
        liveness.remove_run(self._path, run_id)

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
        return Account(self.ledger.transactions, self.ledger.live_among, provider, self.run_id, limits)
