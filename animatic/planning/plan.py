"""Plan of a run: which takes are new, cached, resumable or unknown, and their cost. Pure.

It knows some bytes of each take; the takes themselves are made from the manifest's rows while they are in hand.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from animatic.errors import BudgetError
from animatic.errors.text import counted
from animatic.manifest import Manifest
from animatic.planning.following import Following, find_following
from animatic.takes.chains import source_of
from animatic.takes.fingerprints import Digests, FingerprintSet, digests_of, hex_of
from animatic.takes.money.amounts import dollars
from animatic.takes.money.budgets import MAX_USD
from animatic.takes.schemas import LatencyClass, PriceClass, TakeClass
from animatic.takes.shots import Take
from animatic.takes.snapshot import LedgerSnapshot
from animatic.takes.states import FINAL, BuyingPolicy, State, TakeStatus, is_open, permission_to_buy
from animatic.takes.stills import LocalFile, MediaFile, Still

TASKS_OF_ONE = 200
"""Up to this many takes each is a Prefect task run of its own."""

LEAST_IN_A_BATCH = 100
"""Beyond that a task run is worth its 10 ms of CPU and more only with some takes in it."""

MOST_BATCHES = 400
"""Then batches grow, so that a flow run stays below some 500 task runs, uploads and quotes included."""


def batch_size(takes: int) -> int:
    """Return how many takes go into a batch, given how many there are to do."""
    return 1 if takes <= TASKS_OF_ONE else max(LEAST_IN_A_BATCH, math.ceil(takes / MOST_BATCHES))


class Batch:
    """Takes that one Prefect task run sees through. Not a dataclass on purpose: Prefect would walk all of it."""

    __slots__ = ("number", "takes")

    def __init__(self, number: int, takes: Sequence[Take]) -> None:
        self.number = number
        self.takes = takes

    @property
    def name(self) -> str:
        """The take's own name, or which takes of the run these are."""
        if len(self.takes) == 1:
            return self.takes[0].name
        return f"batch {self.number}: {self.takes[0].name} to {self.takes[-1].name}"


