"""The file of a plan: its form, and how it is written and read. Pure: bytes in, bytes out.

A JSON object with one take a line, so that a plan of a hundred thousand rows is written and read in little memory. The
last line holds the SHA-256 of all bytes before it. A file that was edited or laid out anew is refused.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from animatic.errors import SettingsError
from animatic.errors.text import one_line
from animatic.planning.plan_form import VERSION, HeadPart, PricePart, TakePart, cost_of
from animatic.planning.planned_rows import BUYS, DOES, Do, PlannedRows
from animatic.takes.fingerprints import DIGEST_BYTES, digests_from, hex_of

MAX_FILE_BYTES = 1 << 30
MAX_HEAD_BYTES = 16 << 20
MAX_LINE_BYTES = 256 << 10
ROWS_AT_ONCE = 2_000

BEGINNING = b'{"animatic_plan": '
_FIRST = BEGINNING + f"{VERSION},\n".encode()
_TAKES, _NO_TAKES, _END_OF_TAKES = b'"takes": [\n', b'"takes": [],\n', b"],\n"

_READ_TAKES = TypeAdapter(list[TakePart])


@dataclass(frozen=True, slots=True, repr=False)
class PlanFile:
    """A plan out of its file.

    Attributes:
        name: of the file, for messages.
    """

    name: str
    head: HeadPart
    rows: PlannedRows

    @property
    def made_at(self) -> str:
        """The moment it was made at, for people."""
        return shown_moment(self.head.made_at)

    def rows_priced(self, number: int) -> list[int]:
        """Return the manifest's rows with takes to buy at one of its prices."""
        return sorted({*self.rows.row[self.rows.price == number].tolist()})


def shown_moment(moment: datetime) -> str:
    """Return a moment as messages show it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def written(
    head: HeadPart, rows: PlannedRows, models_and_asked: Iterator[tuple[str | None, Mapping[str, Any] | None]]
) -> Iterator[bytes]:
    """Yield the bytes of a plan's file."""
    digest = hashlib.sha256()
    for chunk in _body(head, rows, models_and_asked):
        digest.update(chunk)
        yield chunk
    yield f'"sha256": "{digest.hexdigest()}"}}\n'.encode()


def _body(
    head: HeadPart, rows: PlannedRows, models_and_asked: Iterator[tuple[str | None, Mapping[str, Any] | None]]
) -> Iterator[bytes]:
    fields = head.model_dump(mode="json")
    del fields["animatic_plan"]
    yield _FIRST + b"".join(f"{json.dumps(name)}: {json.dumps(value)},\n".encode() for name, value in fields.items())
    if not len(rows):
        yield _NO_TAKES
        return
    yield _TAKES
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    for start in range(0, len(rows), ROWS_AT_ONCE):
        lines = [encode(line) for line in _lines(head, rows, models_and_asked, start)]
        is_last = start + ROWS_AT_ONCE >= len(rows)
        yield (",\n".join(lines) + ("\n" if is_last else ",\n")).encode()
    yield _END_OF_TAKES


def _lines(
    head: HeadPart,
    rows: PlannedRows,
    models_and_asked: Iterator[tuple[str | None, Mapping[str, Any] | None]],
    start: int,
) -> Iterator[dict[str, Any]]:
    some = slice(start, start + ROWS_AT_ONCE)
    names = rows.shot_id.slice(start, ROWS_AT_ONCE).to_pylist()
    columns = (rows.row[some], rows.take[some], rows.do[some], rows.price[some], rows.attempt[some])
    values = zip(names, *(each.tolist() for each in columns), hex_of(rows.digest[some]), strict=True)
    for name, row, take, do, price, attempt, fingerprint in values:
        model, asked = next(models_and_asked)
        line: dict[str, Any] = {"row": row, "shot_id": name, "take": take, "do": DOES[do].value, "model": model}
        line["fingerprint"] = fingerprint if take else None
        if asked is not None:
            line |= {"price": price, "usd": head.prices[price].usd}
            line |= {"attempt": attempt} if DOES[do] is Do.BUY_AGAIN else {}
            line["inputs"] = asked
        yield line


def read(file: BinaryIO, name: str) -> PlanFile:
    """Return the plan in an open file; `name` is for messages.

    Raises:
        SettingsError: it holds none, or it was changed since it was written.
    """
    return _Reader(file, name).read()


