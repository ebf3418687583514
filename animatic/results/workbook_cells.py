"""The cells of a results table in a workbook, as we write it and as spreadsheets save it again.

No formula is run: of a formula, the value counts that the file holds. The sheet is read piece by piece, so a table of
any length takes little memory, but for the texts that other programs keep in a list of their own.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time
from decimal import Decimal
from math import isfinite
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute

from animatic.manifest.tables import number_text
from animatic.results.columns import MOMENT, RESULTS_SCHEMA
from animatic.results.workbook import ABOUT, CONTINUED, DAY_US, EPOCH_DAYS, LONG, RESULTS
from animatic.results.workbook_frame import FLAG, FORMAT_OF
from animatic.results.workbook_xml import Cell, Workbook, has_date, has_hours, moment_of, open_workbook

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

MAX_CHARS = 4 << 30
_ROWS_AT_ONCE = 4_096
_SERIAL = r"\A[0-9]{1,7}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?\z"
_IS_SERIAL = re.compile(_SERIAL.replace(r"\z", r"\Z"))
_CHARS_AT_ONCE = 64 << 20
_ABOUT_ROWS = 20_000
_SIMPLE = frozenset(
    {"bool", "string", "large_string", "float", "double", "date32[day]"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
_MAX_LONG_CHARS = 256 << 20
_ZONED = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")
_EXACT = re.compile(r"decimal(?:128)?\(([0-9]{1,2}), ([0-9]{1,2})\)")


class SheetTable:
    """The table in a workbook.

    Attributes:
        names: its columns.
        origins: of each column that says where it came from.
        types: their types, as text.
        metadata: custom properties of the workbook.
        other_sheets: names of sheets that are not ours.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read all but the table's cells. Raises ValueError and the like where it is no workbook."""
        self._book: Workbook = open_workbook(file)
        self.sheet = RESULTS if RESULTS in self._book.sheets else next(iter(self._book.sheets))
        header = next(self._book.rows(self.sheet), {})
        self.names = [_shown(header.get(index)) for index in range(max(header, default=-1) + 1)]
        while self.names and not self.names[-1]:
            self.names.pop()
        about = self._about()
        self.types = {name: of for name, of, _ in about}
        self.origins = {name: origin for name, _, origin in about if origin in {"animatic", "manifest"}}
        self.metadata = self._book.metadata
        self.other_sheets = [name for name in self._book.sheets if name not in {self.sheet, ABOUT, LONG}]

    def _about(self) -> list[tuple[str, str, str]]:
        if self.sheet != RESULTS or ABOUT not in self._book.sheets:
            return []
        rows = []
        for row in self._book.rows(ABOUT):
            rows.append(tuple(_shown(row.get(index)) for index in range(3)))
            if len(rows) > _ABOUT_ROWS:
                raise ValueError(f"a sheet {ABOUT} of more than {_ABOUT_ROWS:,} rows")
        return rows[1:]

    def pieces(self, known: Sequence[str], others: Sequence[str]) -> Iterator[pa.Table]:
        """Yield known columns as text, and others as JSON (`pa.json_()`), some rows at a time."""
        self._long = self._long_texts() if LONG in self._book.sheets else {}
        wanted = [(self.names.index(name), self._reader(name)) for name in known]
        wanted += [(self.names.index(name), self._as_json) for name in others]
        names, width = [*known, *others], len(self.names)
        indices = [index for index, _ in wanted]
        rows = self._book.rows(self.sheet, lambda at: at < width and at not in set(indices))
        next(rows, None)
        found, chars, total = list[list[str | None]](), 0, 0
        for row in rows:
            if max(row, default=0) >= width:
                _require_names(row, width)
            values = [None if (cell := row.get(index)) is None else read(cell) for index, read in wanted]
            found.append(values)
            chars += sum(map(len, filter(None, values)))
            if len(found) >= _ROWS_AT_ONCE or chars > _CHARS_AT_ONCE:
                total += chars
                if total > MAX_CHARS:
                    raise ValueError(f"cells of more than {MAX_CHARS:,} characters")
                yield self._piece(names, found, len(known))
                found, chars = [], 0
        if found:
            yield self._piece(names, found, len(known))

    def _piece(self, names: Sequence[str], rows: Sequence[Sequence[str | None]], known: int) -> pa.Table:
        table = _table(names, list(zip(*rows, strict=True)), known)
        for index, name in enumerate(names[:known]):
            if pa.types.is_timestamp(RESULTS_SCHEMA.field(name).type):
                table = table.set_column(index, name, self._moments(table.column(index)))
        return table

    def _moments(self, column: Any) -> Any:
        """Return moments that all are numbers of days as such; others as text."""
        is_number = pc.match_substring_regex(column, _SERIAL)
        if pc.all(is_number, min_count=0).as_py():
            days = pc.add(column.cast(pa.float64()), float(self._book.first_day - EPOCH_DAYS))
            return pc.round(pc.multiply(days, float(DAY_US))).cast(pa.int64(), safe=False).cast(MOMENT)
        texts = (None if text is None else self._moment(text) for text in column.to_pylist())
        return pa.chunked_array([pa.array(list(texts), pa.string())])

    def _reader(self, name: str) -> Callable[[Cell], str | None]:
        is_text = pa.types.is_string(RESULTS_SCHEMA.field(name).type)

        def read(cell: Cell) -> str | None:
            kind, value, code = cell
            if kind == "n":
                return self._shown_number(value, code) if is_text else value
            return self._whole(value)

        return read

    def _as_json(self, cell: Cell) -> str | None:
        kind, value, code = cell
        if kind == "b":
            return value
        if kind != "n":
            return json.dumps(self._whole(value))
        number = _number(value)
        if has_date(code):
            number += self._book.first_day
        return json.dumps(number if code in {"", "@", "General"} else {"number": number, "format": code})

    def _whole(self, text: str) -> str:
        if self._long and (found := CONTINUED.search(text)):
            return self._long.get(int(found[1]), text)
        return text

    def _long_texts(self) -> dict[int, str]:
        parts: dict[int, dict[int, str]] = {}
        left = _MAX_LONG_CHARS
        rows = self._book.rows(LONG)
        next(rows, None)
        for row in rows:
            number, _, part, text = (row.get(index, ("s", "", ""))[1] for index in range(4))
            if number and part:
                left -= len(text)
                if left < 0:
                    raise ValueError(f"long texts of more than {_MAX_LONG_CHARS:,} characters")
                parts.setdefault(int(float(number)), {})[int(float(part))] = text
        return {number: "".join(texts[part] for part in sorted(texts)) for number, texts in parts.items()}

    def _moment(self, text: str) -> str:
        moment = self._book.moment(text) if _IS_SERIAL.match(text) else None
        return text if moment is None else moment.isoformat().replace("+00:00", "Z")

    def _shown_number(self, value: str, code: str) -> str:
        if not has_date(code):
            return number_text(_number(value))
        moment = self._book.moment(value)
        if moment is None:
            return value
        if float(value) < 1:
            return moment.time().isoformat("seconds")
        return moment.replace(tzinfo=None).isoformat(" ") if has_hours(code) else moment.date().isoformat()


