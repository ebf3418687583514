"""The way from a manifest's cell to the typed value of a model's input. Pure, and never a guess.

One cell works for models that spell the same thing in different types: `5`, `5.0` and `5s` are all five seconds, be it
for a model that wants the text `5s`, the text `5`, or the number 5. A blank cell is not sent, and is not asked about.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from animatic.errors.text import nearest
from animatic.takes.models.properties import Property
from animatic.takes.veo2 import read_ratio

_NUMBER_WITH_UNIT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]{0,12})")
_SECONDS = frozenset({"", "s", "sec", "secs", "second", "seconds"})
_TRUE = frozenset({"true", "yes", "y", "on", "1", "1.0", "wahr", "vrai", "verdadero", "vero", "waar"})
_FALSE = frozenset({"false", "no", "n", "off", "0", "0.0", "falsch", "faux", "falso", "onwaar"})
MAX_LIST_ITEMS = 1_000


@dataclass(frozen=True, slots=True)
class Unfit:
    """A cell that is no value of its input.

    Attributes:
        allowed: what is, in words.
    """

    allowed: str


def read_value(text: str, wanted: Property, fits: Callable[[Any], bool] = lambda _: True) -> Any:
    """Return the value that the text of a cell is for this input, or `Unfit`. The text is not blank.

    Free text is taken verbatim. Of several ways to read it, the first counts whose value `fits`.
    """
    if wanted.alternatives:
        read = (read_value(text, each) for each in wanted.alternatives)
        found = next((each for each in read if not isinstance(each, Unfit) and fits(each)), None)
        return Unfit(wanted.allowed_in_words) if found is None else found
    if wanted.type == "string" and not wanted.allowed:
        return text
    text = text.strip()
    match wanted.type:
        case "boolean":
            value = _boolean(text)
        case "integer" | "number":
            value = _number(text, wanted)
        case "array":
            return _list(text, wanted)
        case "object":
            value = _json(text, dict)
        case _:
            return _text(text, wanted)
    if value is None or (wanted.allowed and value not in wanted.allowed):
        return _unfit(text, wanted)
    return value


def _unfit(text: str, wanted: Property) -> Unfit:
    near = nearest(text.lower(), [str(each) for each in wanted.allowed], 0.6)
    return Unfit(wanted.allowed_in_words + (f"; did you mean {near}?" if near else ""))


def _boolean(text: str) -> bool | None:
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _number(text: str, wanted: Property) -> int | float | None:
    """Return a number, whole where it is whole: `5.0` and `5s` are 5."""
    found = _NUMBER_WITH_UNIT.fullmatch(text)
    if found is None or found[2].lower() not in _SECONDS:
        return None
    try:
        number = Decimal(found[1])
    except InvalidOperation:
        return None
    if number == number.to_integral_value() and abs(number) < 2**63:
        return int(number)
    return float(number) if wanted.type == "number" and math.isfinite(float(number)) else None


def _text(text: str, wanted: Property) -> Any:
    """Return a text; of allowed ones that which says the same, in another spelling of a number, a ratio or a case."""
    if not wanted.allowed or text in wanted.allowed:
        return text
    same = [each for each in wanted.allowed if isinstance(each, str) and _sense(each) == _sense(text)]
    return same[0] if len(same) == 1 else _unfit(text, wanted)


def _sense(text: str) -> tuple[str, str]:
    """Return the sense of a short text: a number and its unit, or its letters without regard to case and blanks."""
    found = _NUMBER_WITH_UNIT.fullmatch(text.strip())
    if found is not None:
        unit = found[2].lower()
        return str(Decimal(found[1]).normalize()), "" if unit in _SECONDS else unit
    ratio = read_ratio(text)
    return re.sub(r"\s+", "", ratio.lower().replace("×", "*")), "text"


def _list(text: str, wanted: Property) -> Any:
    """Return a list: JSON, or parts between semicolons."""
    found = _json(text, list)
    if found is None and not text.startswith("["):
        found = [part.strip() for part in text.split(";") if part.strip()]
    if found is None or len(found) > MAX_LIST_ITEMS:
        return Unfit(f"{wanted.allowed_in_words}, as JSON or with ; between its parts")
    items = wanted.items
    if items is None or items.type in {"object", "array"}:
        return found
    read = [read_value(each, items) if isinstance(each, str) else each for each in found]
    bad = next((each for each in read if isinstance(each, Unfit)), None)
    return bad if bad is not None else read


def _json(text: str, wanted: type) -> Any:
    try:
        found: Any = json.loads(text, parse_constant=_not_finite, parse_float=_whole_where_it_is)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, wanted) else None


def _whole_where_it_is(text: str) -> int | float:
    """Return a number of JSON: 1.0 is 1, which asks for the same."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _not_finite(name: str) -> Any:
    raise ValueError(name)
