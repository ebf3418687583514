"""Rows and takes of a plan in columns: what each asks for, and what a run does about it. Pure."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from animatic.manifest import Manifest, Part
from animatic.planning.plan import Plan
from animatic.takes.fingerprints import DIGEST, Digests
from animatic.takes.inputs import as_json
from animatic.takes.shots import Shot
from animatic.takes.states import FINAL, State, TakeStatus

LONGEST_SHOWN = 40
"""A value of more characters is shown as the start of a hash."""


class Do(StrEnum):
    """Step of a run for a take."""

    BUY = "buy"
    BUY_AGAIN = "buy_again"
    CACHED = "cached"
    FAILED = "failed"
    REJECTED = "rejected"
    RESUME = "resume"
    UNDERWAY = "underway"
    UNKNOWN = "unknown"
    HELD = "held"
    BLOCKED = "blocked"
    SHARED = "shared"
    INVALID = "invalid"


DOES = tuple(Do)
_CODE = {each: number for number, each in enumerate(DOES)}
BUYS = frozenset({Do.BUY, Do.BUY_AGAIN})
_KEPT = {
    State.COMPLETED: Do.CACHED,
    State.FAILED: Do.FAILED,
    State.REJECTED: Do.REJECTED,
    State.SUBMITTED: Do.RESUME,
    State.SUBMITTING: Do.UNDERWAY,
    State.UNKNOWN: Do.UNKNOWN,
    State.HELD: Do.HELD,
}


@dataclass(frozen=True, slots=True, repr=False)
class PlannedRows:
    """Each chosen row and take in manifest order; an invalid row has take 0 and a fingerprint of zeros.

    Attributes:
        do: index in `DOES`.
        price: index of its price among those of the plan; -1 where it is not bought.
        attempt: the ledger's number of its newest attempt; 0 where there is none.
        asked: JSON of its model and inputs as `brief` shows them; null where they are not kept.
    """

    row: NDArray[np.int32]
    take: NDArray[np.int8]
    digest: Digests
    shot_id: pa.ChunkedArray
    do: NDArray[np.int8]
    price: NDArray[np.int32]
    attempt: NDArray[np.int64]
    asked: pa.ChunkedArray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def is_bought(self) -> NDArray[np.bool_]:
        """Flags of those that are to be bought."""
        return np.isin(self.do, [_CODE[each] for each in BUYS])

    def counts(self) -> dict[str, int]:
        """Return how many there are of each thing to do."""
        found: list[int] = np.bincount(self.do, minlength=len(DOES)).tolist()
        return {each.value: count for each, count in zip(DOES, found, strict=True)}


@dataclass(frozen=True, slots=True, repr=False)
class _Pairs:
    """Chosen rows and takes of one part: the row of each in the batch, its take, and its place among the part's."""

    owner: NDArray[np.int64]
    take: NDArray[np.int64]
    at: NDArray[np.int64]

    @property
    def is_valid(self) -> NDArray[np.bool_]:
        return self.at >= 0


def _pairs(manifest: Manifest) -> Iterator[tuple[Part, _Pairs]]:
    for part in manifest.parts():
        lengths = np.maximum(part.lengths, 1)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        first = np.cumsum(part.lengths) - part.lengths
        is_invalid = part.lengths[owner] == 0
        pairs = (owner, np.where(is_invalid, 0, number + 1), np.where(is_invalid, -1, first[owner] + number))
        chosen = manifest.row_is_chosen
        if chosen is not None:
            wanted = chosen[part.row - 1 + owner]
            pairs = tuple(each[wanted] for each in pairs)
        yield part, _Pairs(*pairs)


