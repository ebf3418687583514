"""The file that a results table is about to replace: whether it may be, and the columns that people added to it.

People write `approved` or `comment` beside our columns. Their cells go on to the next table, by `shot_id`, `take` and
`fingerprint`. Parquet and workbooks say of each column where it came from; CSV and JSON Lines have no place for that,
so there a column that an earlier manifest had is kept as if people had added it, and named in a note. From a workbook,
the values and number formats of people's columns go on; sheets of theirs do not, so then the old one is kept beside.
"""

import hashlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from animatic import storage
from animatic.errors import LocationError
from animatic.errors.text import escaped
from animatic.ledger import files_of
from animatic.manifest.header import MAX_COLUMN_NAME_CHARS, MAX_COLUMNS
from animatic.manifest.parquet import MAX_TABLE_BYTES
from animatic.manifest.spelled import cell_bytes
from animatic.results import formats, reading
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.reading import MAX_RESULTS_BYTES, Head
from animatic.storage.spool import Spool
from animatic.takes.fingerprints import Digests, FingerprintSet, digests_from, shared

KEY = ("shot_id", "take", "fingerprint")
SHOWN = ("storyboard", "shot_id", "fingerprint")
FIRST_SHOTS = 1_000
ShotShown = tuple[str, str, str]
"""Storyboard, shot_id and fingerprint of a row of an earlier table; empty where it has none."""

SHORT = 12
"""Digits of a fingerprint that are the shot_id of a row which names none."""

_WAY_OUT = "give another place for the results, or move that file away"
_OF_SQLITE = ("", "-wal", "-shm", "-journal")


def require_replaceable(manifest: str, results: str, ledger_url: str) -> Sequence[ShotShown]:
    """Refuse a place for the results where they would replace anything but an earlier table. Reads, changes nothing.

    Returns the first shots of the earlier table; none where there is none.

    Raises:
        LocationError: the place is the manifest or the ledger, or holds anything but a whole results table.
    """
    formats.check_suffix(storage.name_of(results))
    if storage.kind_of(results) is not None and storage.is_same_file(manifest, results):
        raise LocationError(f"--results: {results} is the manifest itself ({manifest}); give another place")
    _require_apart_from(results, ledger_url)
    with storage.open_existing(results, max_bytes=MAX_RESULTS_BYTES) as old:
        if old is None:
            storage.require_writable(results)
            return []
        people, name = people_of(results, old, ()), storage.name_of(results)
        with _way_out_of_a_broken_file(results):
            pieces = reading.read_cells(old, name, tuple(dict.fromkeys((*KEY, *SHOWN))), people)
            first = next(pieces, None)
            for _ in pieces:
                pass
            reading.require_columns(old, name, SHOWN)
            return [] if first is None else _first_shots(first)


def _first_shots(table: pa.Table) -> list[ShotShown]:
    columns = (column.to_pylist() for column in table.select(SHOWN).slice(0, FIRST_SHOTS).columns)
    return [(str(board or ""), str(shot or ""), str(of or "")) for board, shot, of in zip(*columns, strict=True)]


def _require_apart_from(results: str, ledger_url: str) -> None:
    (ledger, runs), path = files_of(ledger_url), storage.real_path(results)
    if path is None:
        return
    beside = [ledger.with_name(ledger.name + suffix) for suffix in _OF_SQLITE]
    if path in beside or (path.exists() and any(each.exists() and path.samefile(each) for each in beside)):
        raise LocationError(f"--results: {results} is the ledger ({ledger}); give another place")
    if runs in path.parents:
        raise LocationError(f"--results: {results} lies in the ledger's own folder {runs}; give another")


def people_of(results: str, old: BinaryIO, carried: Collection[str]) -> list[str]:
    """Return the columns of an existing results table that are neither ours nor of the manifest, old or new.

    Raises:
        LocationError: it is no results table, or has two columns of one name.
    """
    with _way_out_of_a_broken_file(results):
        head = reading.read_head(old, storage.name_of(results))
    if not head.is_ours:
        names = ", ".join(escaped(name, 30) for name in head.names[:8]) + (", …" if len(head.names) > 8 else "")
        raise LocationError(
            f"--results: {results}: found a file that is no results table of animatic (its columns: {names}), and it "
            f"would be written over; {_WAY_OUT}"
        )
    if "" in head.names:
        raise LocationError(
            f"--results: {results}: found a column without a name; give it one there, so that what people wrote is "
            "kept, or remove it"
        )
    people = [name for name in head.names if _is_of_people(head, name) and name not in carried]
    _require_distinct(results, head.names, people)
    return people


