"""The archive folder as a data set: `metadata.parquet` beside the clips, as Hugging Face's `videofolder` reads it.

One row for each clip that is in the folder and that the ledger knows, whichever run or manifest it came from. It holds
no path and nothing that lies outside the folder. A table of that name that animatic did not make is never replaced.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from animatic import storage
from animatic.errors import LedgerError, LocationError
from animatic.errors.text import one_line
from animatic.ledger import DESCRIBED_COLUMNS, Ledger, aware
from animatic.storage.folder import Folder
from animatic.storage.spool import nameless_file
from animatic.takes.inputs import as_json, read_request

FILE = "metadata.parquet"
OTHERS = ("metadata.csv", "metadata.jsonl")
"""Tables of the same purpose, which `datasets` would read as well: people's own."""

VERSION = 2
_VERSION_KEY = b"animatic.dataset_version"
_VIDEOS = (".mp4", ".mov", ".webm")
_MAX_BYTES = 1 << 30
MAX_CLIPS = 500_000

_TEXT, _WHOLE, _SMALL, _REAL = pa.string(), pa.int64(), pa.int32(), pa.float64()
COLUMNS: Mapping[str, tuple[pa.DataType, str]] = {
    "file_name": (_TEXT, "the clip, in this folder"),
    "storyboard": (_TEXT, "name of the storyboard, as the newest manifest that asked for the take has it"),
    "shot_id": (_TEXT, "name of the shot, likewise"),
    "take": (_SMALL, "number of the take, from 1"),
    "output": (_SMALL, "which output of the take, from 1"),
    "model": (_TEXT, "as sent"),
    "prompt": (_TEXT, "as sent"),
    "inputs": (_TEXT, "all that was asked for, as JSON; a local file by its SHA-256"),
    "nsfw": (pa.bool_(), "WaveSpeed's judgement of this output; null where it did not judge"),
    "duration_s": (_REAL, "as the file says"),
    "width": (_SMALL, "in pixels"),
    "height": (_SMALL, "in pixels"),
    "fps": (_REAL, "frames a second, on average"),
    "frames": (_SMALL, "frames in the file"),
    "size_bytes": (_WHOLE, "of the file"),
    "sha256": (_TEXT, "of the file, in hex"),
    "qa": (pa.list_(_TEXT), "names of the checks that it fails; null: not checked yet"),
    "first_frame_similarity": (_REAL, "of its first frame to the still"),
    "black_fraction": (_REAL, "share of it that is black"),
    "frozen_fraction": (_REAL, "share of it that stands still, and is not black"),
    "cuts": (_SMALL, "hard cuts"),
    "motion": (_REAL, "mean motion"),
    "inference_ms": (_WHOLE, "`timings.inference`, rounded"),
    "completed_at": (pa.timestamp("us", tz="UTC"), "when we saw the end"),
    "prediction_id": (_TEXT, "WaveSpeed's own"),
    "run_id": (_TEXT, "the run that submitted the take"),
    "fingerprint": (_TEXT, "identity of the take"),
}
"""Types and meanings of the columns, in order."""

SCHEMA = pa.schema([(name, of_type) for name, (of_type, _) in COLUMNS.items()], {_VERSION_KEY: str(VERSION).encode()})


def as_markdown() -> str:
    """Return the table of the columns for the docs."""
    rows = [f"| `{name}` | {of_type} | {meaning} |" for name, (of_type, meaning) in COLUMNS.items()]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows])


async def describe(folder: Folder, ledger: Ledger) -> str | None:
    """Write the table of a folder's clips, unless it is as it should be; return why it could not be written.

    An archive works without it, so nothing is raised for what may go wrong with files.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    try:
        sizes = await asyncio.to_thread(folder.sizes)
        problem = await asyncio.to_thread(_problem_in, folder, sizes)
        if problem is not None:
            return problem
        with nameless_file() as file:
            await _write(file, folder.uri, sizes, ledger)
            await asyncio.to_thread(_put, folder, file, is_there=FILE in sizes)
    except LedgerError:
        raise
    except Exception as error:  # noqa: BLE001 - file systems raise whatever their clients raise
        return f"{FILE} was not written: {one_line(getattr(error, 'strerror', None) or str(error), 300)}"
    return None


async def _write(file: BinaryIO, archive: str, sizes: Mapping[str, int], ledger: Ledger) -> None:
    after, clips = 0, 0
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        while rows := await ledger.described_clips(archive, after):
            known = [dict(zip(DESCRIBED_COLUMNS, row, strict=True)) for row in rows]
            after = known[-1]["clip_id"]
            there = [row for row in known if _is_there(row, sizes)]
            clips += len(there)
            if clips > MAX_CLIPS:
                raise LocationError(f"found more than {MAX_CLIPS:,} clips; allowed in a data set: {MAX_CLIPS:,}")
            table = pa.Table.from_pylist([_row(row) for row in there], SCHEMA)
            await asyncio.to_thread(writer.write_table, table)


def _is_there(row: Mapping[str, Any], sizes: Mapping[str, int]) -> bool:
    return row["file"].lower().endswith(_VIDEOS) and sizes.get(row["file"]) == row["size_bytes"]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    inputs, take = read_request(row["request"])
    flags = json.loads(row["has_nsfw_contents"] or "[]")
    same = {name: row[name] for name in SCHEMA.names if name in row}
    return {
        **same,
        "file_name": row["file"],
        "take": take or 1,
        "prompt": inputs.get("prompt"),
        "inputs": as_json(dict(inputs)),
        "nsfw": flags[row["output"] - 1] if len(flags) >= row["output"] else None,
        "qa": None if row["failed"] is None else json.loads(row["failed"]),
        "completed_at": aware(row["completed_at"]),
    }


def _problem_in(folder: Folder, sizes: Mapping[str, int]) -> str | None:
    """Return what stands in the way of the table, in a sentence."""
    own = [name for name in OTHERS if name in sizes]
    if own:
        return f"{FILE} was not written: {own[0]} in {folder.place} describes the clips already"
    if FILE in sizes and _read(folder) is None:
        return (
            f"{FILE} in {folder.place} is not animatic's and was left alone; move it away to have the clips described"
        )
    return None


def _read(folder: Folder) -> pa.Table | None:
    """Return the table that is there; None where animatic did not make it."""
    with storage.open_copy(f"{folder.uri}/{FILE}", max_bytes=_MAX_BYTES) as file:
        try:
            found = pq.ParquetFile(file)
            return found.read() if _VERSION_KEY in (found.schema_arrow.metadata or {}) else None
        except (pa.ArrowException, OSError):
            return None


def _put(folder: Folder, file: BinaryIO, *, is_there: bool) -> None:
    file.seek(0)
    if is_there and pq.read_table(file).equals(_read(folder)):
        return
    storage.replace_with(f"{folder.uri}/{FILE}", file)
