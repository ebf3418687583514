"""A model's request schema, read from an entry of WaveSpeed's list of models. Pure.

Source: WaveSpeed's documentation of `/models` and its own clients; not tried live. An entry that says more than we know
is read as far as we know it; one that says what cannot be is refused, since money goes by it.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import jsonschema_rs

from animatic.errors import AnimaticError
from animatic.money.amounts import microusd

MAX_PROPERTIES = 200
MAX_CHOICES = 500
MAX_SCHEMA_CHARS = 1 << 18
TYPES = ("string", "number", "integer", "boolean", "array", "object")
MEDIA = ("image", "video", "audio")

UNSENDABLE = frozenset({"model", "provider", "take"})
"""Names of other parts of what a fingerprint is made from: no input can be called like one."""

_MEDIA_NAME = re.compile(r"(?:^|_)(image|video|audio)s?(?:_url|_urls)?$")
_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(?:/[A-Za-z0-9][\w.\-]*)+", re.ASCII)


class SchemaError(AnimaticError):
    """An entry of a list of models that cannot be read as one."""


@dataclass(frozen=True, slots=True)
class Property:
    """One input of a model.

    Attributes:
        type: as in JSON Schema, one of TYPES.
        allowed: the only values; empty where any other rule decides.
        minimum, maximum, step: of a number.
        default: WaveSpeed's own, for people to read; it is never sent for a blank cell.
        media: `image`, `video` or `audio` where the value is the URL of a file, or a list of them.
        items: what a list is made of; None where it is not said, or this is no list.
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

    @property
    def allowed_in_words(self) -> str:
        """The allowed values, for people: `4, 6, 8`, `from -1 to 2147483647`, `a URL or path of an image`."""
        if self.allowed:
            return ", ".join(_shown(each) for each in self.allowed)
        if self.type == "array":
            return f"a list of {self.items.allowed_in_words}" if self.items else "a list"
        if self.media:
            return f"a URL or path of {'an' if self.media[0] in 'aeiou' else 'a'} {self.media}"
        low, high = self.minimum, self.maximum
        bounds = "" if low is None and high is None else f" from {_shown(low)} to {_shown(high)}"
        bounds = f" of {_shown(low)} or more" if high is None and low is not None else bounds
        bounds = f" up to {_shown(high)}" if low is None and high is not None else bounds
        step = f" in steps of {_shown(self.step)}" if self.step else ""
        named = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
        return f"{named.get(self.type, 'a JSON object')}{bounds}{step}"


