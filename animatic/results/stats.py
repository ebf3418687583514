"""Statistics for the run summary, collected while the table is written (at most 40 bytes a row). No pandas."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from animatic.errors.text import one_line
from animatic.results.columns import STATUSES
from animatic.results.reason_groups import ReasonGroups
from animatic.results.schema import microusd_of
from animatic.takes.evidence import is_same_model

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

MOST_ROWS_SHOWN = 200

_SHOWN_COLUMNS = ("row", "shot_id", "take", "status", "error_code", "error", "prediction_id", "fingerprint")
_OF_ENDING = (
    *("row", "shot_id", "take", "status", "error_code", "error"), "archive_error", "attempts", "fingerprint",
)  # fmt: skip
_TYPES: dict[str, Any] = {
    "storyboard": np.int32,
    "model": np.int32,
    "status": np.int8,
    "is_take": np.bool_,
    "nsfw": np.int8,
    "inference_ms": np.int32,
    "attempts": np.int32,
    "quoted_microusd": np.int64,
    "expires_at_s": np.uint32,
}

_MOST_MS, _LAST_S = np.iinfo(np.int32).max, np.iinfo(np.uint32).max
"""24 days, and the year 2106."""


@dataclass(slots=True, repr=False)
class TableStats:
    """TableStats of a results table, added piece by piece in the order of its rows.

    Attributes:
        counts: rows by status.
        cached: rows whose take was final before the run began.
        not_archived: rows of completed takes with an `archive_error`.
        failing_checks: rows whose clip fails a quality check.
        unchecked: rows with a clip in the archive that was not checked yet.
        not_chosen: rows that --only or --limit left out.
        not_completed: the first rows that are not `completed`, at most 200, as plain values that survive JSON.
        made_by: takes that another model made than was asked for, by what made them and what was asked for.
        reason_groups: rows that are not completed or not archived, by reason.
        notes: what was noticed of the table that this one replaced, ready to print.
        names: for `storyboard` and `model` the texts that the codes of the columns stand for.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    cached: int = 0
    not_archived: int = 0
    failing_checks: int = 0
    unchecked: int = 0
    not_chosen: int = 0
    not_completed: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    names: dict[str, dict[str | None, int]] = field(
        default_factory=lambda: {name: {} for name in ("storyboard", "model")}
    )
    made_by: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    reason_groups: ReasonGroups = field(default_factory=ReasonGroups)
    notes: list[str] = field(default_factory=list[str])
    _quoted_microusd: int = 0
    _is_priced: bool = False
    _is_bought: bool = False
    _pieces: list[dict[str, NDArray[Any]]] = field(default_factory=list[dict[str, NDArray[Any]]])

    def note_beside(self, place: str, why: str) -> None:
        """Note that the table was written at a place beside its own."""
        self.notes.append(f"{one_line(why)}. This table was written beside it instead: {place}")

    def add(self, table: pa.Table, is_first: NDArray[np.bool_], is_chosen: NDArray[np.bool_] | None = None) -> None:
        """Add the next rows; `is_first` marks those that show their take for the first time.

        Rows that were not chosen count for the cost only; None chooses all.
        """
        quoted, is_bought = microusd_of(table["quoted_usd"]), is_first & (table["attempts"].to_numpy() > 0)
        self._quoted_microusd += int(quoted[quoted >= 0].sum())
        self._is_priced = self._is_priced or bool((quoted > 0).any())
        self._is_bought = self._is_bought or bool(is_bought.any())
        if is_chosen is not None:
            self.not_chosen += int(np.count_nonzero(~is_chosen))
            table, is_first = table.filter(pa.array(is_chosen)), is_first[is_chosen]
        status = table["status"].combine_chunks().dictionary_encode()
        self.counts.update({entry["values"]: entry["counts"] for entry in status.value_counts().to_pylist()})
        self.cached += pc.sum(table["cached"]).as_py() or 0
        self.not_archived += len(table) - table["archive_error"].null_count
        self.failing_checks += int(pc.sum(pc.greater(pc.list_value_length(table["qa"]), 0)).as_py() or 0)
        self.unchecked += int(pc.sum(pc.and_(pc.is_valid(table["clip_uri"]), pc.is_null(table["qa"]))).as_py() or 0)
        if len(self.not_completed) < MOST_ROWS_SHOWN:
            self.not_completed += not_completed(table, MOST_ROWS_SHOWN - len(self.not_completed))
        self._note_reasons(table)
        self._note_models(table.filter(pa.array(is_first)))
        found: dict[str, Any] = {
            "storyboard": self._codes("storyboard", table["storyboard"]),
            "model": self._codes("model", table["model"]),
            "status": np.array([STATUSES.index(name) for name in status.dictionary.to_pylist()])[
                status.indices.to_numpy()
            ],
            "is_take": pc.is_valid(table["take"]).to_numpy(),
            "nsfw": pc.fill_null(table["nsfw"].cast(pa.int8()), -1).to_numpy(),
            "inference_ms": np.minimum(pc.fill_null(table["inference_ms"], -1).to_numpy(), _MOST_MS),
            "attempts": np.where(is_first, table["attempts"].to_numpy(), 0),
            "quoted_microusd": microusd_of(table["quoted_usd"]),
            "expires_at_s": _expiries(table),
        }
        self._pieces.append({name: _kept(np.asarray(values, _TYPES[name])) for name, values in found.items()})

    def column(self, name: str) -> NDArray[Any]:
        """One value for each row: a code, or -1 for a `nsfw` or an `inference_ms` that is not known."""
        return np.concatenate([np.empty(0, _TYPES[name]), *(piece[name] for piece in self._pieces)])

    @property
    def manifest_cost_microusd(self) -> int | None:
        """The sum of the column `quoted_usd`; None where something was bought and no price is known at all."""
        return None if self._is_bought and not self._is_priced else self._quoted_microusd

    def expiring(self, now: datetime, within: timedelta) -> tuple[int, int]:
        """Count completed takes, not archived, whose output URLs are dead, and those whose die within that time."""
        at_s = self.column("expires_at_s")
        now_s, until_s = (int(moment.timestamp()) for moment in (now, now + within))
        is_dead = (at_s > 0) & (at_s <= now_s)
        return int(is_dead.sum()), int(((at_s > now_s) & (at_s <= until_s)).sum())

    def _note_models(self, table: pa.Table) -> None:
        odd = table.select(["prediction_model", "model"]).filter(
            pc.fill_null(pc.not_equal(table["prediction_model"], table["model"]), False)
        )
        pairs = zip(odd["prediction_model"].to_pylist(), odd["model"].to_pylist(), strict=True)
        self.made_by.update(pair for pair in pairs if not is_same_model(*pair))

    def _note_reasons(self, table: pa.Table) -> None:
        is_odd = pc.or_(pc.not_equal(table["status"], "completed"), pc.is_valid(table["archive_error"]))
        rows = table.filter(is_odd)
        quoted = microusd_of(rows["quoted_usd"]).tolist()
        plain = rows.select(list(_OF_ENDING)).to_pylist()
        for row, microusd in zip(plain, quoted, strict=True):
            row["quoted_microusd"] = None if microusd < 0 else microusd
        self.reason_groups.add(plain)

    def _codes(self, name: str, texts: pa.ChunkedArray) -> NDArray[np.int32]:
        """Small numbers for texts, the same in every piece, in the order in which the texts first appear."""
        encoded = texts.combine_chunks().dictionary_encode(null_encoding="encode")
        known = self.names[name]
        codes = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
        return np.array(codes, np.int32)[encoded.indices.to_numpy()]


def _expiries(table: pa.Table) -> NDArray[np.int64]:
    """Return when the output URLs of each row end, in seconds of the epoch; 0 for those that matter no more."""
    at_us = pc.fill_null(table["outputs_expire_at"].cast(pa.int64()), 0).to_numpy()
    is_kept = pc.is_valid(table["clip_uri"]).to_numpy()
    return np.where(is_kept, 0, np.clip(at_us // 1_000_000, 0, _LAST_S))


def _kept(values: NDArray[Any]) -> NDArray[Any]:
    """Return values to keep: one of them in place of many that are all the same."""
    is_one = len(values) and (values == values[0]).all()
    return np.broadcast_to(values[:1].copy(), values.shape) if is_one else values.copy()


def not_completed(table: pa.Table, most: int) -> list[dict[str, Any]]:
    """Return the first rows that are not `completed`, as plain values that survive JSON."""
    rows = table.select(list(_SHOWN_COLUMNS)).filter(pc.not_equal(table["status"], "completed")).slice(0, most)
    return [{name: value for name, value in row.items() if value is not None} for row in rows.to_pylist()]
