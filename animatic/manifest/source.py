"""A manifest file's bytes into a table, whichever form they have; and the stills that it names."""

import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from animatic.errors import ManifestError
from animatic.errors.text import did_you_mean, escaped, quoted
from animatic.manifest.csv_text import read_csv
from animatic.manifest.embedded import Keep
from animatic.manifest.faults import Fault, Problem, fault_at, report
from animatic.manifest.file_form import SPREADSHEETS, SUFFIXES
from animatic.manifest.header import header_faults, names_of
from animatic.manifest.images import relative_path
from animatic.manifest.json_lines import read_json_lines
from animatic.manifest.parquet import has_text_form, read_parquet, type_faults
from animatic.manifest.rows import Rows
from animatic.manifest.still_folder import StillFolder
from animatic.manifest.tables import BROKEN, TextTable, number_text, whole_file_error
from animatic.manifest.workbook import read_workbook

MAX_FILE_BYTES = 512 << 20
_FORMS = {".parquet": "Parquet", ".xlsx": "an Excel workbook"}

_BYTES_PER_CHUNK = 1 << 20
_BLANK = b"\xef\xbb\xbf \t\r\n"
_WORKBOOK = "an Excel workbook (.xlsx) or another zip file"
_SIGNATURES = (
    (b"PAR1", "Parquet"),
    (b"PK\x03\x04", _WORKBOOK),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls), or one with a password"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"%PDF", "a PDF"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest as read, nothing in it checked but its form.

    Attributes:
        name: the file's name, as faults give it.
        sha256: of the file's bytes, in hex.
        schema: of the manifest's own columns; all are text but from Parquet.
        rows: every data row and column in batches; but from Parquet with `BROKEN` behind them.
        num_rows: how many data rows there are.
        lines: the line or the sheet's row on which each data row begins; None for Parquet.
        sheet_rows: the row of a spreadsheet that each is, where that is not its line; None for those that need none.
        header_faults: what is wrong with the columns; nothing may run while there are any.
        notes: what was passed over or read under another name.
    """

    name: str
    sha256: str
    schema: pa.Schema
    rows: Rows
    num_rows: int
    lines: Sequence[int] | None
    header_faults: Sequence[Fault]
    notes: Sequence[str] = ()
    sheet_rows: Sequence[int] | None = None

    def without_broken(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the manifest's own columns."""
        return batch if self.lines is None else batch.select(range(batch.num_columns - 1))

    def line(self, row: int) -> int | None:
        """Return the physical line on which a data row (from 1) begins, None for Parquet."""
        return None if self.lines is None else self.lines[row - 1]

    def fault(self, row: int, bad: Problem, column: str = "row", shot_id: str | None = None) -> Fault:
        """Return the fault that `bad` is in a data row; with the sheet's row and the shot where the line is another."""
        line, beside = self.line(row), None
        if self.sheet_rows is not None and self.sheet_rows[row - 1] != line:
            beside = f"row {self.sheet_rows[row - 1]:,}" + (f", {escaped(shot_id.strip(), 30)}" if shot_id else "")
        return fault_at(line, row, column, bad, beside)


def broken_rows(batch: pa.RecordBatch) -> dict[int, Problem]:
    """Return faults in the shape of rows, by index in the batch."""
    broken = batch.column(batch.num_columns - 1) if batch.schema.names[-1:] == [BROKEN.name] else None
    if broken is None or broken.null_count == len(broken):
        return {}
    return {index: Problem(**found) for index, found in enumerate(broken.to_pylist()) if found is not None}


def read_table(  # noqa: PLR0913, PLR0917 - a file, how it is read, and where its parts go
    name: str,
    data: bytes | BinaryIO,
    rows: Rows | None = None,
    mapping: Mapping[str, str] | None = None,
    sheet: str | None = None,
    keep: Keep | None = None,
) -> RawManifest:
    """Read the table from bytes or an open file called `name`; the suffix gives the format.

    The rows go to `rows`, or into memory. `mapping` is as in `header.names_of`, `sheet` a sheet's name; `keep` gets the
    bytes of stills that lie in a Parquet file itself.

    Raises:
        ManifestError: the file as a whole cannot be read, has no rows, or has columns without distinct names.
    """
    suffix = _suffix_of(name)
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    kept = [] if rows is None else rows
    size_bytes = file.seek(0, io.SEEK_END)
    if size_bytes > MAX_FILE_BYTES:
        raise whole_file_error(name, Problem("too large", f"{size_bytes:,} bytes", f"up to {MAX_FILE_BYTES:,}"))
    digest = _digest_of(name, file)
    _require_form(name, suffix, file)
    if suffix == ".parquet":
        raw = _from_parquet(name, digest, file, _Renamed(kept, mapping or {}), keep)
    else:
        text = _read_text(name, suffix, file, kept, mapping or {}, sheet)
        faults = header_faults(text.schema.names, text.header_line)
        raw = RawManifest(
            name, digest, text.schema, kept, len(text.lines), text.lines, faults, text.notes, text.sheet_rows
        )
    if raw.num_rows == 0:
        faults = [*raw.header_faults, Fault(None, None, None, "no rows", "no rows", "at least one row")]
        raise ManifestError(report(faults, name), len(faults))
    return raw


