"""Models on sale beside those of the sandbox's own: a folder of JSON files, in the form of the list of models.

Each file is an entry, or a list of entries. An entry may name prices, which WaveSpeed's do not: `"prices": [{"when":
{"duration": 10}, "usd": 0.5}]`, of which the first that fits counts; without one the `base_price` does.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jsonschema_rs

from animatic.errors import SettingsError
from animatic.sandbox.catalogue import MODELS, WISHES, InvalidInputError, Model, is_web_url

MAX_FILE_BYTES = 4 << 20
_FILE = re.compile(r"(?:^|_)(?:image|video|audio)s?(?:_url|_urls)?$")


@dataclass(frozen=True, slots=True)
class Rule:
    """A price, and the inputs that it is for."""

    when: Mapping[str, Any]
    usd: float

    def fits(self, inputs: Mapping[str, Any]) -> bool:
        """Tell if the inputs are among those."""
        return all(inputs.get(name) == value for name, value in self.when.items())


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as an entry of the list describes it. What is sent is kept as it is: no default is filled in."""

    entry: Mapping[str, Any]
    schema: Mapping[str, Any]
    rules: Sequence[Rule]
    base_usd: float

    @property
    def model_id(self) -> str:
        """Its id, of any number of parts."""
        return str(self.entry["model_id"])

    @property
    def model_type(self) -> str:
        """Such as `image-to-video`."""
        return str(self.entry.get("type", ""))

    @property
    def suffix(self) -> str:
        """Of the files that it gives."""
        return ".png" if self.model_type.endswith("image") else ".mp4"

    @property
    def cheapest_usd(self) -> float:
        """Price in a quote that says too little."""
        return min([self.base_usd, *(rule.usd for rule in self.rules)])

    def read_inputs(self, body: object, *, is_strict: bool = False) -> dict[str, Any]:
        """Return the fields that the schema knows; others are dropped, or refused if it `is_strict`.

        Raises:
            InvalidInputError: they do not fit the schema, or a file is no URL.
        """
        if not isinstance(body, dict):
            raise InvalidInputError("the body must be a JSON object")
        fields, known = cast("dict[str, Any]", body), cast("dict[str, Any]", self.schema["properties"])
        if is_strict and (unknown := set(fields) - set(known) - WISHES):
            raise InvalidInputError(f"unknown field: {', '.join(sorted(map(str, unknown)))[:1_000]}")
        inputs = {name: value for name, value in fields.items() if name in known}
        for error in jsonschema_rs.validator_for(dict(self.schema)).iter_errors(inputs):
            where = "/".join(map(str, error.instance_path))
            raise InvalidInputError(f"{where or 'inputs'}: {error.message}"[:1_000])
        for name, value in inputs.items():
            for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
                if _FILE.search(name) and isinstance(each, str) and not is_web_url(each):
                    raise InvalidInputError(f"{name}: must be an http or https URL")
        return inputs

    def quote_usd(self, inputs: object) -> float:
        """Return the price of these inputs; the cheapest where they lack one that a price depends on."""
        fields: dict[str, Any] = cast("dict[str, Any]", inputs) if isinstance(inputs, dict) else {}
        if any(name not in fields for rule in self.rules for name in rule.when):
            return self.cheapest_usd
        return next((rule.usd for rule in self.rules if rule.fits(fields)), self.base_usd)

    def described(self, origin: str = "") -> dict[str, Any]:
        """As in the list of models; `origin` is where it is served."""
        run = {
            "type": "model_run",
            "method": "POST",
            "server": origin,
            "api_path": f"/api/v3/{self.model_id}",
            "request_schema": dict(self.schema),
        }
        return {name: value for name, value in self.entry.items() if name != "prices"} | {
            "api_schema": {"api_schemas": [run]}
        }


def models_on_sale(folder: Path | None) -> dict[str, Model | ListedModel]:
    """Return the models by id: the sandbox's own, and those of a folder, which replace its own of the same id.

    Raises:
        SettingsError: the folder or a file in it cannot be read, or an entry is none.
    """
    found: dict[str, Model | ListedModel] = dict(MODELS)
    if folder is None:
        return found
    if not folder.is_dir():
        raise SettingsError(f"sandbox: models: found no folder {folder}; allowed: a folder of JSON files")
    for path in sorted(folder.glob("*.json")):
        for entry in _entries_in(path):
            model = _read(entry, path)
            found[model.model_id] = model
    return found


def _entries_in(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError(
                f"sandbox: models: {path}: found more than {MAX_FILE_BYTES:,} bytes; allowed: up to that"
            )
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"sandbox: models: {path} cannot be read as JSON ({type(error).__name__})") from None
    found = found.get("data", found) if isinstance(found, dict) and "model_id" not in found else found
    return cast("list[Any]", found) if isinstance(found, list) else [found]


def _read(entry: Any, path: Path) -> ListedModel:
    try:
        schema = next(
            each["request_schema"] for each in entry["api_schema"]["api_schemas"] if each.get("type") == "model_run"
        )
        _ = schema["properties"].items(), entry["model_id"].strip("/").index("/")
        jsonschema_rs.validator_for(schema, retriever=_refuse)
        rules = [Rule(dict(each["when"]), float(each["usd"])) for each in entry.get("prices", ())]
        return ListedModel(entry, schema, rules, float(entry.get("base_price", 0)))
    except (AttributeError, KeyError, TypeError, ValueError, StopIteration, jsonschema_rs.ReferencingError) as error:
        raise SettingsError(
            f"sandbox: models: {path}: found an entry that is none of a list of models ({type(error).__name__}); "
            "allowed: model_id, type, base_price, api_schema and prices"
        ) from None


def _refuse(uri: str) -> Any:
    raise ValueError(uri)