def read_table(file: BinaryIO) -> pa.Table:
    """Return the whole table, its metadata included; columns that are not ours with the types that their cells have."""
    sheet = SheetTable(file)
    known = [name for name in sheet.names if name in RESULTS_SCHEMA.names]
    others = [name for name in sheet.names if name not in RESULTS_SCHEMA.names]
    if len(set(sheet.names)) < len(sheet.names):
        raise ValueError("two columns of one name")
    pieces = list(sheet.pieces(known, others))
    table = pa.concat_tables(pieces) if pieces else _table([*known, *others], [[] for _ in sheet.names], len(known))
    columns = [
        table[name] if name in known else _with_own_type(table[name], sheet.types.get(name, "")) for name in sheet.names
    ]
    metadata = {key: value for key, value in sheet.metadata.items() if key.startswith("animatic.")}
    return pa.Table.from_arrays(columns, names=sheet.names).replace_schema_metadata(metadata or None)


def _with_own_type(column: pa.ChunkedArray, declared: str) -> Any:
    """Return a column of JSON with the type that was declared, or else the one that fits all its values."""
    values = [None if text is None else _plain(json.loads(text)) for text in column.cast(pa.string()).to_pylist()]
    wanted = _type_of(declared)
    for of in (wanted, pa.bool_(), pa.int64(), pa.float64(), MOMENT, pa.timestamp("us")):
        try:
            if of is not None and (of is wanted or any(value is not None for value in values)):
                return _typed(values, of, is_strict=of is not wanted)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError):
            continue  # a person has written something else into it
    return pa.array([None if value is None else _text_of(value) for value in values], pa.string())


