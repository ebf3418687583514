"""One input of a model, read from its part of the request schema: type, bounds, and what is allowed in words. Pure."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard, cast

from animatic.errors import AnimaticError

MAX_CHOICES = 500
MAX_ALTERNATIVES = 20
MAX_DEPTH = 2
"""Of lists and alternatives in each other; what lies deeper is checked by the schema alone."""

TYPES = ("string", "number", "integer", "boolean", "array", "object")
MEDIA = ("image", "video", "audio")
_MEDIA_NAME = re.compile(r"(?:^|_)(image|video|audio)s?(?:_url|_urls)?$")
_NAMED = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_NO_RULE = frozenset(
    {"type", "title", "description", "default", "example", "examples", "deprecated", "minLength", "maxLength"}
)


class SchemaError(AnimaticError):
    """An entry of a list of models that cannot be read as one."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Fewest and most characters of a text, or parts of a list; None where there is no such bound."""

    least: int | None = None
    most: int | None = None

    def in_words(self, one: str, many: str) -> str:
        """Return the bounds as words: `1 to 10 characters`, `at least 1 character`; empty for none."""
        if self.most is None:
            return f"at least {self.least:,} {one if self.least == 1 else many}" if self.least else ""
        of = one if self.most == 1 else many
        if self.least == self.most:
            return f"exactly {self.most:,} {of}"
        return f"{self.least:,} to {self.most:,} {of}" if self.least else f"up to {self.most:,} {of}"

    def fit(self, count: int) -> bool:
        """Tell if so many are within the bounds."""
        return (self.least is None or count >= self.least) and (self.most is None or count <= self.most)


NO_LENGTHS = Lengths()


@dataclass(frozen=True, slots=True)
class Property:
    """One input of a model.

    Attributes:
        type: as in JSON Schema, one of TYPES; that of the first alternative where there are several.
        allowed: the only values; empty where any other rule decides.
        minimum, maximum, step: of a number.
        above, below: bounds of a number that are no values themselves.
        default: WaveSpeed's own, for people to read; it is never sent for a blank cell.
        media: `image`, `video` or `audio` where the value is the URL of a file, or a list of them.
        items: what a list is made of; None where it is not said, or this is no list.
        lengths: of a text in characters, of a list in parts.
        pattern: a regular expression that a text must match.
        alternatives: ways to read the value, in the schema's order; empty where there is one.
        is_free: any value of its type and lengths fits.
    """

    name: str
    type: str = "string"
    is_required: bool = False
    allowed: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    default: Any = None
    description: str = ""
    media: str = ""
    items: "Property | None" = None
    above: float | None = None
    below: float | None = None
    lengths: Lengths = NO_LENGTHS
    pattern: str = ""
    alternatives: "tuple[Property, ...]" = field(default=(), repr=False)
    is_free: bool = False

    @property
    def files(self) -> "Property | None":
        """Schema of each file that the value holds; None where it holds none."""
        if self.media:
            return self
        if self.items is not None and self.items.media:
            return self.items
        found = [each.files for each in self.alternatives]
        return found[0] if found and all(found) else None

    @property
    def allowed_in_words(self) -> str:
        """The allowed values, for people: `4, 6, 8`, `from -1 to 2147483647`, `a URL or path of an image`."""
        if self.alternatives:
            return ", or ".join(dict.fromkeys(each.allowed_in_words for each in self.alternatives))
        if self.allowed:
            return ", ".join(shown(each) for each in self.allowed)
        if self.type == "array":
            count = self.lengths.in_words("part", "parts")
            of = f"a list of {self.items.allowed_in_words}" if self.items else "a list"
            return f"{of}; {count}" if count else of
        if self.media:
            return f"a URL or path of {'an' if self.media[0] in 'aeiou' else 'a'} {self.media}"
        if self.type == "string":
            return self._text_in_words
        step = f" in steps of {shown(self.step)}" if self.step else ""
        return f"{_NAMED.get(self.type, 'a JSON object')}{self._bounds_in_words}{step}"

    @property
    def _text_in_words(self) -> str:
        length = self.lengths.in_words("character", "characters")
        pattern = f" that matches the pattern {self.pattern[:200]}" if self.pattern else ""
        return f"text{f' of {length}' if length else ''}{pattern}"

    @property
    def _bounds_in_words(self) -> str:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f" from {shown(low)} to {shown(high)}"
        above = "" if self.above is None else f" above {shown(self.above)}"
        below = "" if self.below is None else f" below {shown(self.below)}"
        bounds = (
            f" of {shown(low)} or more" if low is not None else above,
            f" up to {shown(high)}" if high is not None else below,
        )
        return " and".join(filter(None, bounds))