class _Reader:
    """Reads one file from its start to its end, hashing what it reads."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._line = file, name, 0
        self._digest = hashlib.sha256()

    def read(self) -> PlanFile:
        head, line = self._head()
        rows = self._rows(head) if line == _TAKES else _in_columns([])
        digest = self._digest.hexdigest()
        last = self._next()
        if last != f'"sha256": "{digest}"}}\n'.encode() or self._file.read(1):
            raise self._changed("its SHA-256 does not fit")
        self._require_sums(head, rows)
        return PlanFile(self._name, head, rows)

    def _next(self) -> bytes:
        line = self._file.readline(MAX_LINE_BYTES + 1)
        self._line += 1
        if len(line) > MAX_LINE_BYTES:
            raise self._changed(f"line {self._line:,} has more than {MAX_LINE_BYTES:,} bytes")
        self._digest.update(line)
        return line

    def _head(self) -> tuple[HeadPart, bytes]:
        first = self._next()
        if not first.startswith(BEGINNING):
            raise SettingsError(
                f"--plan: {self._name}: found no plan; allowed: a file that animatic plan MANIFEST -o FILE wrote"
            )
        if first != _FIRST:
            version = one_line(first.removeprefix(BEGINNING).strip(b",\n").decode("utf-8", "replace"), 40)
            raise SettingsError(
                f"--plan: {self._name}: found a plan of version {version}; allowed: version {VERSION}. Make it again "
                "with this animatic"
            )
        found, size = [first], len(first)
        while (line := self._next()) not in {_TAKES, _NO_TAKES}:
            size += len(line)
            if not line or size > MAX_HEAD_BYTES:
                raise self._changed("its takes are missing")
            found.append(line)
        text = b"".join(found).rstrip(b",\n") + b"}"
        try:
            return HeadPart.model_validate_json(text), line
        except ValidationError as error:
            raise self._changed(_first_fault(error)) from None

    def _rows(self, head: HeadPart) -> PlannedRows:
        waiting, is_last = list[bytes](), False
        columns: list[PlannedRows] = []
        while not is_last:
            line = self._next()
            is_last = line == _END_OF_TAKES
            if not line:
                raise self._changed("it ends in the middle")
            if not is_last:
                waiting.append(line.removesuffix(b"\n").removesuffix(b","))
            if waiting and (is_last or len(waiting) == ROWS_AT_ONCE):
                columns.append(_in_columns(self._takes(waiting, head)))
                waiting = []
        return _joined(columns)

    def _takes(self, lines: Sequence[bytes], head: HeadPart) -> list[TakePart]:
        try:
            found = _READ_TAKES.validate_json(b"[" + b",".join(lines) + b"]")
        except ValidationError as error:
            raise self._changed(_first_fault(error)) from None
        if len(found) != len(lines):
            raise self._changed("several takes stand in one line")
        for each in found:
            if not _is_sound(each, head.prices):
                raise self._changed(f"the take of row {each.row:,} contradicts itself")
        return found

    def _require_sums(self, head: HeadPart, rows: PlannedRows) -> None:
        """Refuse a plan whose head does not say what its takes come to. Raises SettingsError."""
        counts: list[int] = np.bincount(rows.price[rows.price >= 0], minlength=len(head.prices)).tolist()
        bought = rows.digest[rows.is_bought]
        if counts != [each.takes for each in head.prices] or len(np.unique(bought)) != len(bought):
            raise self._changed("the takes to buy are not those of its prices")
        if cost_of(head.prices, head.options.attempts) != head.cost:
            raise self._changed("its cost is not the sum of its prices")

    def _changed(self, why: str) -> SettingsError:
        return SettingsError(
            f"--plan: {self._name}: it is not as animatic wrote it ({why}). A plan cannot be edited, cut or laid out "
            "anew; nothing was bought. Make a new one with animatic plan MANIFEST -o FILE"
        )


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(each) for each in fault["loc"])
    return one_line(f"{place}: {fault['msg']}" if place else str(fault["msg"]), 200)


def _is_sound(take: TakePart, prices: Sequence[PricePart]) -> bool:
    """Tell if the parts of a take fit each other and the prices."""
    is_invalid = take.do is Do.INVALID
    if (take.take == 0) != is_invalid or (take.fingerprint is None) != is_invalid:
        return False
    if take.do not in BUYS:
        return take.price is None and take.usd is None and take.attempt is None
    if take.price is None or take.price >= len(prices) or (take.attempt is None) != (take.do is Do.BUY):
        return False
    price = prices[take.price]
    return take.inputs is not None and take.usd == price.usd and take.model == price.model


def _in_columns(takes: Sequence[TakePart]) -> PlannedRows:
    zeros = "0" * 2 * DIGEST_BYTES
    asked = [
        None if each.inputs is None else json.dumps({"model": each.model, **each.inputs}, ensure_ascii=False)
        for each in takes
    ]
    return PlannedRows(
        row=np.array([each.row for each in takes], np.int32),
        take=np.array([each.take for each in takes], np.int8),
        digest=digests_from(bytes.fromhex("".join(each.fingerprint or zeros for each in takes))),
        shot_id=pa.chunked_array([pa.array([each.shot_id for each in takes], pa.string())]),
        do=np.array([DOES.index(each.do) for each in takes], np.int8),
        price=np.array([-1 if each.price is None else each.price for each in takes], np.int32),
        attempt=np.array([each.attempt or 0 for each in takes], np.int64),
        asked=pa.chunked_array([pa.array(asked, pa.string())]),
    )


def _joined(parts: Sequence[PlannedRows]) -> PlannedRows:
    if not parts:
        return _in_columns([])
    columns = {name: np.concatenate([getattr(each, name) for each in parts]) for name in _NUMBERS}
    texts = {
        name: pa.chunked_array(cast("Any", [chunk for each in parts for chunk in getattr(each, name).chunks]))
        for name in ("shot_id", "asked")
    }
    return PlannedRows(**columns, **texts)


_NUMBERS = ("row", "take", "digest", "do", "price", "attempt")