def _read_text(  # noqa: PLR0913, PLR0917 - a file, and how it is read
    name: str, suffix: str, file: BinaryIO, rows: Rows, mapping: Mapping[str, str], sheet: str | None
) -> TextTable:
    match suffix:
        case ".xlsx":
            return read_workbook(name, file, rows, mapping, sheet)
        case ".jsonl":
            return read_json_lines(name, file, rows, mapping)
        case ".tsv":
            return read_csv(name, file, rows, mapping, ("\t",))
        case _:
            return read_csv(name, file, rows, mapping)


def _from_parquet(name: str, digest: str, file: BinaryIO, rows: "_Renamed", keep: Keep | None) -> RawManifest:
    schema, count = read_parquet(name, file, rows, keep)
    named = names_of(schema.names, rows.mapping)
    schema = pa.schema([field.with_name(new) for field, new in zip(schema, named.columns, strict=True)])
    problems = [fault_at(None, None, "header", bad) for bad in named.problems]
    faults = [*problems, *header_faults(schema.names, None), *type_faults(schema)]
    return RawManifest(name, digest, schema, rows.rows, count, None, faults, named.notes)


class _Renamed:
    """Rows on their way from Parquet, their columns under the names that they are read under."""

    def __init__(self, rows: Rows, mapping: Mapping[str, str]) -> None:
        self.rows, self.mapping = rows, mapping

    def append(self, batch: pa.RecordBatch) -> None:
        """Add the next batch."""
        self.rows.append(batch.rename_columns(list(names_of(batch.schema.names, self.mapping).columns)))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Read the batches."""
        return iter(self.rows)


def local_stills(raw: RawManifest, folder: StillFolder = StillFolder()) -> list[str]:  # noqa: B008 - frozen
    """Return the distinct paths in the `image` column, in order, as far as they stay inside the folder."""
    stills: dict[str, None] = {}
    for batch in raw.rows:
        for text in texts_of(batch, "image"):
            found = "" if text is None else folder.path_of(text.strip())
            path = None if "://" in found else relative_path(found)
            if path is not None:
                stills[path] = None
    return list(stills)


def models_in(raw: RawManifest) -> list[str]:
    """Return the distinct texts in the `model` column, in order."""
    found: dict[str, None] = {}
    for batch in raw.rows if "model" in raw.schema.names else ():
        found.update((text.strip(), None) for text in dict.fromkeys(texts_of(batch, "model")) if text and text.strip())
    return list(found)


def _digest_of(name: str, file: BinaryIO) -> str:
    """Hash the file. Raises ManifestError for an empty one."""
    digest, is_blank = hashlib.sha256(), True
    file.seek(0)
    while chunk := file.read(_BYTES_PER_CHUNK):
        digest.update(chunk)
        is_blank = is_blank and not chunk.strip(_BLANK)
    if is_blank:
        raise whole_file_error(name, Problem("empty file", "an empty file", "a header and at least one row"))
    return digest.hexdigest()


def texts_of(batch: pa.RecordBatch, column: str) -> Sequence[str | None]:
    """Return the cells of a column as text; None for nulls, and where the column is absent or has no text."""
    index = batch.schema.get_field_index(column)
    arrow_type = None if index < 0 else batch.schema.field(index).type
    if arrow_type is None or not has_text_form(arrow_type):
        return [None] * batch.num_rows
    values: list[Any] = batch.column(index).to_pylist()
    if pa.types.is_float32(arrow_type) or pa.types.is_float16(arrow_type):
        narrow = np.float32 if pa.types.is_float32(arrow_type) else np.float16
        values = [None if value is None else float(str(narrow(value))) for value in values]  # 0.3, not 0.300000012
    return [_text(value) for value in values] if not pa.types.is_string(arrow_type) else values


def _text(value: str | float | bool | Decimal | timedelta | None) -> str | None:
    """Return a cell as text, None for an empty one; a spreadsheet's not-a-number is an empty cell.

    A duration is its seconds.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return None if isinstance(value, float) and math.isnan(value) else number_text(value)


def _suffix_of(name: str) -> str:
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return suffix
    stem, dot, _ = name.rpartition(".")
    ending, hint = f".{name.lower().rpartition('.')[2]}" if dot else "", None
    if ending == ".txt":
        hint = did_you_mean(f"{stem}.csv")
    elif ending in {".json", ".ndjson"}:
        hint = f"one object a line? {did_you_mean(f'{stem}.jsonl')}"
    elif ending in SPREADSHEETS:
        hint = "save it as .xlsx, or as CSV in UTF-8"
    raise whole_file_error(name, Problem("unknown suffix", f"the name {quoted(name)}", " or ".join(SUFFIXES), hint))


def _require_form(name: str, suffix: str, file: BinaryIO) -> None:
    file.seek(0)
    start = file.read(1_000)
    form = next((form for signature, form in _SIGNATURES if start.startswith(signature)), None)
    is_binary = suffix in {".parquet", ".xlsx"}
    if form is None and not is_binary and start.count(b"\0") * 4 > len(start):
        form = "text in UTF-16, or no text at all"
    if is_binary and form is None:
        form = f"text or something else that is not {_FORMS[suffix]}"
    wanted = f"{_FORMS.get(suffix, 'UTF-8 text')} under {suffix}"
    right = {".parquet": "Parquet", ".xlsx": _WORKBOOK}.get(suffix)
    if form is not None and form != right:
        raise whole_file_error(name, Problem("not what its suffix says", f"what seems to be {form}", wanted))
