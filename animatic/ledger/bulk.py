"""Look-ups of many takes at once: the rule of `operations.look_up`, in columns.

What runs in a transaction only fetches, and no more than a few thousand attempts at a time, so that none waits long
to write. What is fetched is put together outside.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from numpy.typing import NDArray

from animatic.ledger import aliases
from animatic.ledger.operations import died
from animatic.ledger.schema import RUN, TAKE
from animatic.takes.fingerprints import Digests, FingerprintSet, digests_of
from animatic.takes.states import PAID, State, TakeStatus

SEEK_TAKES = 4_096
SCAN_ATTEMPTS = 5_000
SCAN_UP_TO = 3
"""The whole ledger is read where it has no more than this many attempts for each take that is wanted."""

Rows = Sequence[tuple[Any, ...]]
IsDead = Callable[[str], bool]
"""Whether a run is dead, by its id: what it was submitting is unknown, whether or not that is written down yet."""

_STANDING = (
    "fingerprint, attempt_no, attempt_id, state, run_id, error_code, "
    "coalesce(instr(has_nsfw_contents, 'true'), 0) > 0, coalesce(ended_run_no, 0)"
)
_OUTCOME = (
    "fingerprint, attempt_no, attempt_id, state, run_id, quoted_microusd, prediction_id, prediction_status, "
    "prediction_model, outputs, has_nsfw_contents, inference_ms, error_code, error, submitted_at, completed_at, "
    "created_at, polls"
)
_STATE_OF = {state.value: state for state in State}
_PAID = frozenset(state.value for state in PAID)


def nobody_is_dead(_run_id: str) -> bool:
    """Call no run dead: for callers that have recovered the dead runs already."""
    return False


def apart(db: sa.Connection) -> dict[str, list[str]]:
    """Return aliases with attempts of their own, by take; empty but for a ledger from before the canonical form."""
    return aliases.apart(db)


def know_old_names(db: sa.Connection, names: Mapping[str, Sequence[str]]) -> None:
    """Make aliases of those old fingerprints, by take, that the ledger holds takes of, and join what can be joined."""
    take_of = {old: take for take, olds in names.items() for old in olds if old != take}
    olds = list(take_of)
    for start in range(0, len(olds), SEEK_TAKES):
        chunk = olds[start : start + SEEK_TAKES]
        for old in db.execute(sa.select(TAKE.c.fingerprint).where(TAKE.c.fingerprint.in_(chunk))).scalars().all():
            aliases.add(db, old, take_of[old])
    aliases.join(db)


def run_no_of(db: sa.Connection, run_id: str) -> int | None:
    """Return the place of a run in the order in which runs began."""
    return db.execute(sa.select(RUN.c.run_no).where(RUN.c.run_id == run_id)).scalar()


def attempts_made(db: sa.Connection) -> int:
    """About how many attempts the ledger holds, from the newest one's id."""
    return int(db.exec_driver_sql("SELECT coalesce(max(attempt_id), 0) FROM attempt").scalar_one())


def scan_statuses(db: sa.Connection, after: int) -> Rows:
    """Return the next attempts after the one with that id, of all takes."""
    text = f"SELECT {_STANDING} FROM attempt WHERE attempt_id > ? ORDER BY attempt_id LIMIT {SCAN_ATTEMPTS}"  # noqa: S608 - ours
    return _fetched(db, text, (after,))


def seek_statuses(db: sa.Connection, fingerprints: Sequence[str]) -> Rows:
    """All attempts of at most `SEEK_TAKES` takes."""
    return _seek(db, _STANDING, fingerprints)


def seek_outcomes(db: sa.Connection, fingerprints: Sequence[str]) -> Rows:
    """Return all attempts of at most `SEEK_TAKES` takes, with their outcomes, for `outcomes_from`."""
    return _seek(db, _OUTCOME, fingerprints)


