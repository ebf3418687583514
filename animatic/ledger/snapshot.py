"""Snapshot of the ledger: the status of each of many takes, in columns."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from animatic.ledger import aliases, newest
from animatic.ledger.newest import IsDead, Rows, as_it_is, no_run_is_dead
from animatic.ledger.statements import MOST_VALUES, in_chunks
from animatic.ledger.transactions import Transactions
from animatic.takes.fingerprints import Digests, FingerprintSet, digests_of, hex_of
from animatic.takes.snapshot import LedgerSnapshot
from animatic.takes.states import State, TakeStatus


class SnapshotBuilder:
    """Gathers the newest attempts of takes into a snapshot, whatever their order."""

    def __init__(self, takes: Digests, is_dead: IsDead = no_run_is_dead) -> None:
        count = len(takes)
        self._takes, self._is_dead = FingerprintSet(takes), is_dead
        self._attempt_id = np.zeros(count, np.int64)
        self._status_of = np.zeros(count, np.int32)
        self._is_flagged = np.zeros(count, np.bool_)
        self._is_tried_again = np.zeros(count, np.bool_)
        self._statuses: dict[TakeStatus, int] = {TakeStatus(None): 0}

    def add(self, rows: Rows) -> None:
        """Add rows of `scan_attempts` or `seek_statuses`. Those of other takes are ignored."""
        if not rows:
            return
        fingerprints, states, ids, numbers, runs, codes, flagged, *seen_by_run = zip(*rows, strict=True)
        at = self._takes.positions(digests_of(fingerprints))
        statuses = list(zip(states, runs, codes, *seen_by_run, strict=True))
        different = {each: self._number(*each) for each in set(statuses)}
        is_wanted = at >= 0
        to = at[is_wanted]
        self._attempt_id[to] = np.asarray(ids, np.int64)[is_wanted]
        self._status_of[to] = np.asarray([different[each] for each in statuses], np.int32)[is_wanted]
        self._is_flagged[to] = np.asarray(flagged, np.bool_)[is_wanted]
        self._is_tried_again[at[is_wanted & (np.asarray(numbers, np.int64) > 1)]] = True

    def tried_again(self) -> NDArray[np.bool_]:
        """Tell which of the takes had more than one attempt among the rows that were added: they are to be sought."""
        return self._is_tried_again.copy()

    def add_aliases(self, takes: Mapping[str, Sequence[str]], rows: Rows) -> None:
        """Add attempts of aliases, by take: one that ranks lower than the take's own stands in for it."""
        take_of = {old: take for take, olds in takes.items() for old in olds}
        statuses = list(self._statuses)
        for row in rows:
            at = int(self._takes.positions(digests_of([take_of[row[0]]]))[0])
            own = None if at < 0 else statuses[self._status_of[at]].state
            if at >= 0 and (own is None or aliases.rank(row[1]) < aliases.rank(own)):
                self.add([(take_of[row[0]], *row[1:])])
                statuses = list(self._statuses)

    def snapshot(self) -> LedgerSnapshot:
        """Return the status of each take, from all rows that were added."""
        return LedgerSnapshot(list(self._statuses), self._status_of, self._attempt_id, self._is_flagged)

    def _number(  # noqa: PLR0913, PLR0917 - the columns of a status
        self, state: str, run_id: str, code: int | None, tried_here: bool, bought_here: int, is_left: bool
    ) -> int:
        now = as_it_is(State(state), run_id, self._is_dead)
        status = TakeStatus(now, code, bought_here, tried_here, is_left)
        return self._statuses.setdefault(status, len(self._statuses))


async def snapshot_of(
    transactions: Transactions,
    takes: Digests,
    old_names: Mapping[str, Sequence[str]],
    run_id: str | None = None,
    is_dead: IsDead = no_run_is_dead,
) -> LedgerSnapshot:
    """Return the status of each take as the run sees it; `old_names` are earlier fingerprints of these takes.

    A take that the ledger knows by an earlier fingerprint only has the status of that one.
    """
    builder = SnapshotBuilder(takes, is_dead)
    if await transactions.do(0.0, newest.attempts_made) <= newest.SCAN_UP_TO * len(takes):
        after = 0
        while rows := await transactions.do(0.0, newest.scan_attempts, after, run_id):
            builder.add(rows)
            after = rows[-1][2]
        sought = takes[builder.tried_again()]
    else:
        sought = takes
    for start in range(0, len(sought), MOST_VALUES):
        some = hex_of(sought[start : start + MOST_VALUES])
        builder.add(await transactions.do(0.0, newest.seek_statuses, some, run_id))
    names = {take: [*olds] for take, olds in (await transactions.do(0.0, aliases.apart)).items()}
    for take, olds in old_names.items():
        names[take] = list(dict.fromkeys([*names.get(take, ()), *olds]))
    for some in in_chunks([old for olds in names.values() for old in olds]):
        builder.add_aliases(names, await transactions.do(0.0, newest.seek_statuses, some, run_id))
    return builder.snapshot()
