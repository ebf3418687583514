"""The results table out of the ledger: row group by row group, whole into its place at the end.

The ledger is asked for some thousands of takes at a time, so a long table does not block it; it shows each take as it
stood when its turn came.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from animatic import storage
from animatic.ledger import Clip, IsDead, Ledger, Rows, in_chunks, no_run_is_dead, outcomes_from
from animatic.manifest import CHECKED, NOT_CHOSEN, Manifest, Part
from animatic.results import formats, reading
from animatic.results.clips import clips_by_attempt
from animatic.results.columns import ASKED_OF_LEDGER
from animatic.results.replaced import Kept
from animatic.results.schema import CheckedRows, Provenance, schema_of, table_of
from animatic.results.stats import TableStats
from animatic.storage.spool import nameless_file, no_room
from animatic.takes.chains import last_frame_of
from animatic.takes.fingerprints import FingerprintSet, digests_of, hex_of
from animatic.takes.inputs import as_json
from animatic.takes.models import INPUT_NAMES
from animatic.takes.stills import Still

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them


MARKED = "in CSV, a cell that a spreadsheet would run as a formula has a ' in front"


Explained = tuple[NDArray[np.bool_], str]
"""Takes of a manifest, and why they are pending."""


class ResultsWriter:
    """The table of a manifest, as the ledger has it now. Not a dataclass on purpose: Prefect would walk all of it.

    `final_attempts` are those that were final when the run began, by take; else -1. `archive` is the folder of clips
    whose URIs are shown where a clip is in several. `reasons` says why takes are not bought that wait for others,
    `later` which takes a budget leaves for a later run, and why.
    """

    __slots__ = ("_archive", "_final_attempts", "_is_dead", "_later", "_ledger", "_manifest", "_reasons", "_run_id")

    def __init__(  # noqa: PLR0913, PLR0917 - all that a table follows from
        self,
        manifest: Manifest,
        final_attempts: NDArray[np.int64],
        run_id: str,
        ledger: Ledger | None,
        is_dead: IsDead = no_run_is_dead,
        archive: str = "",
        reasons: Mapping[str, str] = MappingProxyType({}),
        later: Explained | None = None,
    ) -> None:
        self._reasons, self._later = reasons, later
        self._manifest, self._final_attempts, self._archive = manifest, final_attempts, archive
        self._run_id, self._ledger, self._is_dead = run_id, ledger, is_dead

    async def write(self, uri: str) -> TableStats:
        """Replace the results file as a whole, and return its statistics: a reader sees the old table or this one.

        Raises:
            LocationError: it cannot be written; the old file is as it was.
        """
        manifest, loop = self._manifest, asyncio.get_running_loop()
        formats.require_room_for(storage.name_of(uri), manifest.num_lines)
        # One thread for all of it, since the C library keeps freed memory for each thread that used it.
        with ExitStack() as stack, ThreadPoolExecutor(1, "results") as aside:
            file = stack.enter_context(nameless_file())
            copied = storage.open_existing(uri, max_bytes=reading.MAX_RESULTS_BYTES)
            old = await loop.run_in_executor(aside, stack.enter_context, copied)
            kept = None if old is None else await self._kept(uri, old, stack, aside)
            schema = schema_of(manifest.carried)
            writer = formats.open_writer(file, storage.name_of(uri), with_people(schema, kept))
            sheet = _TableWriter(self._rows(), writer, kept)
            for part in manifest.parts():
                for piece in _pieces(part):
                    await loop.run_in_executor(aside, sheet.add, piece, *await self._found(piece))
            await loop.run_in_executor(aside, sheet.close, Provenance(self._run_id, manifest.sha256))
            if writer.has_marks:
                sheet.stats.notes.append(MARKED)
            if old is not None and kept is not None:
                sheet.stats.notes += kept.notes
                if kept.lost or kept.is_taken_over or kept.has_other_sheets:
                    place = await loop.run_in_executor(aside, self._keep_beside, uri, old)
                    why = (
                        f"{kept.lost:,} rows in which people wrote something have no take in the table any more; "
                        if kept.lost
                        else ""
                    )
                    sheet.stats.notes.append(f"{why}the table as it was is kept as {place}")
            await loop.run_in_executor(aside, storage.replace_with, uri, file)
        return sheet.stats

    async def rows(self, aside: Executor) -> AsyncGenerator[pa.Table]:
        """Yield the table as the ledger has it now, piece by piece, made by `aside`; without what people wrote."""
        made, loop = self._rows(), asyncio.get_running_loop()
        for part in self._manifest.parts():
            for piece in _pieces(part):
                yield (await loop.run_in_executor(aside, made.make, piece, *await self._found(piece))).table

    def _rows(self) -> "_Rows":
        return _Rows(self._manifest, self._final_attempts, self._is_dead, self._reasons, self._later)

    async def _kept(self, uri: str, old: BinaryIO, stack: ExitStack, aside: ThreadPoolExecutor) -> Kept | None:
        """Return what people wrote into the old table; None if there is nothing. Raises LocationError."""
        manifest, loop = self._manifest, asyncio.get_running_loop()
        kept = await loop.run_in_executor(aside, Kept, uri, old, manifest.carried.names)
        stack.callback(kept.close)
        takes: dict[str, str] = {}
        if self._ledger is not None and kept.fingerprints:
            takes.update(await self._ledger.takes_of(kept.fingerprints))
        if kept.fingerprints:
            names = zip(hex_of(manifest.old_digests), hex_of(manifest.digests[manifest.old_of]), strict=True)
            takes.update(names)
        await loop.run_in_executor(aside, kept.follow, takes)
        return kept

    def _keep_beside(self, uri: str, old: BinaryIO) -> str:
        """Put the table as it was beside the new one; where it is. Raises LocationError."""
        place, number = formats.beside(uri, f"before-{self._run_id}"), 1
        while storage.kind_of(place) is not None:
            number += 1
            place = formats.beside(uri, f"before-{self._run_id}-{number}")
        storage.replace_with(place, old, like=uri)
        return place

    async def _found(self, piece: Part) -> tuple[list[Any], dict[int, Sequence[Clip]]]:
        """Return the newest attempt of each of its takes, and clips by attempt; none where there is no ledger yet."""
        if self._ledger is None:
            return [], {}
        takes = hex_of(self._manifest.digests[np.unique(piece.take_of)])
        rows: list[Any] = []
        for some in in_chunks(takes):
            rows += await self._ledger.seek_outcomes(some, ASKED_OF_LEDGER)
        return rows, clips_by_attempt(await self._ledger.clips_of(takes), self._archive)


def with_people(schema: pa.Schema, kept: Kept | None) -> pa.Schema:
    """Append people's columns to those of a table."""
    return schema if kept is None else pa.schema([*schema, *kept.fields])


