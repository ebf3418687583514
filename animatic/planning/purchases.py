"""Takes that a run may buy because a plan names them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from animatic.planning.following import find_following
from animatic.planning.plan import Plan, price_classes_of
from animatic.planning.planned_rows import PlannedRows
from animatic.takes.fingerprints import FingerprintSet
from animatic.takes.states import FINAL, TakeStatus


@dataclass(frozen=True, slots=True)
class Purchases:
    """The takes that a plan says are to be bought.

    Attributes:
        takes: their fingerprints.
        attempt: the ledger's number of the newest attempt at each when the plan was made; 0 where there was none.
    """

    takes: FingerprintSet
    attempt: NDArray[np.int64]

    def within(self, plan: Plan) -> Plan:
        """Return a plan that buys no other takes, and none that was answered since.

        A take that failed may be bought again by the plan that was made after it had failed, and once.
        """
        at = self.takes.positions(plan.manifest.digests)
        is_named = at >= 0
        planned = np.where(is_named, self.attempt[at], -1) if len(self.attempt) else np.full(len(at), -1)
        is_answered = _each(plan.snapshot.statuses, plan.snapshot.status_of)
        is_allowed = is_named & (~is_answered | (plan.snapshot.attempt_id == planned))
        is_left_out = plan.is_to_buy & ~is_allowed
        if not is_left_out.any():
            return plan
        return replace(without(plan, is_left_out), left_out=int(np.count_nonzero(is_left_out)))


def without(plan: Plan, is_left_out: NDArray[np.bool_]) -> Plan:
    """Return a plan that does not buy these takes, nor what can only be bought after them."""
    is_answered = _each(plan.snapshot.statuses, plan.snapshot.status_of)
    is_to_buy, is_to_do = plan.is_to_buy & ~is_left_out, plan.is_to_do & ~is_left_out
    following = find_following(plan.manifest, is_to_buy, is_to_do)
    blocked = list(following.blocked)  # by a take that is left out
    is_to_buy[blocked] = is_to_do[blocked] = False
    settled = plan.settled.copy()
    for number in plan.snapshot.status_of[is_left_out & is_answered].tolist():
        state = plan.snapshot.statuses[number].state
        settled.update([] if state is None else [state])
    return replace(
        plan,
        is_to_buy=is_to_buy,
        is_to_do=is_to_do,
        settled=settled,
        price_classes=price_classes_of(plan.manifest, is_to_buy),
        following=replace(following, blocked={**plan.following.blocked, **following.blocked}),
    )


def purchases_of(rows: PlannedRows) -> Purchases:
    """Return the takes that the rows of a plan say are to be bought."""
    is_bought = rows.is_bought
    return Purchases(FingerprintSet(rows.digest[is_bought]), rows.attempt[is_bought])


def _each(statuses: Sequence[TakeStatus], status_of: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Tell of each take if it has a final answer."""
    return np.array([each.state in FINAL for each in statuses], bool)[status_of]
