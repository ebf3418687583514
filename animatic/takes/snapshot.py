"""Snapshot of what a ledger knows of many takes, in columns. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from animatic.takes.states import TakeStatus


@dataclass(frozen=True, slots=True, repr=False)
class LedgerSnapshot:
    """State of each of many takes in the ledger.

    Attributes:
        statuses: every different status there is; the first is that of a take without an attempt.
        status_of: which of them each take has.
        attempt_id: of its newest attempt, 0 where there is none.
        is_flagged: whether that attempt has a flagged output.
    """

    statuses: Sequence[TakeStatus]
    status_of: NDArray[np.int32]
    attempt_id: NDArray[np.int64]
    is_flagged: NDArray[np.bool_]

    def with_changed(self, at: NDArray[np.int64]) -> "LedgerSnapshot":
        """Return the same with these takes as ones whose still has changed; `at` are their places."""
        statuses, status_of = list(self.statuses), self.status_of.copy()
        for old in np.unique(status_of[at]).tolist():
            statuses.append(replace(statuses[old], is_changed=True))
            status_of[at[self.status_of[at] == old]] = len(statuses) - 1
        return LedgerSnapshot(statuses, status_of, self.attempt_id, self.is_flagged)

    @classmethod
    def empty(cls, takes: int) -> Self:
        """Return the snapshot of a ledger that knows none of so many takes."""
        return cls([TakeStatus(None)], np.zeros(takes, np.int32), np.zeros(takes, np.int64), np.zeros(takes, np.bool_))
