"""The columns of the results table, each declared once: name, type, source, meaning, and the version that brought it.

The schema, what is asked of the ledger, the values of each row, the forms in CSV and JSON Lines and the table in
docs/results.md follow from `COLUMNS`. A column that the ledger keeps needs a line here; one that is computed,
a function too.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from animatic.takes.states import State, status_of
from animatic.takes.veo2 import CHOICES

SCHEMA_VERSION = 7
STATUSES = ("completed", "failed", "rejected", "unknown", "held", "pending", "invalid")
OUTPUTS_LIVE = np.timedelta64(7 * 86_400_000_000, "us")
SEEN_LATE = np.timedelta64(3_600_000_000, "us")
"""A completed take that is seen so much later than it can have been done has outputs that are that much older."""

MOMENT = pa.timestamp("us", tz="UTC")
QUOTED = pa.decimal128(12, 6)

Outcomes = Mapping[str, Any]
"""Newest attempts of takes, in columns named as in the ledger's view, `cached`: those that were final already, and
`clips`: for each a sequence of `ledger.Clip`, one for each output that is to be archived."""


class Of(Enum):
    """Sources that are no outcome of a take."""

    PLACE = auto()
    """Follows from where the row stands: `schema.table_of` knows how."""

    ROW = auto()
    """The manifest's cell, in canonical form where the row is valid."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        source: `Of`, the name of a column of the ledger's view, or a function of outcomes.
        needs: columns of the view that such a function reads.
        untried: the value in the row of a take that was never tried.
        since: the version of the table's schema that brought it; tables from before have nulls.
    """

    name: str
    type: pa.DataType
    source: Of | str | Callable[[Outcomes], Any]
    meaning: str
    needs: tuple[str, ...] = ()
    untried: Any = None
    since: int = 1


_UNEXPLAINED = {
    "failed": "the API accepted it, then failed it without saying why",
    "rejected": "the API refused it without saying why; nothing was bought",
    "unknown": "it is not known yet whether the API accepted it; `animatic reconcile` settles it",
    "held": "reconciling could not settle whether it was bought; a person must",
    "pending": "not submitted when the run stopped",
}
INVALID = "the manifest row is invalid"
_STILL_RUNNING = "still running when the run stopped; the next run looks at it again"
_BEING_SUBMITTED = "a run is submitting it at this moment"


def _status(outcomes: Outcomes) -> list[str]:
    names = {state: status_of(state) for state in State}
    return [names[state] for state in outcomes["state"]]


def _error(outcomes: Outcomes) -> list[str | None]:
    """Return why each is not completed; None where it is."""
    found = zip(outcomes["state"], _status(outcomes), outcomes["error"], outcomes["prediction_id"], strict=True)
    return [_reason(*each) for each in found]


def _reason(state: State, status: str, error: str | None, prediction_id: str | None) -> str | None:
    if state is State.COMPLETED:
        return None
    if state is State.SUBMITTING:
        return _BEING_SUBMITTED
    return error or (_STILL_RUNNING if status == "pending" and prediction_id else _UNEXPLAINED[status])


def _error_code(outcomes: Outcomes) -> list[int | None]:
    found = zip(outcomes["state"], outcomes["error_code"], strict=True)
    return [None if state is State.COMPLETED else code for state, code in found]


def _output_url(outcomes: Outcomes) -> list[str | None]:
    return [outputs[0] if outputs else None for outputs in outcomes["outputs"]]


def _nsfw(outcomes: Outcomes) -> list[bool | None]:
    return [_is_flagged(*each) for each in zip(outcomes["outputs"], outcomes["has_nsfw_contents"], strict=True)]


def _is_flagged(outputs: Sequence[str] | None, flags: Sequence[bool | None] | None) -> bool | None:
    """Return True if any output is flagged; None where one was not judged; else False."""
    if flags and any(flags):
        return True
    judged = sum(flag is not None for flag in flags or ())
    return None if not outputs or judged < len(outputs) else False


def _outputs_expire_at(outcomes: Outcomes) -> NDArray[Any]:
    """Return when the URLs of completed takes die: 7 days after completion, as far as that is known.

    That is when we saw it; for one that was seen long after it can have been done, when it was submitted and how long
    it was worked on. Both by our own clock.
    """
    completed_at, submitted_at = (_as_numpy(outcomes[name]) for name in ("completed_at", "submitted_at"))
    worked = np.array([each or 0 for each in outcomes["inference_ms"]], "timedelta64[ms]").astype("timedelta64[us]")
    done_at = submitted_at + worked
    late = completed_at - done_at > SEEN_LATE
    expire_at = np.where(late, done_at, completed_at) + OUTPUTS_LIVE
    is_there = np.array([state is State.COMPLETED for state in outcomes["state"]], bool)
    return np.where(is_there, expire_at, np.datetime64("NaT", "us"))


def _as_numpy(moments: Any) -> NDArray[Any]:
    array = moments if isinstance(moments, pa.Array) else pa.array(moments, MOMENT)
    return array.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]")


def _run_id(outcomes: Outcomes) -> list[str | None]:
    found = zip(outcomes["run_id"], outcomes["attempts"], strict=True)
    return [run_id if attempts else None for run_id, attempts in found]


def _flow_run_id(outcomes: Outcomes) -> list[str | None]:
    found = zip(outcomes["flow_run_id"], outcomes["attempts"], strict=True)
    return [flow_run_id if attempts else None for flow_run_id, attempts in found]


NOT_ARCHIVED_YET = "not archived when the run ended; the next run fetches it"


def _of_first_clip(name: str) -> Callable[[Outcomes], Any]:
    """Return the function to a value of the first output's clip, where that is in the archive."""

    def values(outcomes: Outcomes) -> list[Any]:
        return [
            getattr(clips[0], name) if clips and clips[0].output == 1 and clips[0].file is not None else None
            for clips in outcomes["clips"]
        ]

    return values