@contextmanager
def _way_out_of_a_broken_file(results: str) -> Generator[None]:
    try:
        yield
    except LocationError as error:
        why = str(error).removeprefix(f"{storage.name_of(results)}: ")
        raise LocationError(
            f"--results: {results}: {why}. Where it is half a results table, move it away: the command `results` "
            "writes the whole one again from the ledger. Where it is anything else, give another place"
        ) from None


def _is_of_people(head: Head, name: str) -> bool:
    return name not in RESULTS_SCHEMA.names and name not in head.origins


def _require_distinct(results: str, names: Sequence[str], people: Sequence[str]) -> None:
    """Refuse columns that the next table could not have. Raises LocationError."""
    twice = sorted({name for name in people if names.count(name) > 1})
    bad = [name for name in people if len(name) > MAX_COLUMN_NAME_CHARS or not name.isprintable()]
    if twice or bad or len(people) > MAX_COLUMNS:
        found = (
            f"two columns named {escaped(twice[0])}"
            if twice
            else f"a column named {escaped(bad[0])}"
            if bad
            else f"{len(people):,} columns of other programs"
        )
        raise LocationError(
            f"--results: {results}: found {found}; allowed: up to {MAX_COLUMNS:,} columns with distinct names of up to "
            f"{MAX_COLUMN_NAME_CHARS} printable characters. Rename it there, so that what people wrote is kept"
        )


