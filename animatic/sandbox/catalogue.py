"""What the sandbox sells: its models, what each accepts, and what it costs. Pure.

Fields, defaults and allowed values of veo2-i2v are those of its card. Prices are a guess: the model's own are not
published, the same model elsewhere costs this much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MAX_PROMPT_CHARS = 2_500
MAX_URL_CHARS = 2_083


class InvalidInputError(ValueError):
    """A body or a field that the API refuses with 400; `str()` is the envelope's message."""


@dataclass(frozen=True, slots=True)
class Model:
    """An image-to-video model whose price depends on the duration alone. The first choice is the default."""

    model_id: str
    aspect_ratios: tuple[str, ...]
    price_of: Mapping[str, float]

    @property
    def cheapest_usd(self) -> float:
        """What a quote without a duration says."""
        return min(self.price_of.values())

    def read_inputs(self, body: object) -> dict[str, str]:
        """A submission's four fields, defaults filled in; raises InvalidInputError."""
        if not isinstance(body, dict):
            raise InvalidInputError("the body must be a JSON object")
        fields: dict[str, Any] = body
        if unknown := set(fields) - {"prompt", "image", "aspect_ratio", "duration"}:
            raise InvalidInputError(f"unknown field: {', '.join(sorted(map(str, unknown)))}")
        prompt, image = _text(fields, "prompt", MAX_PROMPT_CHARS), _text(fields, "image", MAX_URL_CHARS)
        if not _is_web_url(image):
            raise InvalidInputError("image: must be an http or https URL")
        return {
            "prompt": prompt,
            "image": image,
            "aspect_ratio": _choice(fields, "aspect_ratio", self.aspect_ratios),
            "duration": _choice(fields, "duration", tuple(self.price_of)),
        }

    def quote_usd(self, inputs: object) -> float:
        """What these inputs would cost; the cheapest where they name no duration, as the real one does."""
        if not isinstance(inputs, dict) or "duration" not in inputs:
            return self.cheapest_usd
        fields: dict[str, Any] = inputs
        return self.price_of[_choice(fields, "duration", tuple(self.price_of))]

    def described(self) -> dict[str, Any]:
        """As in the list of models."""
        properties = {
            "prompt": {"type": "string", "description": "How the image should be animated."},
            "image": {"type": "string", "description": "URL of the still; 720p or larger."},
            "aspect_ratio": _enum(self.aspect_ratios),
            "duration": _enum(tuple(self.price_of)),
        }
        schema = {"type": "object", "properties": properties, "required": ["prompt", "image"]}
        return {
            "model_id": self.model_id,
            "name": self.model_id,
            "type": "image-to-video",
            "base_price": self.cheapest_usd,
            "api_schema": {"api_schemas": [{"type": "model_run", "request_schema": schema}]},
        }


VEO2 = Model("wavespeed-ai/veo2-i2v", ("16:9", "9:16"), {"5s": 2.5, "6s": 3.0, "7s": 3.5, "8s": 4.0})
MODELS: Mapping[str, Model] = {VEO2.model_id: VEO2}


def find_model(model_id: object) -> Model:
    """The model of that id; raises InvalidInputError."""
    model = MODELS.get(model_id) if isinstance(model_id, str) else None
    if model is None:
        raise InvalidInputError(f"model not found; known: {', '.join(MODELS)}")
    return model


def _text(fields: Mapping[str, Any], name: str, max_chars: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{name}: required, a non-empty string")
    if len(value) > max_chars:
        raise InvalidInputError(f"{name}: {len(value)} characters; at most {max_chars}")
    return value


def _choice(fields: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = fields.get(name, allowed[0])
    if value not in allowed:
        raise InvalidInputError(f"{name}: must be one of {', '.join(allowed)}")
    return str(value)


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _enum(allowed: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": list(allowed), "default": allowed[0]}
