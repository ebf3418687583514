"""Entries of a list of models in the shapes that WaveSpeed's have: ids of several parts, inputs of every type.

Names, types and bounds are those of published schemas; prices and formulas are made up.
"""

from typing import Any

_UPLOAD = {"type": "string", "x-ui-component": "uploader"}
_TEXT, _FLAG, _NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "number"}
_SEED = {"type": "integer", "minimum": -1, "maximum": 2_147_483_647, "default": -1}


def _one_of(*values: Any, default: Any = None) -> dict[str, Any]:
    types = {str: "string", int: "integer", float: "number"}
    return {"type": types[type(values[0])], "enum": list(values), "default": values[0] if default is None else default}


def entry(
    model: str, required: tuple[str, ...], base_price: float, formula: str = "", **properties: Any
) -> dict[str, Any]:
    """An entry of the list."""
    schema = {
        "type": "object",
        "required": list(required),
        "x-order-properties": list(properties),
        "properties": properties,
    }
    return {
        "model_id": model,
        "name": model,
        "type": "image-to-video",
        "base_price": base_price,
        "formula": formula,
        "api_schema": {"api_schemas": [{"type": "model_run", "method": "POST", "request_schema": schema}]},
    }


ENTRIES = [
    entry(
        "google/veo3.1-fast/image-to-video", ("image", "prompt"), 1.2, "base_price * (generate_audio ? 1 : 0.6667)",
        image=_UPLOAD, last_image=_UPLOAD, prompt=_TEXT, aspect_ratio=_one_of("16:9", "9:16"),
        duration=_one_of(4, 6, 8, default=8), resolution=_one_of("720p", "1080p", "4k", default="1080p"),
        generate_audio=_FLAG | {"default": True}, negative_prompt=_TEXT, seed=_SEED,
    ),
    entry(
        "alibaba/wan-2.6/image-to-video", ("image", "prompt"), 0.5, "base_price * duration / 5",
        image=_UPLOAD, audio=_TEXT, prompt=_TEXT, negative_prompt=_TEXT, resolution=_one_of("720p", "1080p"),
        duration=_one_of(5, 10, 15), shot_type=_one_of("single", "multi"), enable_prompt_expansion=_FLAG, seed=_SEED,
    ),
    entry(
        "bytedance/seedance-v1.5-pro/image-to-video", ("image", "prompt"), 0.26,
        image=_UPLOAD, last_image=_UPLOAD, prompt=_TEXT,
        aspect_ratio=_one_of("21:9", "16:9", "4:3", "1:1", "3:4", "9:16", default="16:9"),
        duration={"type": "integer", "minimum": 4, "maximum": 12, "default": 5},
        resolution=_one_of("480p", "720p", "1080p", default="720p"),
        generate_audio=_FLAG, camera_fixed=_FLAG, seed=_SEED,
    ),
    entry(
        "kwaivgi/kling-v3.0-std/image-to-video", ("image",), 0.42,
        image=_UPLOAD, prompt=_TEXT, multi_prompt={"type": "array", "items": _TEXT}, negative_prompt=_TEXT,
        end_image=_UPLOAD,
        duration={"type": "integer", "minimum": 3, "maximum": 15}, sound=_FLAG,
        element_list={"type": "array", "items": {"type": "object", "properties": {"name": _TEXT}}, "maxItems": 4},
    ),
    entry(
        "kwaivgi/kling-v1.6-i2v-standard", ("image", "prompt"), 0.25,
        image=_UPLOAD, prompt=_TEXT, negative_prompt=_TEXT, duration=_one_of("5", "10"),
        cfg_scale={"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.01, "default": 0.5},
    ),
    entry(
        "minimax/hailuo-02/fast", ("image",), 0.1,
        image=_UPLOAD, prompt=_TEXT, duration=_one_of(6, 10), enable_prompt_expansion=_FLAG, go_fast=_FLAG,
    ),
    entry(
        "pixverse/pixverse-v5-i2v", ("image", "prompt"), 0.3, prompt=_TEXT, image=_UPLOAD,
        resolution=_one_of("360p", "540p", "720p", "1080p", default="540p"), duration=_one_of(5, 8), sound=_FLAG,
    ),
    entry(
        "wavespeed-ai/framepack", ("image", "prompt"), 0.2,
        image=_UPLOAD, prompt=_TEXT, num_frames={"type": "integer", "minimum": 30, "maximum": 1_800, "default": 180},
        resolution=_one_of("720p", "480p"), aspect_ratio=_one_of("16:9", "9:16"),
        guidance_scale={"type": "number", "minimum": 0, "maximum": 32},
        num_inference_steps={"type": "integer"}, seed=_SEED,
    ),
    entry(
        "wavespeed-ai/wan-2.1/i2v-720p", ("image", "prompt"), 0.3,
        image=_UPLOAD, prompt=_TEXT, negative_prompt=_TEXT, size=_one_of("1280*720", "720*1280"),
        duration={"type": "integer", "minimum": 5, "maximum": 10, "multipleOf": 5},
        guidance_scale={"type": "number", "minimum": 0, "maximum": 20}, flow_shift={"type": "number"}, seed=_SEED,
        enable_safety_checker=_FLAG,
    ),
    entry(
        "vidu/reference-to-video-2.0", ("images", "prompt"), 0.4,
        images={"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 3, "x-ui-component": "uploader"},
        prompt=_TEXT,
        movement_amplitude=_one_of("auto", "small", "medium", "large"), duration=_one_of(4), seed=_SEED,
    ),
    entry(
        "bytedance/seedance-v1-lite/reference-to-video", ("reference_images", "prompt"), 0.2,
        reference_images={"type": "array", "items": _UPLOAD, "minItems": 1, "maxItems": 4}, prompt=_TEXT, seed=_SEED,
    ),
    entry(
        "wavespeed-ai/wan-2.2/i2v-480p-lora", ("image", "prompt"), 0.2,
        image=_UPLOAD, prompt=_TEXT, seed=_SEED, loras={
            "type": "array", "maxItems": 3,
            "items": {"type": "object", "required": ["path"], "properties": {"path": _TEXT, "scale": _NUMBER}},
        },
    ),
]  # fmt: skip
