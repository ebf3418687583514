"""The cells of a results table in CSV as text: as we write it, and as spreadsheets save it again.

UTF-8 with or without a byte order mark, or UTF-16 with one; commas, semicolons or tabs. Excel leaves out empty cells at
the end of a row, so a row may have fewer cells than the header.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pacsv

from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.formats import ROW_GROUP_ROWS
from animatic.results.formulas import restore

DELIMITERS = (",", ";", "\t")
_MARKS_OF_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BLOCK_BYTES = 64 << 20
_HEADER_BYTES = 4 << 20
_DECLARED = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
NOT_UTF8 = "it is no text in UTF-8; was it saved as Windows-1252 or Latin-1? save it as CSV in UTF-8"


@dataclass(frozen=True, slots=True)
class CsvCells:
    """An open CSV file.

    Attributes:
        file: in UTF-8.
        delimiter: which of DELIMITERS parts its cells.
        names: its columns, without formula marks.
        lines_above: lines above the header.
    """

    file: BinaryIO
    delimiter: str
    names: Sequence[str]
    lines_above: int = 0

    @property
    def has_decimal_commas(self) -> bool:
        """Tell if a comma in a number is for decimals: that is why programs choose another delimiter."""
        return self.delimiter != ","

    def read(self, indices: Sequence[int]) -> Iterator[pa.Table]:
        """Yield these columns as text, under their names, a piece at a time.

        Raises UnicodeDecodeError, csv.Error, pyarrow.ArrowException: it is no text in UTF-8, or no CSV.
        """
        done = 0
        try:
            for batch in self._by_arrow(indices):
                for start in range(0, batch.num_rows, ROW_GROUP_ROWS):
                    piece = batch.slice(start, ROW_GROUP_ROWS)
                    yield self._table(piece.columns, indices)
                    done += piece.num_rows
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error):
                raise ValueError(NOT_UTF8) from None
            if "columns, got" not in str(error):
                raise
            yield from self._row_by_row(indices, done)

    def _by_arrow(self, indices: Sequence[int]) -> Iterator[pa.RecordBatch]:
        self.file.seek(0)
        numbers = [str(index) for index in range(len(self.names))]  # Arrow would stumble over those of the file
        wanted = [str(index) for index in indices]
        with pacsv.open_csv(
            pa.PythonFile(self.file, mode="r"),
            read_options=pacsv.ReadOptions(
                block_size=_BLOCK_BYTES,
                use_threads=False,
                column_names=numbers,
                skip_rows=self.lines_above,
            ),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, delimiter=self.delimiter),
            convert_options=pacsv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        ) as reader:
            header_rows = 1  # Arrow 26, asked to skip a header with a NUL in it, skips the row behind it too
            for batch in reader:
                yield batch.slice(header_rows)
                header_rows = max(header_rows - batch.num_rows, 0)

    def _row_by_row(self, indices: Sequence[int], done: int) -> Iterator[pa.Table]:
        """Yield the rows behind the first ones, short ones filled up. A last one without a line end was cut off."""
        self.file.seek(-1, io.SEEK_END)
        is_whole, last = self.file.read(1) in b"\r\n", list[str]()
        self.file.seek(0)
        text = io.TextIOWrapper(cast("Any", self.file), encoding="utf-8-sig", newline="")
        try:
            records = (cells for cells in csv.reader(text, delimiter=self.delimiter) if cells)
            rows = itertools.islice(records, self.lines_above + 1 + done, None)
            while batch := _next(rows):
                last = batch[-1]
                filled = [self._filled(cells) for cells in batch]
                columns = [pa.array([cells[index] or None for cells in filled], pa.string()) for index in indices]
                yield self._table(columns, indices)
        finally:
            text.detach()  # it would close the file
        if len(last) < len(self.names) and not is_whole:
            raise csv.Error("its last row is cut off")

    def _filled(self, cells: list[str]) -> list[str]:
        """Return a row with as many cells as the header has."""
        width = len(self.names)
        stray = next((cell for cell in cells[width:] if cell), None)
        if stray is not None:
            raise csv.Error(f"a column without a name holds '{stray[:30]}'")
        return cells + [""] * (width - len(cells))

    def _table(self, columns: Sequence[pa.Array], indices: Sequence[int]) -> pa.Table:
        return pa.Table.from_arrays([restore(column) for column in columns], names=[self.names[at] for at in indices])


def _next(rows: Iterator[list[str]]) -> list[list[str]]:
    """Return the next rows, whose cells may be longer than `csv` takes by itself."""
    old_limit = csv.field_size_limit(_BLOCK_BYTES)
    try:
        return list(itertools.islice(rows, ROW_GROUP_ROWS))
    finally:
        csv.field_size_limit(old_limit)


def open_csv(file: BinaryIO) -> CsvCells:
    """Return the cells of a CSV file, the delimiter found from its header.

    Raises UnicodeDecodeError, ValueError, csv.Error: it is no text in UTF-8, or no CSV.
    """
    file.seek(0)
    start = file.read(2)
    if start in _MARKS_OF_UTF16:
        file = io.BytesIO((start + file.read()).decode("utf-16").encode())
    file.seek(0)
    start = file.read(_HEADER_BYTES)
    try:
        text = start.decode("utf-8-sig", "strict" if len(start) < _HEADER_BYTES else "ignore")
    except UnicodeDecodeError:
        raise ValueError(NOT_UTF8) from None
    declared = _DECLARED.match(text)
    if declared is not None:
        text = text[declared.end() :]
    found: list[tuple[int, int, str, list[str]]] = []
    for delimiter in DELIMITERS if declared is None else (declared[1],):
        names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        plain: list[str] = restore(pa.array(names, pa.string())).to_pylist()
        while plain and not plain[-1]:  # columns that were emptied in a spreadsheet
            plain.pop()
        found.append((sum(name in RESULTS_SCHEMA.names for name in plain), len(plain), delimiter, plain))
    _, _, delimiter, names = max(found, key=lambda each: each[:2])
    return CsvCells(file, delimiter, names, int(declared is not None))