class Kept:
    """Columns that people added to the table that is replaced, on their way into the next one.

    Attributes:
        fields: their columns.
        notes: sentences for the user.
        is_taken_over: the manifest has a column now that people had added.
        has_other_sheets: people added sheets to the workbook.
    """

    def __init__(self, results: str, old: BinaryIO, carried: Collection[str]) -> None:
        """Read it. Raises LocationError."""
        name = storage.name_of(results)
        head = reading.read_head(old, name)
        people = people_of(results, old, carried)
        self.notes: list[str] = []
        self.is_taken_over, self.has_other_sheets = False, bool(head.other_sheets)
        if head.other_sheets:
            listed = ", ".join(escaped(each, 40) for each in head.other_sheets[:20])
            self.notes.append(f"{name}: sheets that are not ours are not in the new workbook: {listed}")
        self.fields: list[pa.Field] = []
        self._spool, self._ends, self._keys = Spool(), [0], FingerprintSet(digests_from(b""))
        self._is_matched = np.zeros(0, np.bool_)
        if head.origins:
            taken = [each for each in head.names if _is_of_people(head, each) and each in carried]
            self.notes += [f"{name}: column {escaped(each)} is the manifest's now; people had one" for each in taken]
            self.is_taken_over = bool(taken)
        elif people:
            listed = ", ".join(escaped(each) for each in people[:20])
            self.notes.append(f"{name}: kept the columns that are not ours: {listed}; remove those that are not needed")
        if people:
            self._read(reading.read_cells(old, name, KEY, people), people, name)
        self.fingerprints = self._named_fingerprints()

    def _read(self, pieces: Iterator[pa.Table], people: Sequence[str], name: str) -> None:
        """Spool the rows in which people wrote something."""
        left = MAX_TABLE_BYTES
        schema: pa.Schema | None = None
        for piece in pieces:
            schema = piece.schema
            table = piece.filter(_is_written(piece.select(people)))
            for batch in table.combine_chunks().to_batches(max_chunksize=formats.ROW_GROUP_ROWS):
                left -= sum(int(cell_bytes(column).sum()) for column in batch.columns)
                if left < 0:
                    raise LocationError(f"{name}: found more than 2 GiB that people wrote; allowed: up to 2 GiB")
                self._spool.append(batch)
                self._ends.append(self._ends[-1] + batch.num_rows)
        self.fields = [] if schema is None else [schema.field(each) for each in people]

    def _named_fingerprints(self) -> list[str]:
        """Return the fingerprints of these rows, each once."""
        named: dict[str, None] = {}
        for batch in self._spool:
            named.update(dict.fromkeys(text for text in batch.column(2).to_pylist() if text))
        return list(named)

    def follow(self, takes: Mapping[str, str]) -> None:
        """Look up which takes older fingerprints are now; needed once, before `columns`."""
        short = {old[:SHORT]: new[:SHORT] for old, new in takes.items()}
        keys = bytearray()
        for batch in self._spool:
            for shot_id, take, fingerprint in zip(*(column.to_pylist() for column in batch.columns[:3]), strict=True):
                keys += _key(short.get(shot_id, shot_id), take, takes.get(fingerprint, fingerprint))
        unique, group_of = shared(digests_from(keys))
        self._keys = FingerprintSet(unique)
        self._order = np.argsort(group_of, kind="stable")  # the rows of a key one after the other
        self._count = np.bincount(group_of, minlength=len(unique))
        self._start = np.cumsum(self._count) - self._count
        self._used = np.zeros(len(unique), np.int64)
        self._is_matched = np.zeros(len(group_of), np.bool_)

    def columns(self, table: pa.Table) -> list[pa.Array]:
        """Return people's cells for the next rows of the new table; null where there are none.

        Each row of the old table goes to one row: of rows with the same key the first to the first, and so on.
        """
        parts = (table[name].to_pylist() for name in KEY)
        wanted: Digests = digests_from(b"".join(_key(*row) for row in zip(*parts, strict=True)))
        group = self._keys.positions(wanted)
        found = np.flatnonzero(group >= 0)
        which = np.full(len(group), -1, np.int64)
        if len(found):
            groups = group[found]
            order = np.argsort(groups, kind="stable")
            firsts = np.searchsorted(groups[order], groups[order], side="left")
            rank = np.empty(len(groups), np.int64)
            rank[order] = np.arange(len(groups)) - firsts
            at = self._used[groups] + rank
            is_there = at < self._count[groups]
            which[found[is_there]] = self._order[self._start[groups[is_there]] + at[is_there]]
            np.add.at(self._used, groups, 1)
            self._is_matched[which[which >= 0]] = True
        return self._cells(which)

    @property
    def lost(self) -> int:
        """Number of rows that people wrote in and that have no partner in the new table."""
        return int(np.count_nonzero(~self._is_matched))

    def close(self) -> None:
        """Give the rows up."""
        self._spool.close()

    def _cells(self, which: NDArray[np.int64]) -> list[pa.Array]:
        rows = which[which >= 0]
        ends = np.asarray(self._ends)
        numbers = np.unique(np.searchsorted(ends, rows, side="right") - 1)
        added = range(len(KEY), len(KEY) + len(self.fields))
        batches = [self._spool[number].select(added) for number in numbers.tolist()]
        if not batches:
            return [pa.nulls(len(which), field.type) for field in self.fields]
        begins = ends[numbers]
        of = np.maximum(np.searchsorted(begins, which, side="right") - 1, 0)
        moved = np.cumsum([0, *(batch.num_rows for batch in batches)])[of] - begins[of]
        indices = pa.array(np.where(which >= 0, which + moved, 0), pa.int64(), mask=which < 0)
        joined = pa.Table.from_batches(batches).combine_chunks()
        return [joined.column(index).chunk(0).take(indices) for index in range(len(self.fields))]


def _is_written(people: pa.Table) -> pa.Array:
    """Tell of each row whether people wrote anything into it."""
    written = np.zeros(people.num_rows, np.bool_)
    for column in people.columns:
        is_there = column.is_valid().to_numpy(zero_copy_only=False)
        is_json = isinstance(column.type, pa.JsonType)
        if is_json or pa.types.is_string(column.type):
            texts, blank = column.cast(pa.string()), '""' if is_json else ""
            is_there &= pc.call_function("not_equal", [texts, blank]).fill_null(False).to_numpy(zero_copy_only=False)
        written |= is_there
    return pa.array(written)


def _key(shot_id: str | None, take: int | None, fingerprint: str | None) -> bytes:
    return hashlib.sha256(f"{shot_id}\0{take}\0{fingerprint}".encode("utf-8", "surrogatepass")).digest()
