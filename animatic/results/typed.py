"""Texts of a results table back into their types, as we write them and as spreadsheets save them again.

A spreadsheet writes WAHR for true, 2,5 for 2.5, and 16:9 as a time of day. What can be read in one way only is read so.
A date in a local form, or 2,500 between commas, is not guessed at.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute

from animatic.errors.text import quoted
from animatic.takes.veo2 import CHOICES

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

_TRUE = (
    *("true", "1", "wahr", "vrai", "verdadero", "vero", "verdadeiro", "waar", "sant", "sand", "sann", "tosi", "prawda"),
    *("pravda", "igaz", "adevărat", "doğru", "истина", "істина", "αληθης", "αληθες", "真", "참"),
)
_FALSE = (
    *("false", "0", "falsch", "faux", "falso", "onwaar", "falskt", "falsk", "usann", "epätosi", "fałsz", "nepravda"),
    *("hamis", "fals", "yanliş", "yanlış", "ложь", "хибність", "ψευδης", "ψευδες", "假", "거짓"),
)
_BOOLEANS: Mapping[str, bool] = {
    word.casefold(): is_true for words, is_true in ((_TRUE, True), (_FALSE, False)) for word in words
}
"""Words of spreadsheets for true and false, by language, without regard to case."""

_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?")
_BESIDE_NUMBERS = re.compile(r"[\s$€£¥'’]|USD|EUR")
_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(?:[.,][0-9]{3})+")
_DATE = re.compile(
    r"[0-9]{1,4}\s?[./年-]\s?[0-9]{1,2}\s?[./月-]\s?[0-9]{1,4}|[0-9]{1,2}\.?[ -][^\W\d]{3,}|[^\W\d]{3,}\.? [0-9]{1,2}\b"
)
_SERIAL = re.compile(r"[2-6][0-9]{4}(?:[.,][0-9]+)?")
"""A date as spreadsheets count it, in days from 1899."""


_TOO_LARGE = 10**18


class AmbiguousError(ValueError):
    """A text that can be read in several ways."""


def typed(column: Any, field: pa.Field, *, has_decimal_commas: bool = False) -> Any:
    """Return a column of a results table with the type of `field`.

    Args:
        column: as it was read, text or of its type already.
        field: one of RESULTS_SCHEMA.
        has_decimal_commas: a comma in a number is for decimals, as in files whose cells a semicolon parts.

    Raises:
        AmbiguousError: a text in it can be read in several ways; its words begin with the text.
        ValueError, TypeError, pyarrow.ArrowException: the column does not hold that type.
    """
    if not pa.types.is_string(column.type):
        return column.cast(field.type)
    if pa.types.is_string(field.type):
        return _as_sent(column, field.name) if field.name in CHOICES else column
    if not pa.types.is_list(field.type):
        try:
            return column.cast(field.type)
        except pa.ArrowException:
            pass  # not as we write it
    read = _reader_of(field.type, has_decimal_commas=has_decimal_commas)
    texts = pc.unique(column).to_pylist()
    values = {text: None if text is None or not text.strip() else read(text.strip()) for text in texts}
    return pa.array([values[text] for text in column.to_pylist()], field.type)


def _as_sent(column: Any, name: str) -> Any:
    """Return the values of a choice that a spreadsheet may have turned into something else: `16:9` for 04:09:00 PM."""
    choice = CHOICES[name]
    texts = [text for text in pc.unique(column).to_pylist() if text]
    changed = {
        text: value for text in texts if (value := choice.read(text.strip())) != text and value in choice.allowed
    }
    if not changed:
        return column
    return pa.array([changed.get(text, text) for text in column.to_pylist()], pa.string())


def _reader_of(of: pa.DataType, *, has_decimal_commas: bool) -> Callable[[str], Any]:
    types = pa.types
    if types.is_list(of):
        return _list
    if types.is_boolean(of):
        return _boolean
    if types.is_timestamp(of):
        return _moment
    if types.is_integer(of):
        return partial(_whole_number, has_decimal_commas=has_decimal_commas)
    number = partial(_number, has_decimal_commas=has_decimal_commas)
    return (lambda text: round(number(text), of.scale)) if types.is_decimal(of) else (lambda text: float(number(text)))


def _list(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise AmbiguousError(f"{quoted(text)} is no list in JSON") from None


def _boolean(text: str) -> bool:
    found = _BOOLEANS.get(text.casefold())
    if found is None:
        raise ValueError(f"{quoted(text)} is neither true nor false")
    return found


def _moment(text: str) -> datetime:
    """Return a moment with date and time in ISO 8601; UTC where it names no zone."""
    if ":" in text:
        try:
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    if _DATE.search(text) or _SERIAL.fullmatch(text):
        raise AmbiguousError(f"{quoted(text)} is a date that can be read in several ways")
    raise ValueError(f"{quoted(text)} is no moment such as 2026-03-01T12:00:00Z")


def _whole_number(text: str, *, has_decimal_commas: bool) -> int:
    plain = _BESIDE_NUMBERS.sub("", text)
    if _GROUPS.fullmatch(plain) and plain.count(".") + plain.count(",") == 1:
        if "." in plain or has_decimal_commas:
            raise AmbiguousError(f"{quoted(text)} is a number that can be read in two ways")
        return int(plain.replace(",", ""))
    found = _number(text, has_decimal_commas=has_decimal_commas)
    if found != found.to_integral_value():
        raise ValueError(f"{quoted(text)} is no whole number")
    return int(found)


def _number(text: str, *, has_decimal_commas: bool) -> Decimal:
    plain = _BESIDE_NUMBERS.sub("", text)
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"{quoted(text)} is no number")
    if "," in plain and "." in plain:
        group = "," if plain.rindex(".") > plain.rindex(",") else "."
        plain = plain.replace(group, "")
    elif max(plain.count(","), plain.count(".")) > 1 and _GROUPS.fullmatch(plain):
        plain = plain.replace(",", "").replace(".", "")
    elif "," in plain and _GROUPS.fullmatch(plain) and not has_decimal_commas:
        raise AmbiguousError(f"{quoted(text)} is a number whose comma can be read in two ways")
    try:
        found = Decimal(plain.replace(",", "."))
    except InvalidOperation:
        raise ValueError(f"{quoted(text)} is no number") from None
    if abs(found) >= _TOO_LARGE:
        raise ValueError(f"{quoted(text)} is larger than any number of a results table")
    return found