def _seek(db: sa.Connection, columns: str, fingerprints: Sequence[str]) -> Rows:
    if len(fingerprints) > SEEK_TAKES:
        raise ValueError(f"found {len(fingerprints)} takes to look up at once; allowed: {SEEK_TAKES}")
    marks = ",".join("?" * len(fingerprints))
    text = f"SELECT {columns} FROM attempt WHERE fingerprint IN ({marks}) ORDER BY fingerprint, attempt_no"  # noqa: S608 - ours
    return _fetched(db, text, tuple(fingerprints))


def _fetched(db: sa.Connection, text: str, values: tuple[Any, ...]) -> Rows:
    """Plain tuples, as the driver gives them: SQLAlchemy's rows would take twice as long."""
    found: Any = db.exec_driver_sql(text, values)
    return found.cursor.fetchall()


@dataclass(frozen=True, slots=True, repr=False)
class LedgerSnapshot:
    """State of each of many takes in the ledger.

    Attributes:
        kinds: every different take_status there is; the first is that of a take without an attempt.
        kind_of: which of them each take has.
        attempt_id: of its newest attempt, 0 where there is none.
        is_flagged: whether that attempt has a flagged output.
    """

    kinds: Sequence[TakeStatus]
    kind_of: NDArray[np.int32]
    attempt_id: NDArray[np.int64]
    is_flagged: NDArray[np.bool_]