class Made(NamedTuple):
    """Rows of a table.

    Attributes:
        table: the rows.
        by_line: which of them show their take for the first time.
        chosen: which of them are of rows that were chosen; None where all are.
    """

    table: pa.Table
    by_line: NDArray[np.bool_]
    chosen: NDArray[np.bool_] | None


class _Rows:
    """Rows of a table, made of pieces of the manifest and of what the ledger knows of their takes."""

    def __init__(
        self,
        manifest: Manifest,
        final_attempts: NDArray[np.int64],
        is_dead: IsDead,
        reasons: Mapping[str, str] = MappingProxyType({}),
        later: Explained | None = None,
    ) -> None:
        self._manifest, self._final_attempts = manifest, final_attempts
        self._is_dead, self._reasons, self._later = is_dead, reasons, later
        self._met = 0

    def make(self, piece: Part, rows: Rows, clips: Mapping[int, Sequence[Clip]]) -> Made:
        """Return the next rows. `rows` and `clips` are the ledger's on the takes of the piece."""
        columns = outcomes_from(rows, ASKED_OF_LEDGER, self._is_dead)
        found = FingerprintSet(digests_of(columns["fingerprint"])).positions(piece.digests)
        attempt_id = np.asarray(columns["attempt_id"], np.int64)
        final = np.zeros(len(attempt_id), np.int64)
        final[found[found >= 0]] = self._final_attempts[piece.take_of[found >= 0]]
        cached, shown = (final == attempt_id).tolist(), [clips.get(each, ()) for each in columns["attempt_id"]]
        outcomes = {**columns, "cached": cached, "clips": shown}
        own = _with_inputs(_with_still_uris(piece.batch.select(range(len(CHECKED))), self._manifest), piece)
        carried = piece.batch.select(range(len(CHECKED), piece.batch.num_columns))
        is_first, self._met = piece.first_shown(self._met)
        by_line = _by_line(piece, is_first)
        table = table_of(CheckedRows(piece.row, own, carried, piece.lengths, piece.digests), outcomes, found, by_line)
        if self._reasons:
            table = with_reasons(table, self._reasons)
        if self._later is not None:
            is_later, reason = self._later
            table = with_reason(table, _by_line(piece, is_later[piece.take_of]), reason)
        chosen = self._chosen(piece)
        if chosen is not None:
            table = with_reason(table, ~chosen, NOT_CHOSEN)
        return Made(table, by_line, chosen)

    def _chosen(self, piece: Part) -> NDArray[np.bool_] | None:
        """Tell for each line of the table if its row was chosen; None where all are."""
        rows = self._manifest.row_is_chosen
        if rows is None:
            return None
        return np.repeat(rows[piece.row - 1 : piece.row - 1 + len(piece.lengths)], np.maximum(piece.lengths, 1))