def _typed(values: Sequence[Any], of: pa.DataType, *, is_strict: bool) -> Any:
    """Return values with a type; where it is not strict, texts of them too. Raises ValueError and the like."""
    types = pa.types
    if types.is_boolean(of) or types.is_string(of) or types.is_large_string(of):
        wanted: Any = bool if types.is_boolean(of) else str
        _require(all(value is None or isinstance(value, wanted) for value in values))
        return pa.array(values, of)
    is_time = types.is_timestamp(of) or types.is_date32(of)
    _require(not any(isinstance(value, bool) or (is_strict and isinstance(value, str)) for value in values))
    _require(is_time or not any(isinstance(value, datetime) for value in values))
    if is_time:
        _require(all(value is None or isinstance(value, str | datetime) for value in values))
        zoned = types.is_timestamp(of) and of.tz is not None
        _require(all((value.tzinfo is not None) == zoned for value in values if isinstance(value, datetime)))
        texts = [_as_iso(value, is_date=types.is_date32(of)) for value in values]
        return pa.array(texts, pa.string()).cast(of)
    if types.is_integer(of):
        _require(all(value.is_integer() for value in values if isinstance(value, float)))
        return pa.array([int(value) if isinstance(value, str) else value for value in values], of)
    if types.is_floating(of):
        return pa.array([None if value is None else float(value) for value in values], of)
    _require(types.is_decimal(of))
    return pa.array([None if value is None else Decimal(str(value)) for value in values], of)


def _require(is_so: bool) -> None:
    if not is_so:
        raise ValueError


def _as_iso(value: Any, *, is_date: bool) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if is_date:
        _require(value.time() == time())
        return value.date().isoformat()
    return value.isoformat().replace("+00:00", "Z")


def _type_of(declared: str) -> pa.DataType | None:
    """Return the type of this name; None where cells of text or of their own kind must do."""
    zoned, exact = _ZONED.fullmatch(declared), _EXACT.fullmatch(declared)
    try:
        if zoned is not None:
            return pa.timestamp(zoned[1], zoned[2])
        if exact is not None:
            return pa.decimal128(int(exact[1]), int(exact[2]))
        return pa.type_for_alias(declared) if declared in _SIMPLE else None
    except ValueError:
        return None


def _plain(value: Any) -> Any:
    """Return the value of a cell that its JSON stands for: a moment where its format shows one."""
    if not isinstance(value, dict):
        return value
    number, code = value["number"], value["format"]
    if code == FORMAT_OF[FLAG] and number in {0, 1}:
        return bool(number)
    if not has_date(code):
        return number
    moment = moment_of(number)
    if moment is None:
        return number
    if 0 <= number < 1 and has_hours(code):
        return moment.time().isoformat("seconds")
    return moment if "UTC" in code else moment.replace(tzinfo=None)


def _text_of(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case datetime():
            return str(_as_iso(value, is_date=False))
        case _:
            return str(value)


def _number(text: str) -> int | float:
    """Return a number as a cell spells it. Raises ValueError."""
    if text.removeprefix("-").isdecimal():
        return int(text)
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"a number {text[:30]}")
    return number


def _require_names(row: dict[int, Cell], width: int) -> None:
    """Refuse text in a column that the header does not name. Raises ValueError."""
    stray = next((cell for index, cell in row.items() if index >= width and _shown(cell)), None)
    if stray is not None:
        raise ValueError(f"a column without a name holds '{_shown(stray)[:30]}'")


def _shown(cell: Cell | None) -> str:
    """Return a cell's value as text."""
    if cell is None:
        return ""
    kind, value, _ = cell
    return number_text(_number(value)) if kind == "n" else value


def _table(names: Sequence[str], columns: Sequence[Sequence[str | None]], known: int) -> pa.Table:
    arrays = [pa.array(values, pa.string()) for values in columns]
    arrays[known:] = [pa.ExtensionArray.from_storage(pa.json_(), array) for array in arrays[known:]]
    return pa.Table.from_arrays(arrays, names=list(names))