class SnapshotBuilder:
    """Puts attempts together, whatever their order, to the snapshot of takes."""

    def __init__(
        self, takes: Digests, run_id: str | None, is_dead: IsDead = nobody_is_dead, run_no: int | None = None
    ) -> None:
        count = len(takes)
        self._takes = FingerprintSet(takes)
        self._run_id, self._is_dead, self._run_no = run_id, is_dead, run_no
        self._attempt_no: NDArray[np.int32] = np.zeros(count, np.int32)
        self._attempt_id: NDArray[np.int64] = np.zeros(count, np.int64)
        self._said: NDArray[np.int32] = np.zeros(count, np.int32)
        self._bought_here: NDArray[np.int32] = np.zeros(count, np.int32)
        self._is_flagged: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self._saying: dict[tuple[State | None, int | None, bool, bool], int] = {(None, None, False, True): 0}

    def add(self, rows: Rows) -> None:
        """Add attempts from `scan_statuses` or `seek_statuses`. Attempts of other takes are ignored."""
        if not rows:
            return
        fingerprints, numbers, ids, states, runs, codes, flagged, ended = zip(*rows, strict=True)
        at = self._takes.positions(digests_of(fingerprints))
        different = {each: self._say(*each) for each in set(zip(states, codes, runs, ended, strict=True))}
        said = [different[each] for each in zip(states, codes, runs, ended, strict=True)]
        is_ours = at >= 0
        is_bought_here = np.array([run == self._run_id for run in runs]) & np.array([s in _PAID for s in states])
        np.add.at(self._bought_here, at[is_ours & is_bought_here], 1)
        attempt_no = np.asarray(numbers, np.int32)
        newer = np.flatnonzero(is_ours & (attempt_no > self._attempt_no[at]))
        newer = newer[np.argsort(attempt_no[newer], kind="stable")]  # of two for one take the last assignment counts
        to = at[newer]
        self._attempt_no[to] = attempt_no[newer]
        self._attempt_id[to] = np.asarray(ids, np.int64)[newer]
        self._said[to] = np.asarray(said, np.int32)[newer]
        self._is_flagged[to] = np.asarray(flagged, np.bool_)[newer]

    def add_apart(self, takes: Mapping[str, Sequence[str]], rows: Rows) -> None:
        """Add attempts of aliases: a live one decides the state of its take, unless one of lower rank does."""
        take_of = {old: take for take, olds in takes.items() for old in olds}
        sayings = list(self._saying)
        for row in rows:
            take = take_of.get(row[0])
            at = int(self._takes.positions(digests_of([take]))[0]) if take is not None else -1
            if at < 0 or row[3] not in aliases.RANK:
                continue
            own = sayings[self._said[at]][0]
            if aliases.RANK[row[3]] >= (9 if own is None else aliases.RANK.get(own.value, 9)):
                continue
            self._attempt_no[at] = 0
            self.add([(take, 1, *row[2:])])
            sayings = list(self._saying)

    def snapshot(self) -> LedgerSnapshot:
        """Return the state of each take, from all attempts that were added."""
        most = int(self._bought_here.max(initial=0)) + 1
        found, kind_of = np.unique(self._said.astype(np.int64) * most + self._bought_here, return_inverse=True)
        sayings = list(self._saying)
        kinds = [TakeStatus(None)]
        for key in found.tolist():
            state, code, is_ours, is_left = sayings[key // most]
            kinds.append(TakeStatus(state, code, key % most, is_ours, is_left) if state else TakeStatus(None))
        return LedgerSnapshot(kinds, kind_of.astype(np.int32) + 1, self._attempt_id, self._is_flagged)

    def _say(self, state: str, code: int | None, run_id: str, ended_run_no: int) -> int:
        is_left = self._run_no is None or ended_run_no < self._run_no
        key = (as_it_is(state, run_id, self._is_dead), code, run_id == self._run_id, is_left)
        return self._saying.setdefault(key, len(self._saying))


def outcomes_from(rows: Rows, is_dead: IsDead = nobody_is_dead) -> dict[str, Any]:
    """Return the newest attempt of each take in columns, in the order of `rows`, with the prices of all its attempts.

    `rows` are as `seek_outcomes` gave them. The columns are named as in `Record`; moments are Arrow arrays, UTC.
    """
    newest: list[Any] = []
    attempts: list[int] = []
    quoted: list[int | None] = []
    last = None
    for row in rows:
        is_paid = row[3] in _PAID or as_it_is(row[3], row[4], is_dead) is State.UNKNOWN
        price = row[5] if is_paid else 0
        if row[0] == last:
            newest[-1] = row
            attempts[-1] += is_paid
            before = quoted[-1]
            quoted[-1] = None if before is None or price is None else before + price
        else:
            newest.append(row)
            attempts.append(int(is_paid))
            quoted.append(price)
            last = row[0]
    names = _OUTCOME.replace(" ", "").split(",")
    columns: dict[str, Any] = dict(zip(names, zip(*newest, strict=True) if newest else [()] * len(names), strict=True))
    different = {each: as_it_is(*each, is_dead) for each in set(zip(columns["state"], columns["run_id"], strict=True))}
    state = [different[each] for each in zip(columns["state"], columns["run_id"], strict=True)]
    error = [
        died(run) if now is State.UNKNOWN and was == State.SUBMITTING.value else said
        for now, was, run, said in zip(state, columns["state"], columns["run_id"], columns["error"], strict=True)
    ]
    lists = {name: _lists(columns[name]) for name in ("outputs", "has_nsfw_contents")}
    moments = {name: _moments(columns[name]) for name in ("submitted_at", "completed_at", "created_at")}
    return {
        **columns, **lists, **moments, "state": state, "error": error, "attempts": attempts, "quoted_microusd": quoted
    }  # fmt: skip


def as_it_is(state: str, run_id: str, is_dead: IsDead) -> State:
    """Read a submission of a dead run as unknown, even before the ledger says so."""
    if state == State.SUBMITTING.value and is_dead(run_id):
        return State.UNKNOWN
    return _STATE_OF[state]


def _lists(texts: Sequence[str | None]) -> list[Any]:
    """JSON lists, those that are the same parsed once, and all in one go."""
    different = dict.fromkeys(text or "null" for text in texts)
    parsed = dict(zip(different, json.loads(f"[{','.join(different)}]"), strict=True))
    return [parsed[text or "null"] for text in texts]


def _moments(texts: Sequence[str | None]) -> pa.Array:
    """Moments as they are stored: UTC, without saying so."""
    return pa.array(texts, pa.string()).cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
