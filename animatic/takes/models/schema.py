"""A model's request schema, read from an entry of WaveSpeed's list of models. Pure.

Source: WaveSpeed's documentation of `/models` and its own clients; not tried live. An entry that says more than we know
is read as far as we know it; one that says what cannot be is refused, since money goes by it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import jsonschema_rs

from animatic.takes.models.properties import Property, SchemaError, number_of, read_property, shown, text_of
from animatic.takes.money.amounts import microusd

MAX_PROPERTIES = 200
MAX_FORMULA_CHARS = 4_000
MAX_SCHEMA_CHARS = 1 << 18

UNSENDABLE = frozenset({"model", "provider", "take"})
"""Names of other parts of what a fingerprint is made from: no input can be called like one."""

_ONE_BY_ONE = frozenset(
    {"$schema", "$id", "$defs", "definitions", "$comment", "type", "properties", "required", "additionalProperties"}
    | {"title", "description", "default", "example", "examples", "deprecated"}
)
"""Keywords of a request schema that judge each input by itself, and which are required."""

_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(?:/[A-Za-z0-9][\w.\-]*)+", re.ASCII)


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
        return [each.name for each in self.properties.values() if each.files]

    @property
    def images(self) -> list[str]:
        """Names of the inputs that are pictures, or lists of them."""
        return [each.name for each in self.properties.values() if each.files and each.files.media == "image"]

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
            if each.name != "seed" and (each.allowed or each.alternatives or each.media or each.type != "string")
        ]

    @cached_property
    def _validator(self) -> Any:
        return jsonschema_rs.validator_for(dict(self.document), retriever=_refuse)

    @cached_property
    def is_by_input(self) -> bool:
        """Tell that nothing but what is required depends on more than one input."""
        return all(key in _ONE_BY_ONE or key.startswith("x-") for key in self.document)

    @cached_property
    def _validator_of_one(self) -> Any:
        one = {key: value for key, value in self.document.items() if key in _ONE_BY_ONE and key != "required"}
        return jsonschema_rs.validator_for(one, retriever=_refuse)

    def require_usable(self) -> None:
        """Raise ValueError or ReferencingError where nothing can be checked by the document."""
        _ = self._validator, self._validator_of_one

    def fits_alone(self, name: str, value: Any) -> bool:
        """Tell if the value of one input fits its own part of the schema."""
        return self._validator_of_one.is_valid({name: value})

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
    try:
        return _read(entry)
    except RecursionError:
        name = shown(entry.get("model_id"))[:100]
        raise SchemaError(f"model {name}: found parts nested too deeply in its request schema") from None


def _read(entry: Mapping[str, Any]) -> RequestSchema:
    model = entry.get("model_id")
    if not isinstance(model, str) or len(model) > 200 or not _ID.fullmatch(model):
        raise SchemaError(f"a list of models: found {shown(model)[:100]} as model_id; allowed: an id such as a/b/c")
    document = _document(entry, model)
    properties: Any = document.get("properties")
    if not isinstance(properties, dict) or not properties or len(properties) > MAX_PROPERTIES:
        raise SchemaError(f"model {model}: found no properties, or more than {MAX_PROPERTIES}, in its request schema")
    required: Any = document.get("required") or []
    order = [name for name in document.get("x-order-properties") or () if name in properties]
    if unsendable := UNSENDABLE.intersection(required):
        raise SchemaError(f"model {model}: its input {min(unsendable)} cannot be sent by this version, and is required")
    names = [name for name in dict.fromkeys([*order, *properties]) if name not in UNSENDABLE]
    read = {name: read_property(name, properties[name], name in required, model) for name in names}
    schema = RequestSchema(
        model,
        text_of(entry.get("type")),
        read,
        _price(entry.get("base_price")),
        _formula(entry.get("formula")),
        text_of(entry.get("description")),
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


def _formula(value: Any) -> str:
    """Return a formula that is known whole; half of one may name half of the inputs."""
    return value if isinstance(value, str) and len(value) <= MAX_FORMULA_CHARS else ""


def _price(value: Any) -> int | None:
    number = number_of(value)
    return microusd(number) if number is not None and 0 < number <= 100_000 else None