@dataclass(frozen=True, slots=True)
class Later:
    """Takes to buy that a budget leaves for a later run.

    Attributes:
        is_later: which of the plan's takes they are.
        microusd: cost of one attempt at each of them.
        limit: name of the option or variable that sets the budget.
        reason: how far the budget goes, for people.
    """

    is_later: NDArray[np.bool_]
    count: int
    microusd: int
    limit: str
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """A checked manifest held against the ledger.

    Attributes:
        snapshot: what the ledger knew of each of the manifest's takes when the run began.
        is_to_buy: which takes this run may submit.
        is_to_do: which takes there are to buy, to watch, or to see another run submit.
        settled: takes that have their final answer already and are not bought again, by state.
        settled_flagged: those among them with a flagged output.
        resumable: takes that were submitted before and are not final yet.
        unclear: takes that may or may not have been bought.
        underway: takes that a run was submitting when it was last heard of: unknown if it is dead.
        price_classes: how many takes there are to buy of each price class, in order of appearance.
        retriable_classes: how many failed or rejected takes of each `--retry-failed` would buy again.
        following: takes that start from the last frame of others.
        left_out: how many takes the policy would let this run buy that the plan which it carries out does not name.
        later: takes that a budget leaves for a later run; None where it leaves none.
    """

    manifest: Manifest
    snapshot: LedgerSnapshot
    is_to_buy: NDArray[np.bool_]
    is_to_do: NDArray[np.bool_]
    settled: Counter[State]
    settled_flagged: int
    resumable: int
    unclear: int
    underway: int
    price_classes: Counter[PriceClass]
    retriable_classes: Counter[PriceClass] = field(default_factory=Counter[PriceClass])
    following: Following = field(default_factory=lambda: Following.none(0))
    left_out: int = 0
    later: Later | None = None

    def __repr__(self) -> str:
        """Short: asyncio shows what a task returned."""
        return f"<Plan of {len(self)} takes>"

    def __len__(self) -> int:
        """Return the number of takes. Rows that ask for the same take share one."""
        return len(self.manifest.digests)

    @property
    def rows_asking(self) -> int:
        """Return the number of pairs of row and take; more than takes where some are shared."""
        return len(self.manifest.take_of)

    @property
    def to_buy(self) -> int:
        """Return how many takes this run may submit."""
        return self.price_classes.total()

    @property
    def not_chosen(self) -> int:
        """Return how many takes no chosen row asks for."""
        return 0 if self.manifest.is_chosen is None else int(np.count_nonzero(~self.manifest.is_chosen))

    @property
    def retriable(self) -> int:
        """Return how many failed or rejected takes `--retry-failed` would buy again."""
        return self.retriable_classes.total()

    @property
    def to_do(self) -> int:
        """Return how many takes there are to buy, to poll, or to see another run submit."""
        return int(np.count_nonzero(self.is_to_do))

    def latency_classes(self) -> Counter[LatencyClass]:
        """Return how many takes there are to do of each latency class."""
        found: Counter[LatencyClass] = Counter()
        for each, count in _classes(self.manifest, self.is_to_do):
            found[each.latency] += count
        return found

    def final_attempts(self) -> NDArray[np.int64]:
        """For each take the id of its newest attempt if that was final when the run began, else -1."""
        is_final = np.array([take_status.state in FINAL for take_status in self.snapshot.statuses])
        return np.where(is_final[self.snapshot.status_of], self.snapshot.attempt_id, -1)

    def takes_to_buy(self) -> Iterator[Take]:
        """Yield the takes that this run may submit, in manifest order."""
        return self._takes(self.is_to_buy)

    def storyboards_to_buy(self) -> Counter[str]:
        """Count the takes that this run may submit by storyboard, in manifest order."""
        counts, met = Counter[str](), 0
        for part in self.manifest.parts():
            is_first, met = part.first_shown(met)
            counts.update(part.storyboards(is_first & self.is_to_buy[part.take_of]))
        return counts

    def takes_at(self, is_wanted: NDArray[np.bool_]) -> Iterator[Take]:
        """Yield these takes, in manifest order."""
        return self._takes(is_wanted)

    def takes_to_do(self) -> Iterator[Take]:
        """Yield the takes to buy, to poll, or to see another run submit, in manifest order."""
        return self._takes(self.is_to_do)

    def fingerprints_to_buy(self) -> FingerprintSet:
        """Those of the takes that this run may submit."""
        return FingerprintSet(self.manifest.digests[self.is_to_buy])

    def never_seen(self) -> FingerprintSet:
        """Fingerprints of takes that the ledger has never heard of."""
        return FingerprintSet(self.manifest.digests[self.snapshot.attempt_id == 0])

    def takes_completed(self, *, chosen_only: bool = False) -> Iterator[tuple[Take, int]]:
        """Yield the takes that are completed and not bought again, each with its attempt's id, in manifest order."""
        is_completed = np.array([status.state is State.COMPLETED for status in self.snapshot.statuses], bool)
        is_wanted = is_completed[self.snapshot.status_of] & ~self.is_to_buy
        if chosen_only and self.manifest.is_chosen is not None:
            is_wanted &= self.manifest.is_chosen
        return zip(self._takes(is_wanted), self.snapshot.attempt_id[is_wanted].tolist(), strict=True)

    @property
    def renewals(self) -> dict[str, int]:
        """The takes to buy again because a still has changed, each with the attempt that is to be replaced."""
        is_changed = np.array([status.is_changed for status in self.snapshot.statuses], bool)
        is_wanted = is_changed[self.snapshot.status_of] & self.is_to_buy
        attempts: list[int] = self.snapshot.attempt_id[is_wanted].tolist()
        return dict(zip(hex_of(self.manifest.digests[is_wanted]), attempts, strict=True))

    def with_changed(self, fingerprints: Iterable[str], policy: BuyingPolicy) -> "Plan":
        """Return the plan where the stills of these takes have changed since they were bought."""
        at = FingerprintSet(self.manifest.digests).positions(digests_of(list(fingerprints)))
        return make_plan(self.manifest, self.snapshot.with_changed(at[at >= 0]), policy)

    def find(self, fingerprints: Iterable[str], *, chosen_only: bool = False) -> list[Take]:
        """Those of these takes that the manifest asks for, in manifest order; with `chosen_only` of chosen rows."""
        wanted = list(fingerprints)
        if not wanted:
            return []
        is_wanted = FingerprintSet(digests_of(wanted)).positions(self.manifest.digests) >= 0
        if chosen_only and self.manifest.is_chosen is not None:
            is_wanted &= self.manifest.is_chosen
        return list(self._takes(is_wanted))

    def files_to_upload(self) -> list[LocalFile]:
        """Return the local files that will be sent, each content once."""
        if not any(isinstance(found, Still | MediaFile) for found in self.manifest.stills.values()):
            return []
        files: dict[str, LocalFile] = {}
        for take in self.takes_to_buy():
            for file in take.shot.files:
                if source_of(file.identity) is None:  # a last frame is there once its clip is
                    files.setdefault(file.identity, file)
        return list(files.values())

    def stills_to_send(self) -> dict[str, Still]:
        """Return the local stills that takes to buy need, each content once, by a path of it."""
        found = {file.path: self.manifest.stills[file.path] for file in self.files_to_upload()}
        return {path: still for path, still in found.items() if isinstance(still, Still)}

    def stills_on_web(self, is_wanted: NDArray[np.bool_]) -> dict[str, None]:
        """Return the URLs of the stills of these takes, each once, in manifest order."""
        return dict.fromkeys(
            url for take in self._takes(is_wanted) for url in take.shot.schema.stills_on_web(take.shot.inputs)
        )

    def rows_to_buy_with(self, damages: Mapping[str, str]) -> dict[int, dict[str, str]]:
        """Return the rows that ask for a take to buy with some of these stills, each with those and their faults.

        Stills go by what identifies them.
        """
        rows: dict[int, dict[str, str]] = {}
        for part in self.manifest.parts():
            owners = np.repeat(np.arange(len(part.lengths)), part.lengths)
            for index in np.unique(owners[self.is_to_buy[part.take_of]]).tolist():
                if whys := {each: damages[each] for each in part.files(index) if each in damages}:
                    rows[part.row + index] = whys
        return rows

    def batches(self) -> Iterator[Batch]:
        """Yield batches of takes to do, of one take each while there are few; each is made when it is asked for.

        Takes that wait for others are in none of them.
        """
        size, number, waiting = batch_size(self.to_do), 0, list[Take]()
        for take in self._takes_in_order():
            waiting.append(take)
            if len(waiting) == size:
                number += 1
                yield Batch(number, waiting)
                waiting = []
        if waiting:
            yield Batch(number + 1, waiting)

    def blocked(self) -> dict[str, str]:
        """Return why takes cannot be bought that start from others, by fingerprint."""
        blocked = self.following.blocked
        names = hex_of(self.manifest.digests[list(blocked)]) if blocked else []
        return dict(zip(names, blocked.values(), strict=True))

    def followers(self) -> dict[str, list[Take]]:
        """Return the takes to buy that wait for the clip of another, by the fingerprint of that."""
        found: dict[str, list[Take]] = {}
        for take in self._takes(self.following.is_follower) if self.following.is_follower.any() else ():
            sources = filter(None, map(source_of, take.shot.paths))
            found.setdefault(next(sources), []).append(take)
        return found

    def heights(self, takes: Sequence[Take]) -> list[int]:
        """Return how many takes of this run follow each of these, one after the other."""
        at = FingerprintSet(self.manifest.digests).positions(digests_of(take.fingerprint for take in takes))
        return self.following.height[at].tolist()

    def _takes_in_order(self) -> Iterator[Take]:
        """Yield the takes to do that wait for no other: those with the longest chains behind them first."""
        if not self.following.is_follower.any():
            yield from self._takes(self.is_to_do)
            return
        is_free = self.is_to_do & ~self.following.is_follower
        is_followed = self.following.height > 0
        heads = list(self._takes(is_free & is_followed))
        heights = self.heights(heads)
        yield from (heads[index] for index in sorted(range(len(heads)), key=lambda index: -heights[index]))
        yield from self._takes(is_free & ~is_followed)

    def cost(self, prices: Mapping[PriceClass, int | None]) -> int | None:
        """Return what one attempt at everything costs, in millionths of a dollar; None where a price is missing."""
        return cost_of(self.price_classes, prices)

    def require_budget(
        self, prices: Mapping[PriceClass, int | None], max_microusd: int | None, limited_by: str = MAX_USD
    ) -> None:
        """Refuse a plan that costs more than it may. `limited_by` is the option or variable that sets the limit.

        Raises:
            BudgetError: it does, or its price cannot be known.
        """
        if max_microusd is None:
            return
        cost = self.cost(prices)
        if cost is None:
            raise BudgetError(
                f"{limited_by}: the price of a take cannot be had from the API; set ANIMATIC_PRICE_USD to what one "
                "take costs, or go by what such takes cost before, as far as the ledger knows, with --accept-estimates"
            )
        if cost > max_microusd:
            raise BudgetError(
                f"{limited_by}: the plan costs {dollars(cost)} for {counted(self.to_buy, 'take')}; allowed: "
                f"{dollars(max_microusd)}. Nothing was bought. Raise the limit or shorten the manifest."
            )

    def never_seen_before(self) -> Digests:
        """Return the fingerprints that never-seen takes had before there was a canonical form, in no order."""
        is_new = self.snapshot.attempt_id == 0
        return self.manifest.old_digests[is_new[self.manifest.old_of]]

    def _takes(self, is_wanted: NDArray[np.bool_]) -> Iterator[Take]:
        """Those of the takes, each as the first row that asks for it does; no part is read that has none."""
        wanted = np.flatnonzero(is_wanted)
        met = 0
        for part in self.manifest.parts() if len(wanted) else ():
            is_first, met = part.first_shown(met)
            is_asked_for = is_first & is_wanted[part.take_of]
            if is_asked_for.any():
                yield from part.takes(is_asked_for)
            if wanted[-1] < met:
                return