def read_property(name: str, found: Any, is_required: bool, model: str, depth: int = 0) -> Property:
    """Read an input from its part of a request schema, `depth` parts deep. Raises SchemaError."""
    if not isinstance(found, dict):
        raise SchemaError(f"model {model}: input {name}: found no object in its request schema")
    said = cast("dict[str, Any]", found)
    allowed: Any = said.get("enum") or ()
    if not isinstance(allowed, list | tuple) or len(cast("list[Any]", allowed)) > MAX_CHOICES:
        raise SchemaError(
            f"model {model}: input {name}: found more than {MAX_CHOICES} allowed values, or no list of them"
        )
    several = _alternatives(said, cast("list[Any]", list(allowed))) if depth < MAX_DEPTH else []
    if len(several) > 1:
        read = tuple(read_property(name, each, is_required, model, depth + 1) for each in several)
        return replace(read[0], **_shared(said), alternatives=read, is_free=False, allowed=(), media="", items=None)
    return _property(name, several[0] if several else said, is_required, model, depth)


def _property(name: str, said: Mapping[str, Any], is_required: bool, model: str, depth: int) -> Property:
    allowed = cast("list[Any]", list(said.get("enum") or ()))
    of_type = next((each for each in _types(said.get("type")) if each in TYPES), _type_of(allowed))
    inner: Any = said.get("items")
    is_list = of_type == "array"
    return Property(
        name,
        of_type,
        is_required,
        tuple(allowed),
        number_of(said.get("minimum")),
        number_of(said.get("maximum")),
        number_of(said.get("multipleOf") or said.get("step") or said.get("x-step")),
        **_shared(said),
        media="" if of_type != "string" else _media_of(name, said),
        items=_items(name, inner, said, model, depth) if isinstance(inner, dict) and is_list else None,
        above=number_of(said.get("exclusiveMinimum")),
        below=number_of(said.get("exclusiveMaximum")),
        lengths=Lengths(
            _count(said.get("minItems" if is_list else "minLength")),
            _count(said.get("maxItems" if is_list else "maxLength")),
        ),
        pattern=text_of(said.get("pattern")),
        is_free=of_type == said.get("type") and all(key in _NO_RULE or key.startswith("x-") for key in said),
    )


def _shared(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"default": said.get("default"), "description": text_of(said.get("description"))}


def _alternatives(said: Mapping[str, Any], allowed: list[Any]) -> list[dict[str, Any]]:
    """Return a part for each way to read a value: of `anyOf` or `oneOf`, of several types, of values of such."""
    parts: Any = said.get("anyOf") or said.get("oneOf")
    outer = {key: value for key, value in said.items() if key not in {"anyOf", "oneOf", "type", "enum"}}
    if isinstance(parts, list) and len(cast("list[Any]", parts)) <= MAX_ALTERNATIVES:
        kind = {"type": said["type"]} if "type" in said else {}
        found = [{**outer, **kind, **each} for each in cast("list[Any]", parts) if isinstance(each, dict)]
        return [each for each in found if each.get("type") != "null"]
    if allowed:
        kinds = dict.fromkeys(_type_of([each]) for each in allowed if each is not None)
        return [
            {**outer, "type": kind, "enum": [each for each in allowed if each is not None and _type_of([each]) == kind]}
            for kind in (kinds if len(kinds) > 1 and not kinds.keys() <= {"integer", "number"} else ())
        ]
    types = [each for each in _types(said.get("type")) if each in TYPES]
    return [{**outer, "type": each} for each in types] if len(types) > 1 else []


def _items(name: str, inner: Any, outer: Mapping[str, Any], model: str, depth: int) -> Property | None:
    if depth >= MAX_DEPTH:
        return None
    hints = {key: outer[key] for key in ("x-ui-component", "x-accept") if key in outer}
    return read_property(
        name, {**hints, **cast("dict[str, Any]", inner)}, is_required=False, model=model, depth=depth + 1
    )


def _types(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else [str(each) for each in found] if isinstance(found, list) else []


def _type_of(allowed: Sequence[Any]) -> str:
    """Return the type that allowed values have; text where they do not say."""
    if allowed and all(isinstance(each, bool) for each in allowed):
        return "boolean"
    if allowed and all(isinstance(each, int) and not isinstance(each, bool) for each in allowed):
        return "integer"
    is_number = (isinstance(each, int | float) and not isinstance(each, bool) for each in allowed)
    return "number" if allowed and all(is_number) else "string"


def _media_of(name: str, said: Mapping[str, Any]) -> str:
    """Return what a file is of; empty for what is no file."""
    accepted = text_of(said.get("x-accept"))
    for each in MEDIA:
        if each in accepted:
            return each
    named = _MEDIA_NAME.search(name.lower())
    if named is not None:
        return "" if said.get("enum") else named[1]
    return "image" if said.get("x-ui-component") == "uploader" else ""


def _count(value: Any) -> int | None:
    number = number_of(value)
    return int(number) if number is not None and number >= 0 else None


def number_of(value: Any) -> float | None:
    """Return a finite number; None for what is none."""
    return value if is_finite(value) and not isinstance(value, bool) else None


def is_finite(value: object) -> TypeGuard[int | float]:
    """Tell a number that can be counted with: neither NaN nor infinite, nor too large for a float."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # of hundreds of digits
        return False


def text_of(value: Any) -> str:
    """Return a text of a list of models, as far as it is kept; empty for what is none."""
    return value[:4_000] if isinstance(value, str) else ""


def shown(value: Any) -> str:
    """Return a value of a schema for people."""
    return value if isinstance(value, str) else json.dumps(value)
