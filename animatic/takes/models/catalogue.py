"""The models that are known: veo2-i2v always, others from WaveSpeed's list or a folder of files. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from animatic.takes.models.default import INPUT_NAMES
from animatic.takes.models.properties import SchemaError
from animatic.takes.models.schema import RequestSchema, read_schema
from animatic.takes.veo2 import CHOICES, VEO2

VEO2_ENTRY: Mapping[str, Any] = {
    "model_id": VEO2.model,
    "type": "image-to-video",
    "description": "Animates a still: the prompt says how the camera and the picture move.",
    "api_schema": {
        "api_schemas": [
            {
                "type": "model_run",
                "request_schema": {
                    "type": "object",
                    "required": ["prompt", "image"],
                    "x-order-properties": list(INPUT_NAMES),
                    "properties": {
                        "prompt": {"type": "string", "minLength": 1},
                        "image": {"type": "string", "x-ui-component": "uploader"},
                        **{
                            name: {"type": "string", "enum": list(choice.allowed), "default": choice.default}
                            for name, choice in CHOICES.items()
                        },
                    },
                },
            }
        ]
    },
}
"""Source: WaveSpeed's page on the model."""


@dataclass(frozen=True, slots=True)
class Catalogue(Mapping[str, RequestSchema]):
    """Schemas by model id.

    Attributes:
        problems: entries that could not be read, a sentence each.
        retired: ids of models that were listed before and are no more.
    """

    schemas: Mapping[str, RequestSchema]
    problems: tuple[str, ...] = field(default=())
    retired: frozenset[str] = frozenset()

    def __getitem__(self, model: str) -> RequestSchema:
        return self.schemas[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self.schemas)

    def __len__(self) -> int:
        return len(self.schemas)

    def near(self, model: str) -> list[str]:
        """Return the ids that a wrong one may have meant, the likeliest first."""
        last = model.rsplit("/", maxsplit=1)[-1].lower()
        ids = {each.lower(): each for each in self.schemas}
        found = get_close_matches(model.lower(), ids, 3, 0.6)
        found += [each for each in ids if last and last in each.split("/") and each not in found]
        return [ids[each] for each in found[:3]]


def read_catalogue(entries: Iterable[Any]) -> Catalogue:
    """Read a list of models. What cannot be read is left out and named; veo2-i2v is known without it."""
    schemas, problems = {}, list[str]()
    for entry in entries:
        try:
            schema = read_schema(entry if isinstance(entry, Mapping) else {})
        except SchemaError as error:
            problems.append(str(error))
        else:
            schemas[schema.model] = schema
    return Catalogue({**BUILT_IN.schemas, **schemas}, tuple(problems))


BUILT_IN = Catalogue({str(VEO2_ENTRY["model_id"]): read_schema(VEO2_ENTRY)})
"""Models that are known without asking."""