@dataclass(frozen=True)
class RequestSchema:
    """The inputs of one model.

    Attributes:
        model: its id, such as `google/veo3.1-fast/image-to-video`.
        type: `image-to-video` and the like, as WaveSpeed calls it.
        properties: by name, in WaveSpeed's order.
        base_microusd: the price that it begins at, in millionths of a dollar; None where none is named.
        formula: of the price, in JSONata over the inputs; empty where none is named.
        document: the JSON Schema itself.
    """

    model: str
    type: str
    properties: Mapping[str, Property]
    base_microusd: int | None = None
    formula: str = ""
    description: str = ""
    document: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def required(self) -> list[str]:
        """Names of the inputs that cannot be left out."""
        return [each.name for each in self.properties.values() if each.is_required]

    @property
    def media(self) -> list[str]:
        """Names of the inputs that are files, or lists of files."""
        return [each.name for each in self.properties.values() if each.media or (each.items and each.items.media)]

    @property
    def priced_by(self) -> list[str]:
        """Names of the inputs that the price may depend on: those in its formula, or all but texts where it has none.

        A seed makes no price; it would make each take one of its own.
        """
        if self.formula:
            return [name for name in self.properties if re.search(rf"\b{re.escape(name)}\b", self.formula)]
        return [
            each.name
            for each in self.properties.values()
            if each.name != "seed" and (each.allowed or each.media or each.type != "string")
        ]

    @cached_property
    def _validator(self) -> Any:
        return jsonschema_rs.validator_for(dict(self.document), retriever=_refuse)

    def require_usable(self) -> None:
        """Raise ValueError or ReferencingError where nothing can be checked by the document."""
        _ = self._validator

    def fits(self, inputs: Mapping[str, Any]) -> bool:
        """Tell if inputs fit the schema; `faults` says what does not."""
        return self._validator.is_valid(inputs)

    def faults(self, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the name of each input that does not fit the schema, with what is allowed, each once.

        Inputs have the types that the schema wants already: a number that is whole is no float.
        """
        seen = set[str]()
        for error in self._validator.iter_errors(dict(inputs)):
            for name in _names_of(error):
                if name not in seen:
                    seen.add(name)
                    known = self.properties.get(name)
                    missing = name not in inputs
                    allowed = known.allowed_in_words if known else str(error.message)
                    yield name, f"{allowed}; it is required" if missing else allowed


def read_schema(entry: Mapping[str, Any]) -> RequestSchema:
    """Read one entry of a list of models.

    Raises:
        SchemaError: it is none; the message names the model and the field.
    """
    model = entry.get("model_id")
    if not isinstance(model, str) or len(model) > 200 or not _ID.fullmatch(model):
        raise SchemaError(f"a list of models: found {_shown(model)[:100]} as model_id; allowed: an id such as a/b/c")
    document = _document(entry, model)
    properties: Any = document.get("properties")
    if not isinstance(properties, dict) or not properties or len(properties) > MAX_PROPERTIES:
        raise SchemaError(f"model {model}: found no properties, or more than {MAX_PROPERTIES}, in its request schema")
    required: Any = document.get("required") or []
    order = [name for name in document.get("x-order-properties") or () if name in properties]
    if unsendable := UNSENDABLE.intersection(required):
        raise SchemaError(f"model {model}: its input {min(unsendable)} cannot be sent by this version, and is required")
    names = [name for name in dict.fromkeys([*order, *properties]) if name not in UNSENDABLE]
    read = {name: _property(name, properties[name], name in required, model) for name in names}
    schema = RequestSchema(
        model,
        _text(entry.get("type")),
        read,
        _price(entry.get("base_price")),
        _text(entry.get("formula")),
        _text(entry.get("description")),
        _own(document),
    )
    try:
        schema.require_usable()
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(f"model {model}: its request schema cannot be used: {str(error)[:300]}") from None
    return schema


def _document(entry: Mapping[str, Any], model: str) -> dict[str, Any]:
    found: Any = entry.get("api_schema")
    schemas: Any = found.get("api_schemas") if isinstance(found, dict) else None
    runs: list[Any] = [each for each in schemas if isinstance(each, dict)] if isinstance(schemas, list) else []
    runs.sort(key=lambda each: each.get("type") != "model_run")
    document: Any = runs[0].get("request_schema") if runs else None
    if not isinstance(document, dict) or len(json.dumps(document)) > MAX_SCHEMA_CHARS:
        raise SchemaError(f"model {model}: found no request schema of at most {MAX_SCHEMA_CHARS:,} characters")
    return cast("dict[str, Any]", document)


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema as we check by it: only what it knows may be in a request."""
    return {**document, "additionalProperties": False}


def _property(name: str, found: Any, is_required: bool, model: str) -> Property:
    if not isinstance(found, dict):
        raise SchemaError(f"model {model}: input {name}: found no object in its request schema")
    said = cast("dict[str, Any]", found)
    allowed: Any = said.get("enum") or ()
    if not isinstance(allowed, list | tuple) or len(cast("list[Any]", allowed)) > MAX_CHOICES:
        raise SchemaError(
            f"model {model}: input {name}: found more than {MAX_CHOICES} allowed values, or no list of them"
        )
    types: Any = said.get("type")
    of_type = next((each for each in _types(types) if each in TYPES), _type_of(cast("list[Any]", list(allowed))))
    inner: Any = said.get("items")
    return Property(
        name,
        of_type,
        is_required,
        tuple(cast("list[Any]", allowed)),
        _number(said.get("minimum")),
        _number(said.get("maximum")),
        _number(said.get("multipleOf") or said.get("step") or said.get("x-step")),
        said.get("default"),
        _text(said.get("description")),
        "" if of_type in {"array", "object", "boolean", "number", "integer"} else _media_of(name, said),
        _items(name, cast("dict[str, Any]", inner), said, model)
        if isinstance(inner, dict) and of_type == "array"
        else None,
    )


def _items(name: str, inner: Any, outer: Mapping[str, Any], model: str) -> Property | None:
    if not isinstance(inner, dict):
        return None
    hints = {key: outer[key] for key in ("x-ui-component", "x-accept") if key in outer}
    return _property(name, {**hints, **cast("dict[str, Any]", inner)}, is_required=False, model=model)


def _types(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else [str(each) for each in found] if isinstance(found, list) else []


def _type_of(allowed: list[Any]) -> str:
    """Return the type that allowed values have; text where they do not say."""
    if allowed and all(isinstance(each, bool) for each in allowed):
        return "boolean"
    if allowed and all(isinstance(each, int) and not isinstance(each, bool) for each in allowed):
        return "integer"
    return "number" if allowed and all(isinstance(each, int | float) for each in allowed) else "string"


def _media_of(name: str, said: Mapping[str, Any]) -> str:
    """Return what a file is of; empty for what is no file."""
    accepted = _text(said.get("x-accept"))
    for each in MEDIA:
        if each in accepted:
            return each
    named = _MEDIA_NAME.search(name.lower())
    if named is not None:
        return named[1]
    return "image" if said.get("x-ui-component") == "uploader" else ""


def _names_of(error: Any) -> list[str]:
    """Return the inputs that an error is about."""
    path = list(error.instance_path)
    if path:
        return [str(path[0])]
    if error.kind.name == "required":
        return [str(error.kind.property)]
    return [str(each) for each in getattr(error.kind, "unexpected", ())] or [""]


def _refuse(uri: str) -> Any:
    raise ValueError(f"found a reference to {uri[:100]}; allowed: none, a schema stands by itself")


def _price(value: Any) -> int | None:
    number = _number(value)
    return microusd(number) if number is not None and 0 < number <= 100_000 else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def _text(value: Any) -> str:
    return value[:4_000] if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
