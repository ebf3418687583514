"""The models on sale: what each accepts, gives and costs. Pure.

Fields, defaults and allowed values of veo2-i2v are those of its card. The other models are those that the documentation
of WaveSpeed's own clients runs; their fields are as far as that documentation shows them, the rest is a guess. So are
all prices: veo2-i2v costs what the same model costs elsewhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

MAX_PROMPT_CHARS = 2_500
MAX_URL_CHARS = 2_083
WISHES = frozenset({"enable_sync_mode", "enable_base64_output", "webhook_url"})
"""Fields of a submission that are about the reply, not about the clip; every model takes them."""


class InvalidInputError(ValueError):
    """A body or a field that the API refuses with 400; `str()` is the envelope's message."""


@dataclass(frozen=True, slots=True)
class Property:
    """One field of a model's request.

    Attributes:
        type: as in JSON Schema: string, integer, boolean.
        allowed: the only values; the first is the default unless `default` says otherwise.
        default: filled in where the field is absent; None: then the field stays absent.
        bounds: least and most of a number.
        max_chars: of a text.
        holds_media: whether it is the URL of a still.
    """

    name: str
    type: str = "string"
    description: str = ""
    is_required: bool = False
    allowed: tuple[Any, ...] = ()
    default: Any = None
    bounds: tuple[int, int] | None = None
    max_chars: int = MAX_PROMPT_CHARS
    holds_media: bool = False

    def read(self, fields: Mapping[str, Any]) -> Any:
        """Return the checked value, or the default; None: the field is absent. Raises InvalidInputError."""
        if self.is_required:
            return self._text(fields.get(self.name))
        if self.name not in fields:
            return self.default
        value = fields[self.name]
        if self.allowed:
            if not any(value == each and type(value) is type(each) for each in self.allowed):
                raise InvalidInputError(f"{self.name}: must be one of {', '.join(map(str, self.allowed))}")
            return value
        if self.type == "string":
            return self._text(value)
        if type(value) is not {"integer": int, "boolean": bool}[self.type]:
            raise InvalidInputError(f"{self.name}: must be of the type {self.type}")
        if self.bounds and not self.bounds[0] <= value <= self.bounds[1]:
            raise InvalidInputError(f"{self.name}: must be from {self.bounds[0]} to {self.bounds[1]}")
        return value

    def schema(self) -> dict[str, Any]:
        """As in the request schema of the list of models."""
        said: dict[str, Any] = {"type": self.type}
        if self.description:
            said["description"] = self.description
        if self.allowed:
            said["enum"] = list(self.allowed)
        if self.default is not None:
            said["default"] = self.default
        if self.bounds:
            said |= {"minimum": self.bounds[0], "maximum": self.bounds[1]}
        component = "uploader" if self.holds_media else "textarea" if self.is_required else ""
        return said | ({"x-ui-component": component} if component else {})

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise InvalidInputError(f"{self.name}: {'required, ' if self.is_required else ''}a non-empty string")
        if len(value) > self.max_chars:
            raise InvalidInputError(f"{self.name}: {len(value)} characters; at most {self.max_chars}")
        if self.holds_media and not is_web_url(value):
            raise InvalidInputError(f"{self.name}: must be an http or https URL, or a data: URI of an image")
        return value


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose price depends on one field, or on none.

    Attributes:
        model_type: `image-to-video` and the like; what ends in `image` gives a picture, everything else a clip.
        price_of: USD for each value of the field `priced_by`; the first is the default's. Without such a field, one
            price under the empty text.
        sort_order: its place in the list of models.
    """

    model_id: str
    model_type: str
    description: str
    properties: tuple[Property, ...]
    price_of: Mapping[Any, float]
    priced_by: str = "duration"
    sort_order: int = 100
    _names: frozenset[str] = field(init=False, repr=False, default=frozenset())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", frozenset(each.name for each in self.properties) | WISHES)

    @property
    def cheapest_usd(self) -> float:
        """Price in a quote without the priced field."""
        return min(self.price_of.values())

    @property
    def suffix(self) -> str:
        """Of the files that it gives."""
        return ".png" if self.model_type.endswith("image") else ".mp4"

    def read_inputs(self, body: object, *, is_strict: bool = False) -> dict[str, Any]:
        """Return the fields that the model knows, with defaults; others are dropped, or refused if it `is_strict`.

        Source for the dropping: WaveSpeed's command line and its llama-index tool; not tried live.
        Raises InvalidInputError.
        """
        if not isinstance(body, dict):
            raise InvalidInputError("the body must be a JSON object")
        fields: dict[str, Any] = body
        if is_strict and (unknown := set(fields) - self._names):
            raise InvalidInputError(f"unknown field: {', '.join(sorted(map(str, unknown)))[:1_000]}")
        inputs: dict[str, Any] = {}
        for each in self.properties:
            value = each.read(fields)
            if value is not None:
                inputs[each.name] = value
        return inputs

    def quote_usd(self, inputs: object) -> float:
        """Return the price of these inputs; the cheapest where they lack the priced field, as the real one does."""
        if not isinstance(inputs, dict) or self.priced_by not in inputs:
            return self.cheapest_usd
        fields: dict[str, Any] = inputs
        value = fields[self.priced_by]
        if not isinstance(value, str | int) or value not in self.price_of:
            raise InvalidInputError(f"{self.priced_by}: must be one of {', '.join(map(str, self.price_of))}")
        return self.price_of[value]

    def described(self, origin: str = "") -> dict[str, Any]:
        """As in the list of models; `origin` is where it is served."""
        schema = {
            "type": "object",
            "properties": {each.name: each.schema() for each in self.properties},
            "required": [each.name for each in self.properties if each.is_required],
            "x-order-properties": [each.name for each in self.properties],
        }
        run = {
            "type": "model_run",
            "method": "POST",
            "server": origin,
            "api_path": f"/api/v3/{self.model_id}",
            "request_schema": schema,
        }
        return {
            "model_id": self.model_id,
            "name": self.model_id,
            "type": self.model_type,
            "description": self.description,
            "base_price": self.cheapest_usd,
            "formula": self._formula(),
            "sort_order": self.sort_order,
            "api_schema": {"api_schemas": [run]},
        }

    def _formula(self) -> str:
        """Return the price as JSONata over the inputs. That formulas look like this is a guess."""
        rule = ""
        for value, price_usd in list(self.price_of.items())[:0:-1]:
            factor = f"{price_usd / self.cheapest_usd:.6g}"
            rule = f"{self.priced_by} = {json.dumps(value)} ? {factor} : {rule or '1'}"
        return f"base_price * ({rule})" if rule else "base_price"


def _prompt(description: str) -> Property:
    return Property("prompt", description=description, is_required=True)


def _still(description: str) -> Property:
    return Property("image", description=description, is_required=True, max_chars=MAX_URL_CHARS, holds_media=True)


def _choice(name: str, *allowed: Any, default: Any = None) -> Property:
    json_type = "integer" if isinstance(allowed[0], int) else "string"
    return Property(name, json_type, allowed=allowed, default=allowed[0] if default is None else default)


_SEED = Property("seed", "integer", default=-1, bounds=(-1, 2_147_483_647))
VEO2 = Model(
    "wavespeed-ai/veo2-i2v",
    "image-to-video",
    "Animates a still: the prompt says how the camera and the picture move.",
    (
        _prompt("How the image should be animated."),
        _still("URL of the still; 720p or larger."),
        _choice("aspect_ratio", "16:9", "9:16"),
        _choice("duration", "5s", "6s", "7s", "8s"),
    ),
    {"5s": 2.5, "6s": 3.0, "7s": 3.5, "8s": 4.0},
    sort_order=10,
)
_TO_IMAGE = (_prompt("The picture to make."), _choice("aspect_ratio", "16:9", "1:1", "9:16", "4:3", "3:4"))
_TO_VIDEO = (_prompt("The scene, and how the camera moves in it."), _choice("duration", 5, 10))
_OTHERS = (
    Model(
        "wavespeed-ai/z-image/turbo",
        "text-to-image",
        "A picture from a prompt, in a few seconds.",
        (_prompt("The picture to make."), Property("size", default="1024*1024", max_chars=20), _SEED),
        {"": 0.005},
        "",
    ),
    Model(
        "bytedance/seedream-v5.0-pro",
        "text-to-image",
        "A picture from a prompt, up to 2k.",
        (*_TO_IMAGE, _choice("resolution", "1k", "1.5k", "2k")),
        {"1k": 0.03, "1.5k": 0.04, "2k": 0.06},
        "resolution",
    ),
    Model(
        "google/nano-banana-2/text-to-image",
        "text-to-image",
        "A picture from a prompt.",
        (*_TO_IMAGE, _choice("resolution", "1k", "2k", "4k")),
        {"1k": 0.07, "2k": 0.1, "4k": 0.14},
        "resolution",
    ),
    Model(
        "wavespeed-ai/flux-kontext-dev",
        "image-to-image",
        "A picture from a picture and a prompt.",
        (_prompt("What should change."), _still("URL of the picture."), _SEED),
        {"": 0.025},
        "",
    ),
    Model(
        "wavespeed-ai/minimax-h3/text-to-video",
        "text-to-video",
        "A clip from a prompt.",
        _TO_VIDEO,
        {5: 0.2, 10: 0.4},
    ),
    Model(
        "bytedance/seedance-2.5/text-to-video",
        "text-to-video",
        "A clip from a prompt, of the highest quality.",
        (*_TO_VIDEO, _choice("resolution", "720p", "1080p"), _choice("aspect_ratio", "16:9", "9:16")),
        {5: 0.6, 10: 1.2},
    ),
    Model(
        "bytedance/seedance-2.0/text-to-video",
        "text-to-video",
        "A clip from a prompt.",
        (*_TO_VIDEO, _choice("resolution", "720p", "480p"), _choice("aspect_ratio", "16:9", "9:16")),
        {5: 0.5, 10: 1.0},
    ),
    Model(
        "bytedance/seedance-2.0/image-to-video",
        "image-to-video",
        "A clip from a still and a prompt.",
        (_prompt("How the still moves."), _still("URL of the still."), *_TO_VIDEO[1:]),
        {5: 0.5, 10: 1.0},
    ),
)
MODELS: Mapping[str, Model] = {model.model_id: model for model in (VEO2, *_OTHERS)}


def is_web_url(text: str) -> bool:
    """Tell an http or https URL with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