class _TableWriter:
    """A table while it is written."""

    def __init__(self, rows: _Rows, writer: formats.Writer, kept: Kept | None = None) -> None:
        self.stats = TableStats()
        self._rows, self._writer, self._kept = rows, writer, kept

    def add(self, piece: Part, rows: Rows, clips: Mapping[int, Sequence[Clip]]) -> None:
        """Add the next piece. Raises LocationError where there is no room."""
        table, by_line, chosen = self._rows.make(piece, rows, clips)
        self.stats.add(table, by_line, chosen)
        if self._kept is not None and self._kept.fields:
            added = zip(self._kept.fields, self._kept.columns(table), strict=True)
            for field, column in added:
                table = table.append_column(field, column)
        try:
            self._writer.write(table)
        except OSError as error:
            raise no_room(error) from None

    def close(self, provenance: Provenance) -> None:
        """End the table. Raises LocationError where there is no room."""
        try:
            self._writer.close(provenance.metadata)
        except OSError as error:
            raise no_room(error) from None


def with_reason(table: pa.Table, is_of: NDArray[np.bool_], reason: str) -> pa.Table:
    """Say in those of these rows that are pending why they are."""
    index = table.schema.get_field_index("error")
    is_pending = pc.and_(pa.array(is_of), pc.equal(table["status"], "pending"))
    return table.set_column(index, table.schema.field(index), pc.if_else(is_pending, reason, table["error"]))


def with_reasons(table: pa.Table, reasons: Mapping[str, str]) -> pa.Table:
    """Say in the rows of takes that are pending and were never submitted why they are, where that is known."""
    index = table.schema.get_field_index("error")
    columns = (table[name].to_pylist() for name in ("fingerprint", "status", "prediction_id", "error"))
    errors = [
        reasons.get(take, error) if status == "pending" and prediction is None else error
        for take, status, prediction, error in zip(*columns, strict=True)
    ]
    return table.set_column(index, table.schema.field(index), pa.array(errors, pa.string()))


def _with_still_uris(batch: pa.RecordBatch, manifest: Manifest) -> pa.RecordBatch:
    """Add the absolute URI of each still to checked rows.

    It is null in rows with faults, whose cells were not judged, and for stills that lie in the manifest itself.
    """
    faults, images = batch.column(0).to_pylist(), batch.column(batch.schema.get_field_index("image")).to_pylist()
    base = "" if all(image is None or "://" in image for image in images) else manifest.folder
    escape = quote if base.startswith(("file:", "http:", "https:")) else str

    def uri_of(image: str) -> str | None:
        still = manifest.stills.get(image)
        is_embedded = isinstance(still, Still) and still.is_embedded
        return image if "://" in image else None if is_embedded else f"{base}/{escape(image)}"

    uris = [
        None if fault is not None or image is None else uri_of(image)
        for fault, image in zip(faults, images, strict=True)
    ]
    return batch.append_column("still_uri", pa.array(uris, pa.string()))


def _with_inputs(batch: pa.RecordBatch, piece: Part) -> pa.RecordBatch:
    """Spell out the inputs of veo2-i2v, which have columns of their own; null in rows with faults.

    A shot that starts from another has the last frame of that take as its still.
    """
    at = batch.schema.get_field_index("inputs")
    own = (batch.column(batch.schema.get_field_index(name)).to_pylist() for name in ("fault", *INPUT_NAMES))
    rows = zip(batch.column(at).to_pylist(), *own, strict=True)
    texts = [
        known if known is not None or fault is not None else _VEO2_INPUTS % tuple(map(as_json, values))
        for known, fault, *values in rows
    ]
    for index in range(len(texts)) if piece.chains.links else ():
        source = piece.chains.source_of(piece.row + index)
        if source is not None and texts[index] is not None:
            still = {"image": last_frame_of(source.fingerprint)}
            texts[index] = as_json({**json.loads(texts[index] or "{}"), **still})
    return batch.set_column(at, batch.schema.field(at), pa.array(texts, pa.string()))


_VEO2_INPUTS = f"{{{', '.join(f'{as_json(name)}: %s' for name in INPUT_NAMES)}}}"
"""Their JSON without the values; a million rows are waited for, and `json` takes three times as long."""


def _pieces(part: Part) -> Iterator[Part]:
    """Cut a part of the manifest so that no piece has more lines than a row group."""
    lines = np.cumsum(np.maximum(part.lengths, 1))
    ends = np.concatenate([[0], np.cumsum(part.lengths)])
    start = 0
    while start < len(lines):
        before = int(lines[start - 1]) if start else 0
        stop = int(np.searchsorted(lines, before + formats.ROW_GROUP_ROWS, side="right"))
        takes = slice(int(ends[start]), int(ends[stop]))
        yield Part(
            part.row + start,
            part.batch.slice(start, stop - start),
            part.lengths[start:stop],
            part.take_of[takes],
            part.digests[takes],
            part.schemas,
            part.stills,
            part.chains,
        )
        start = stop


def _by_line(piece: Part, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Values of takes for the lines of the table, of which an invalid row has one too: False."""
    if piece.lengths.all():
        return values
    lines = np.maximum(piece.lengths, 1)
    spread = np.zeros(int(lines.sum()), bool)
    spread[np.repeat(piece.lengths > 0, lines)] = values
    return spread
