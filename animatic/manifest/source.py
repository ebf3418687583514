"""A manifest file's bytes into a table, whichever of the two forms they have; and the stills that it names."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from animatic.errors import ManifestError
from animatic.manifest.csv_text import read_csv, whole_file_error
from animatic.manifest.faults import Bad, Fault, did_you_mean, quoted, report
from animatic.manifest.header import header_faults
from animatic.manifest.images import relative_path
from animatic.manifest.parquet import has_text_form, read_parquet, type_faults

SUFFIXES = (".csv", ".parquet")
MAX_FILE_BYTES = 512 << 20

_ROWS_PER_CHUNK = 8_192
_SIGNATURES = (
    (b"PAR1", "Parquet"),
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or another zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
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
        table: every data row and column; from CSV every column is text.
        lines: for CSV the physical line on which each data row begins; None for Parquet.
        header_faults: what is wrong with the columns; nothing may run while there are any.
        row_faults: rows whose cells cannot be told apart.
    """

    name: str
    sha256: str
    table: pa.Table
    lines: Sequence[int] | None
    header_faults: Sequence[Fault]
    row_faults: Sequence[Fault]


def read_table(name: str, data: bytes) -> RawManifest:
    """The table in the bytes of the file `name`; the suffix says what it must be.

    Raises ManifestError where the file as a whole cannot be read, has no rows, or has columns without distinct names.
    """
    suffix = _suffix_of(name)
    if len(data) > MAX_FILE_BYTES:
        raise whole_file_error(name, Bad("too large", f"{len(data):,} bytes", f"up to {MAX_FILE_BYTES:,}"))
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise whole_file_error(name, Bad("empty file", "an empty file", "a header and at least one row"))
    _require_form(name, suffix, data)
    digest = hashlib.sha256(data).hexdigest()
    if suffix == ".csv":
        text = read_csv(name, data)
        faults = header_faults(text.table.column_names, text.header_line)
        raw = RawManifest(name, digest, text.table, text.lines, faults, text.row_faults)
    else:
        table = read_parquet(name, data)
        faults = [*header_faults(table.column_names, None), *type_faults(table.schema)]
        raw = RawManifest(name, digest, table, None, faults, [])
    if raw.table.num_rows == 0:
        faults = [*raw.header_faults, Fault(None, None, None, "no rows", "no rows", "at least one row")]
        raise ManifestError(report(faults, name), len(faults))
    return raw


def local_stills(raw: RawManifest) -> list[str]:
    """The distinct relative paths that the `image` column names, in order; only such as stay inside the folder."""
    stills: dict[str, None] = {}
    for (text,) in text_rows(raw.table, ("image",)):
        path = None if text is None else relative_path(text.strip())
        if path is not None:
            stills[path] = None
    return list(stills)


def text_rows(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[str | None, ...]]:
    """The cells of `columns`, row by row, as text; None for nulls and for columns that are absent or have no text."""
    for batch in table.to_batches(max_chunksize=_ROWS_PER_CHUNK):
        cells = [_texts(batch, column) for column in columns]
        yield from zip(*cells, strict=True)


def _texts(batch: pa.RecordBatch, column: str) -> Sequence[str | None]:
    index = batch.schema.get_field_index(column)
    kind = None if index < 0 else batch.schema.field(index).type
    if kind is None or not has_text_form(kind):
        return [None] * batch.num_rows
    values = batch.column(index).to_pylist()
    return [_text(value) for value in values] if not pa.types.is_string(kind) else values


def _text(value: str | float | bool | None) -> str | None:
    """A spreadsheet's 5.0 is the text 5, and its not-a-number is an empty cell."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return value if value is None else str(value)


def _suffix_of(name: str) -> str:
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return suffix
    stem, dot, _ = name.rpartition(".")
    hint = did_you_mean(f"{stem}.csv") if name.lower().endswith((".tsv", ".txt")) and dot else None
    raise whole_file_error(name, Bad("unknown suffix", f"the name {quoted(name)}", " or ".join(SUFFIXES), hint))


def _require_form(name: str, suffix: str, data: bytes) -> None:
    form = next((form for signature, form in _SIGNATURES if data.startswith(signature)), None)
    nul_count = data.count(b"\0", 0, 1_000)
    if form is None and suffix == ".csv" and nul_count * 4 > min(len(data), 1_000):
        form = "text in UTF-16, or no text at all"
    if suffix == ".parquet" and form is None:
        form = "text or something else that is not Parquet"
    wanted = "UTF-8 text under .csv" if suffix == ".csv" else "Parquet under .parquet"
    if form is not None and form != ("Parquet" if suffix == ".parquet" else None):
        raise whole_file_error(name, Bad("not what its suffix says", f"what seems to be {form}", wanted))