def _of_quality(name: str) -> Callable[[Outcomes], Any]:
    """Return the function to a value that checking the first output's clip found; None where it was not checked."""

    def values(outcomes: Outcomes) -> list[Any]:
        firsts = _of_first_clip("quality")(outcomes)
        return [None if quality is None else getattr(quality, name) for quality in firsts]

    return values


def _clips(outcomes: Outcomes) -> list[str | None]:
    return [
        _clips_json([clip for clip in clips if clip.file is not None]) if clips else None for clips in outcomes["clips"]
    ]


def _clips_json(clips: Sequence[Any]) -> str | None:
    known = [{"uri": clip.uri, "sha256": clip.sha256, "size_bytes": clip.size_bytes} for clip in clips]
    return json.dumps(known, ensure_ascii=False) if known else None


def _archive_error(outcomes: Outcomes) -> list[str | None]:
    return [_archive_problem(clips) if clips else None for clips in outcomes["clips"]]


def _archive_problem(clips: Sequence[Any]) -> str | None:
    problems = [clip.error or (NOT_ARCHIVED_YET if clip.file is None else None) for clip in clips]
    return "; ".join(dict.fromkeys(each for each in problems if each)) or None


_TEXT, _WHOLE, _SMALL, _FLAG = pa.string(), pa.int64(), pa.int32(), pa.bool_()
COLUMNS = (
    Column("row", _WHOLE, Of.PLACE, "data row of the manifest, from 1; (`row`, `take`) is unique"),
    Column("shot_id", _TEXT, Of.ROW, "name of the shot"),
    Column("storyboard", _TEXT, Of.ROW, "name of the storyboard"),
    Column("take", _SMALL, Of.PLACE, "number of the take, from 1"),
    Column("image", _TEXT, Of.ROW, "as in the manifest"),
    Column("prompt", _TEXT, Of.ROW, "as in the manifest"),
    Column(
        "still_uri", _TEXT, Of.ROW, "absolute URI of the still; null for one that lies in the manifest itself", since=2
    ),
    Column("model", _TEXT, Of.ROW, "as sent"),
    *(Column(name, _TEXT, Of.ROW, "as sent") for name in CHOICES),
    Column("inputs", _TEXT, Of.ROW, "all that is sent, as JSON; a local file by its path in the manifest", since=5),
    Column("status", _TEXT, _status, "one of " + ", ".join(f"`{name}`" for name in STATUSES), untried="pending"),
    Column("outputs", pa.list_(_TEXT), "outputs", "output URLs as the API gave them"),
    Column(
        "has_nsfw_contents",
        pa.list_(_FLAG),
        "has_nsfw_contents",
        "as the API gave them, normally one for each output; null where the API did not judge",
    ),
    Column("output_url", _TEXT, _output_url, "the first output", ("outputs",)),
    Column(
        "nsfw",
        _FLAG,
        _nsfw,
        "true if any output is flagged; null if there are fewer flags than outputs and none is true",
        ("outputs", "has_nsfw_contents"),
    ),
    Column(
        "outputs_expire_at",
        MOMENT,
        _outputs_expire_at,
        "7 days after completion: after that the URLs are dead",
        ("completed_at", "submitted_at", "inference_ms"),
        since=2,
    ),
    Column("inference_ms", _WHOLE, "inference_ms", "`timings.inference`, rounded"),
    Column("prediction_id", _TEXT, "prediction_id", "WaveSpeed's own, verbatim"),
    Column("prediction_status", _TEXT, "prediction_status", "WaveSpeed's own, verbatim"),
    Column("prediction_model", _TEXT, "prediction_model", "`data.model`, verbatim", since=2),
    Column("error_code", _WHOLE, _error_code, "the API's code where it is not `completed`", ("error_code",)),
    Column(
        "error",
        _TEXT,
        _error,
        "why it is not `completed`, always given; null when it is",
        ("prediction_id",),
        _UNEXPLAINED["pending"],
    ),
    Column("submitted_at", MOMENT, "submitted_at", "by our clock"),
    Column("completed_at", MOMENT, "completed_at", "when we saw it, by our clock"),
    Column("created_at", MOMENT, "created_at", "by the API's clock"),
    Column("polls", _SMALL, "polls", "result queries made", untried=0),
    Column("attempts", _SMALL, "attempts", "paid submissions made (1, unless a policy allowed more)", untried=0),
    Column(
        "quoted_usd",
        QUOTED,
        Of.PLACE,
        "sum of the prices at which the take's paid submissions were reserved, in all runs; null where one was not "
        "known. A take that several rows share has it in the first",
        since=2,
    ),
    Column(
        "charged_usd",
        QUOTED,
        Of.PLACE,
        "what `animatic bill` found charged for all the take's submissions; null where no bill has shown it. Shared as "
        "`quoted_usd` is",
        since=6,
    ),
    Column(
        "refunded_usd", QUOTED, Of.PLACE, "the same for refunds; 0 where a bill shows a charge and no refund", since=6
    ),
    Column("cached", _FLAG, "cached", "true if the take was already final when the run began", untried=False),
    Column("clip_uri", _TEXT, _of_first_clip("uri"), "the first output's clip in the archive", since=3),
    Column("sha256", _TEXT, _of_first_clip("sha256"), "of that clip, in hex", since=3),
    Column("size_bytes", _WHOLE, _of_first_clip("size_bytes"), "of that clip", since=3),
    Column("clips", _TEXT, _clips, "JSON of all archived outputs: `uri`, `sha256`, `size_bytes`", since=3),
    Column("archive_error", _TEXT, _archive_error, "why a clip is not archived, or what is wrong with it", since=3),
    Column("clip_duration_s", pa.float64(), _of_first_clip("duration_s"), "as its file says", since=3),
    Column("clip_width", _SMALL, _of_first_clip("width"), "in pixels", since=3),
    Column("clip_height", _SMALL, _of_first_clip("height"), "in pixels", since=3),
    Column("clip_fps", pa.float64(), _of_first_clip("fps"), "frames a second, on average", since=3),
    Column("clip_frames", _SMALL, _of_first_clip("frames"), "frames in the file; none was decoded", since=3),
    Column(
        "qa",
        pa.list_(_TEXT),
        _of_quality("failed"),
        "names of the quality checks that the first output's clip fails; empty: none, null: not checked yet. See "
        "[quality](quality.md)",
        since=7,
    ),
    Column(
        "first_frame_similarity",
        pa.float64(),
        _of_quality("first_frame_similarity"),
        "of its first frame to the still, up to 1; null where there is no still to compare",
        since=7,
    ),
    Column("black_fraction", pa.float64(), _of_quality("black_fraction"), "share of its time that is black", since=7),
    Column(
        "frozen_fraction",
        pa.float64(),
        _of_quality("frozen_fraction"),
        "share of its time in which nothing moves, what is black left out",
        since=7,
    ),
    Column("cuts", _SMALL, _of_quality("cuts"), "hard cuts in it", since=7),
    Column(
        "motion",
        pa.float64(),
        _of_quality("motion"),
        "mean difference of its frames from the ones before, in luma from 0 to 255",
        since=7,
    ),
    Column(
        "flow_run_id",
        _TEXT,
        _flow_run_id,
        "Prefect's id of the run that submitted the take",
        needs=("attempts", "flow_run_id"),
        since=4,
    ),
    Column("fingerprint", _TEXT, Of.PLACE, "identity of the take"),
    Column("run_id", _TEXT, _run_id, "the run that submitted the take"),
)