def rows_of(plan: Plan) -> PlannedRows:
    """Return the chosen rows of a plan, without what they ask for."""
    price_of = {each: number for number, each in enumerate(plan.price_classes)}
    price_of_class = np.array([price_of.get(each.price, -1) for each in plan.manifest.classes] or [-1], np.int32)
    does, is_met = _does(plan), np.zeros(len(plan), bool)
    found: dict[str, list[Any]] = {name: [] for name in ("row", "take", "digest", "do", "price", "attempt")}
    shot_ids: list[pa.Array] = []
    for part, pairs in _pairs(plan.manifest):
        take_of = part.take_of[pairs.at[pairs.is_valid]]
        do = np.full(len(pairs.owner), _CODE[Do.INVALID], np.int8)
        do[pairs.is_valid] = np.where(_is_first(take_of, is_met), does[take_of], _CODE[Do.SHARED])
        is_met[take_of] = True
        columns: dict[str, Any] = {"row": (pairs.owner + part.row).astype(np.int32), "do": do}
        columns["take"] = pairs.take.astype(np.int8)
        for name, values, none in (
            ("digest", plan.manifest.digests[take_of], b""),
            ("price", price_of_class[plan.manifest.class_of[take_of]], -1),
            ("attempt", plan.snapshot.attempt_id[take_of], 0),
        ):
            columns[name] = np.full(len(do), none, DIGEST if name == "digest" else values.dtype)
            columns[name][pairs.is_valid] = values
        columns["price"][~np.isin(do, [_CODE[each] for each in BUYS])] = -1
        for name, values in columns.items():
            found[name].append(values)
        names = part.batch.column(part.batch.schema.get_field_index("shot_id"))
        shot_ids.append(names.take(pa.array(pairs.owner)).cast(pa.string()))
    empty = {"row": np.int32, "take": np.int8, "digest": DIGEST, "do": np.int8, "price": np.int32, "attempt": np.int64}
    joined = {name: np.concatenate([*parts, np.empty(0, empty[name])]) for name, parts in found.items()}
    nothing = pa.chunked_array([pa.nulls(len(joined["row"]), pa.string())])
    return PlannedRows(**joined, shot_id=pa.chunked_array(shot_ids, pa.string()), asked=nothing)


def _is_first(take_of: NDArray[np.int32], is_met: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which of these takes appear for the first time, given those of earlier parts."""
    is_first = np.zeros(len(take_of), bool)
    is_first[np.unique(take_of, return_index=True)[1]] = True
    return is_first & ~is_met[take_of]


def _does(plan: Plan) -> NDArray[np.int8]:
    """Return what is done about each take of a plan."""
    bought = np.array([_CODE[_bought(each)] for each in plan.snapshot.statuses], np.int8)
    kept = np.array([_CODE[_kept(each)] for each in plan.snapshot.statuses], np.int8)
    does = np.where(plan.is_to_buy, bought[plan.snapshot.status_of], kept[plan.snapshot.status_of])
    does[list(plan.following.blocked)] = _CODE[Do.BLOCKED]
    return does


def _bought(status: TakeStatus) -> Do:
    return Do.BUY_AGAIN if status.state in FINAL else Do.BUY


def _kept(status: TakeStatus) -> Do:
    return Do.BUY if status.state is None else _KEPT.get(status.state, Do.BUY)


def models_and_asked(plan: Plan, rows: PlannedRows) -> Iterator[tuple[str | None, Mapping[str, Any] | None]]:
    """Yield the model of each of the rows, and the inputs of those to buy as `brief` shows them."""
    models = [each.price.model for each in plan.manifest.classes]
    is_bought, done = rows.is_bought, 0
    for part, pairs in _pairs(plan.manifest):
        buys = is_bought[done : done + len(pairs.owner)]
        wanted = np.zeros(len(part.take_of), bool)
        wanted[pairs.at[buys]] = True
        takes = part.takes(wanted)
        for at, is_buy in zip(pairs.at.tolist(), buys.tolist(), strict=True):
            model = models[plan.manifest.class_of[part.take_of[at]]] if at >= 0 else None
            yield model, brief(next(takes).shot) if is_buy else None
        done += len(pairs.owner)


def asked_in(manifest: Manifest, wanted: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return what these rows of a manifest ask for, by row, as the file of a plan keeps it."""
    found: dict[int, dict[str, Any]] = {}
    for part in manifest.parts():
        at = [row - part.row for row in wanted if 0 <= row - part.row < len(part.lengths)]
        valid = np.array(sorted(index for index in at if part.lengths[index]), np.int64)
        found |= {shot.row: {"model": shot.model, **brief(shot)} for shot in (part.shots(valid) if len(valid) else [])}
    return found


def brief(shot: Shot) -> dict[str, Any]:
    """Return the inputs of a shot in canonical form, in short: a long value is the start of its hash."""
    return {name: _brief(value) for name, value in sorted(shot.inputs.canonical().items())}


def _brief(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[:23]
    text = as_json(value)
    return (
        value
        if len(text) <= LONGEST_SHOWN
        else f"sha256:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"
    )


def ranges(numbers: Sequence[int], most: int = 10) -> str:
    """Return numbers in order as people write them: `1-3, 5`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number <= found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in found[:most])
    return shown if len(found) <= most else f"{shown} and more"