def cost_of(counts: Mapping[PriceClass, int], prices: Mapping[PriceClass, int | None]) -> int | None:
    """Return what so many takes of each price class cost, in millionths of a dollar; None where a price is missing."""
    costs = [prices.get(price_class) for price_class in counts]
    if any(price is None for price in costs):
        return None
    return sum((price or 0) * count for price, count in zip(costs, counts.values(), strict=True))


def make_plan(manifest: Manifest, snapshot: LedgerSnapshot, policy: BuyingPolicy) -> Plan:
    """Plan a checked manifest, given the ledger's knowledge of its takes."""
    statuses, status_of = snapshot.statuses, snapshot.status_of
    is_chosen = np.ones(len(status_of), bool) if manifest.is_chosen is None else manifest.is_chosen
    counts: list[int] = np.bincount(status_of[is_chosen], minlength=len(statuses)).tolist()
    may_buy = np.array([permission_to_buy(take_status, policy) is not None for take_status in statuses], bool)
    may_do = np.array([is_open(take_status, policy) for take_status in statuses], bool)
    is_settled = np.array([take_status.state in FINAL for take_status in statuses], bool) & ~may_buy
    settled: Counter[State] = Counter()
    for take_status, count, is_kept in zip(statuses, counts, is_settled.tolist(), strict=True):
        if take_status.state is not None and is_kept and count:
            settled[take_status.state] += count
    is_to_buy, is_to_do = may_buy[status_of] & is_chosen, may_do[status_of] & is_chosen
    following = find_following(manifest, is_to_buy, is_to_do)
    is_to_buy[list(following.blocked)] = is_to_do[list(following.blocked)] = False
    again = BuyingPolicy(retry_failed=True, attempts=policy.attempts)
    may_retry = np.array([permission_to_buy(each, again) is not None for each in statuses], bool) & ~may_buy
    return Plan(
        manifest=manifest,
        snapshot=snapshot,
        is_to_buy=is_to_buy,
        is_to_do=is_to_do,
        settled=settled,
        settled_flagged=int(np.count_nonzero(is_settled[status_of] & snapshot.is_flagged & is_chosen)),
        resumable=_count(statuses, counts, State.SUBMITTED),
        unclear=_count(statuses, counts, State.UNKNOWN, State.HELD),
        underway=_count(statuses, counts, State.SUBMITTING),
        price_classes=price_classes_of(manifest, is_to_buy),
        retriable_classes=price_classes_of(manifest, may_retry[status_of] & is_chosen),
        following=following,
    )


def price_classes_of(manifest: Manifest, is_wanted: NDArray[np.bool_]) -> Counter[PriceClass]:
    """Return how many of the wanted takes each price class has, in order of appearance."""
    found: Counter[PriceClass] = Counter()
    for each, count in _classes(manifest, is_wanted):
        found[each.price] += count
    return found


def _classes(manifest: Manifest, is_wanted: NDArray[np.bool_]) -> Iterator[tuple[TakeClass, int]]:
    counts: list[int] = np.bincount(manifest.class_of[is_wanted], minlength=len(manifest.classes)).tolist()
    return ((each, count) for each, count in zip(manifest.classes, counts, strict=True) if count)


def _count(statuses: Sequence[TakeStatus], counts: Sequence[int], *states: State) -> int:
    return sum(count for take_status, count in zip(statuses, counts, strict=True) if take_status.state in states)