RESULTS_SCHEMA: pa.Schema = pa.schema([(column.name, column.type) for column in COLUMNS])
NEWER = tuple(column.name for column in COLUMNS if column.since > 1)
"""Columns that tables of older versions do not have; they are read as nulls there."""

_GIVEN = frozenset({"cached", "clips"})
ASKED_OF_LEDGER = tuple(
    dict.fromkeys(
        name
        for column in COLUMNS
        for name in (*([column.source] if isinstance(column.source, str) else []), *column.needs)
        if name not in _GIVEN
    )
)
"""Columns of the ledger's view that the table needs, besides those that every outcome has."""


def outcome_of(column: Column, outcomes: Outcomes) -> pa.Array:
    """Return the column's values, one for each outcome."""
    values = outcomes[column.source] if isinstance(column.source, str) else _computed(column, outcomes)
    return pa.array(values, column.type)


def _computed(column: Column, outcomes: Outcomes) -> Any:
    assert callable(column.source)  # noqa: S101 - the caller leaves `Of` out
    return column.source(outcomes)


def as_markdown() -> str:
    """Return the table of the columns for the docs."""
    lines = [f"| `{column.name}` | {shown_type(column.type)} | {column.meaning} |" for column in COLUMNS]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *lines])


def shown_type(of: pa.DataType) -> str:
    """Return the name of a type, without the names of what lists hold."""
    return str(of).replace("list<item: ", "list<").replace("element: ", "").replace("decimal128", "decimal")
