"""What a run will do, before it does it: which takes are new, cached, resumable or unknown, and their cost. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from animatic.errors import BudgetError
from animatic.ledger.records import Record
from animatic.manifest import Manifest
from animatic.results import Outcome, Provenance, build_table
from animatic.shots import Shot, Take
from animatic.takes import (
    FINAL,
    LEAST_USD,
    BuyingPolicy,
    Standing,
    State,
    Step,
    next_step,
    permission_to_buy,
    status_of,
)

TASKS_OF_ONE = 200
"""Up to this many takes each is a Prefect task run of its own."""

MOST_BATCHES = 400
"""Beyond that batches grow, so that a flow run stays below some 500 task runs, uploads and quotes included."""

PricedBy = tuple[str, str, str]
"""What a price depends on: model, duration, aspect ratio."""


def priced_by(shot: Shot) -> PricedBy:
    """What the price of one of its takes depends on."""
    return (shot.model, shot.duration, shot.aspect_ratio)


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


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """A checked manifest held against the ledger.

    Attributes:
        takes: by fingerprint, in manifest order; rows that ask for the same take share one.
        records: what the ledger knew when the run began.
        rows_asking: how many row-and-take pairs there are; more than `takes` where some are shared.
    """

    manifest: Manifest
    takes: Mapping[str, Take]
    records: Mapping[str, Record]
    policy: BuyingPolicy
    rows_asking: int

    def __repr__(self) -> str:
        """Short: asyncio shows what a task returned, and a hundred thousand takes spelled out cost 180 MB."""
        return f"<Plan of {len(self.takes)} takes>"

    @property
    def to_buy(self) -> list[Take]:
        """Takes that this run may submit, in manifest order."""
        return [take for key, take in self.takes.items() if self._permission(key) is not None]

    @property
    def resumable(self) -> list[Take]:
        """Takes that were submitted before and are not final yet."""
        return [take for key, take in self.takes.items() if self._state(key) is State.SUBMITTED]

    @property
    def to_do(self) -> list[Take]:
        """What there is to buy, to watch, or to see another run submit, in manifest order."""
        return [take for key, take in self.takes.items() if self._step(key) is not Step.REST]

    @property
    def settled(self) -> Counter[State]:
        """Takes that have their final answer already and are not bought again, by state."""
        return Counter(
            record.state
            for key, record in self.records.items()
            if record.state in FINAL and self._permission(key) is None
        )

    @property
    def settled_flagged(self) -> int:
        """Those among them with a flagged output."""
        return sum(
            any(record.has_nsfw_contents or ())
            for key, record in self.records.items()
            if record.state in FINAL and self._permission(key) is None
        )

    @property
    def unclear(self) -> int:
        """Takes of which nobody knows whether they were bought."""
        return sum(record.state in {State.UNKNOWN, State.HELD} for record in self.records.values())

    @property
    def underway(self) -> int:
        """Takes that a run was submitting when it was last heard of: unknown if it is dead."""
        return sum(record.state is State.SUBMITTING for record in self.records.values())

    def cost_usd(self, prices_usd: Mapping[PricedBy, float]) -> float | None:
        """What buying costs, or None where a price is missing."""
        kinds = Counter(priced_by(take.shot) for take in self.to_buy)
        if any(kind not in prices_usd for kind in kinds):
            return None
        return sum(prices_usd[kind] * count for kind, count in kinds.items())

    def require_budget(self, prices_usd: Mapping[PricedBy, float], max_usd: float | None) -> None:
        """Refuse a plan that costs more than it may.

        Raises:
            BudgetError: it does, or its price cannot be known.
        """
        if max_usd is None:
            return
        cost_usd = self.cost_usd(prices_usd)
        if cost_usd is None:
            raise BudgetError(
                "--max-usd: the price of a take cannot be had from the API; "
                "set ANIMATIC_PRICE_USD to what one take costs"
            )
        if cost_usd > max_usd + LEAST_USD:
            raise BudgetError(
                f"--max-usd: the plan costs ${cost_usd:,.2f} for {len(self.to_buy):,} takes; allowed: ${max_usd:,.2f}. "
                "Nothing was bought. Raise the limit or shorten the manifest."
            )

    def batches(self) -> list[Batch]:
        """What there is to do, in batches of one while there are few takes."""
        takes = self.to_do
        size = 1 if len(takes) <= TASKS_OF_ONE else math.ceil(len(takes) / MOST_BATCHES)
        return [Batch(number, takes[at : at + size]) for number, at in enumerate(range(0, len(takes), size), start=1)]

    def table(self, records: Mapping[str, Record], run_id: str) -> pa.Table:
        """The results table, given what the ledger knows now."""
        outcomes = {key: _outcome(record, was_final=self._was_final(key, record)) for key, record in records.items()}
        provenance = Provenance(run_id, self.manifest.sha256, self.manifest.provider)
        return build_table(
            self.manifest.shots, outcomes, dict(self.manifest.invalid_rows), self.manifest.table, provenance
        )

    def _was_final(self, key: str, record: Record) -> bool:
        before = self.records.get(key)
        return before is not None and before.state in FINAL and before.attempt_id == record.attempt_id

    def _state(self, key: str) -> State | None:
        record = self.records.get(key)
        return record.state if record else None

    def _permission(self, key: str) -> str | None:
        return permission_to_buy(self._standing(key), self.policy)

    def _step(self, key: str) -> Step:
        return next_step(self._standing(key), self.policy)

    def _standing(self, key: str) -> Standing:
        record = self.records.get(key)
        return record.standing if record else Standing(None)


def make_plan(manifest: Manifest, records: Mapping[str, Record], policy: BuyingPolicy) -> Plan:
    """The plan for a checked manifest, given what the ledger knows of its takes."""
    takes: dict[str, Take] = {}
    rows_asking = 0
    for take in manifest.takes():
        rows_asking += 1
        takes.setdefault(take.fingerprint, take)
    return Plan(manifest, takes, records, policy, rows_asking)


def _outcome(record: Record, *, was_final: bool) -> Outcome:
    """What the results table shows of a record."""
    is_completed = record.state is State.COMPLETED
    error = "a run is submitting it at this moment" if record.state is State.SUBMITTING else record.error
    return Outcome(
        status=status_of(record.state),
        outputs=record.outputs,
        has_nsfw_contents=record.has_nsfw_contents,
        inference_ms=record.inference_ms,
        prediction_id=record.prediction_id,
        prediction_status=record.prediction_status,
        error_code=None if is_completed else record.error_code,
        error=None if is_completed else error,
        submitted_at=record.submitted_at,
        completed_at=record.completed_at,
        created_at=record.created_at,
        polls=record.polls,
        attempts=record.attempts,
        cached=was_final,
        run_id=record.run_id if record.attempts else None,
        cost_usd=record.cost_usd,
    )
