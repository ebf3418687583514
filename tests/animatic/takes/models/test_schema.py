"""Request schemas: what WaveSpeed's list says of a model, and which inputs do not fit."""

from collections.abc import Iterator
from typing import Any

import pytest
from others_models import ENTRIES, entry

from animatic.takes.models import BUILT_IN, Catalogue, SchemaError, read_catalogue, read_schema
from animatic.takes.models.properties import MAX_DEPTH, Property

VEO3, KLING, VIDU = (
    "google/veo3.1-fast/image-to-video",
    "kwaivgi/kling-v1.6-i2v-standard",
    "vidu/reference-to-video-2.0",
)
CFG = "a number from 0 to 1 in steps of 0.01"
IMAGE = "https://stills.example/a.png"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    found = read_catalogue(ENTRIES)
    assert not found.problems
    return found


def test_every_entry_is_read_and_veo2_is_built_in(catalogue: Catalogue) -> None:
    assert len(catalogue) == len(ENTRIES) + 1
    assert list(BUILT_IN["wavespeed-ai/veo2-i2v"].properties) == ["prompt", "image", "aspect_ratio", "duration"]


def test_properties_have_type_order_bounds_and_media(catalogue: Catalogue) -> None:
    veo3 = catalogue[VEO3]
    assert list(veo3.properties)[:3] == ["image", "last_image", "prompt"]
    assert veo3.required == ["image", "prompt"]
    assert veo3.media == ["image", "last_image"]
    assert veo3.properties["duration"].allowed == (4, 6, 8)
    assert veo3.properties["seed"].allowed_in_words == "a whole number from -1 to 2147483647"
    assert veo3.base_microusd == 1_200_000
    assert catalogue[KLING].properties["cfg_scale"].allowed_in_words == "a number from 0 to 1 in steps of 0.01"
    assert catalogue[VIDU].media == ["images"]
    assert catalogue["alibaba/wan-2.6/image-to-video"].media == ["image", "audio"]


def test_a_price_depends_on_the_inputs_that_its_formula_names(catalogue: Catalogue) -> None:
    assert catalogue[VEO3].priced_by == ["generate_audio"]
    assert catalogue["alibaba/wan-2.6/image-to-video"].priced_by == ["duration"]
    assert set(catalogue[KLING].priced_by) == {"image", "duration", "cfg_scale"}


@pytest.mark.parametrize(
    ("model", "inputs", "faults"),
    [
        (VEO3, {"image": IMAGE, "prompt": "pan", "duration": 8, "seed": -1}, {}),
        (VEO3, {"image": IMAGE, "prompt": "pan", "duration": 5}, {"duration": "4, 6, 8"}),
        (VEO3, {"image": IMAGE}, {"prompt": "text; it is required"}),
        (VEO3, {"image": IMAGE, "prompt": "pan", "seed": 2**31}, {"seed": "a whole number from -1 to 2147483647"}),
        (KLING, {"image": IMAGE, "prompt": "pan", "cfg_scale": 0.29, "duration": "5"}, {}),
        (KLING, {"image": IMAGE, "prompt": "pan", "cfg_scale": 0.295}, {"cfg_scale": CFG}),
        (VIDU, {"images": [], "prompt": "pan"}, {"images": "a list of a URL or path of an image; 1 to 3 parts"}),
        (VIDU, {"images": [IMAGE] * 4, "prompt": "p"}, {"images": "a list of a URL or path of an image; 1 to 3 parts"}),
        ("minimax/hailuo-02/fast", {"image": IMAGE}, {}),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_named_with_what_is_allowed(
    catalogue: Catalogue, model: str, inputs: dict[str, Any], faults: dict[str, str]
) -> None:
    assert dict(catalogue[model].faults(inputs)) == faults


def test_an_input_that_a_model_does_not_have_is_a_fault(catalogue: Catalogue) -> None:
    assert [name for name, _ in catalogue[VEO3].faults({"image": IMAGE, "prompt": "pan", "negativ_prompt": "x"})] == [
        "negativ_prompt"
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"model_id": "no-slash"},
        {"model_id": "a/b"},
        {"model_id": "a/../b", "api_schema": {}},
        entry("a/b", (), 1.0),
        entry("a/b", (), 1.0, prompt="text"),
        entry("a/b", (), 1.0, prompt={"$ref": "https://evil.example/schema.json"}),
        entry("a/b", (), 1.0, prompt={"$ref": "file:///etc/passwd"}),
        entry("a/b", (), 1.0, prompt={"type": "string", "enum": "abc"}),
        entry("a/b", (), 1.0, prompt={"type": "string", "pattern": "("}),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_and_left_out(bad: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        read_schema(bad)
    found = read_catalogue([bad, ENTRIES[0]])
    assert len(found.problems) == 1
    assert VEO3 in found


def test_a_slow_pattern_does_not_hold_the_check_up() -> None:
    schema = read_schema(entry("a/b", (), 1.0, prompt={"type": "string", "pattern": "^(a+)+$"}))
    assert dict(schema.faults({"prompt": "a" * 60 + "!"})) == {"prompt": "text that matches the pattern ^(a+)+$"}


def depths_of(read: Property, depth: int = 0) -> Iterator[int]:
    """Depth of each part that was read."""
    yield depth
    for each in (*read.alternatives, *([read.items] if read.items else [])):
        yield from depths_of(each, depth + 1)


def test_lists_and_alternatives_in_each_other_are_read_two_deep() -> None:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(3):  # a kilobyte that makes 20 parts of one, at each level
        inner = {"anyOf": [{"type": "array"}] * 20, "items": inner}
    depths = list(depths_of(read_schema(entry("a/b", (), 1.0, odd=inner)).properties["odd"]))
    assert (max(depths), len(depths)) == (MAX_DEPTH, 1 + 20 + 20)


def test_a_schema_nested_without_end_is_refused() -> None:
    inner: dict[str, Any] = {"type": "string"}
    for _ in range(5_000):
        inner = {"type": "array", "items": inner}
    with pytest.raises(SchemaError, match=r"model a/b: "):
        read_schema(entry("a/b", (), 1.0, odd=inner))


def test_a_price_formula_too_long_to_keep_depends_on_all_inputs() -> None:
    inputs = {"duration": {"type": "integer"}, "size": {"enum": ["a", "b"]}}
    assert read_schema(entry("a/b", (), 1.0, "duration * 2", **inputs)).priced_by == ["duration"]
    for formula in (" " * 4_000 + "duration * size", "duration" + " " * 4_000 + "* size"):
        assert read_schema(entry("a/b", (), 1.0, formula, **inputs)).priced_by == ["duration", "size"]


@pytest.mark.parametrize(
    ("typed", "near"),
    [("google/veo3.1-fast/image-to-vidoe", VEO3), ("veo3.1-fast", VEO3), ("framepack", "wavespeed-ai/framepack")],
)
def test_a_wrong_id_has_near_names(catalogue: Catalogue, typed: str, near: str) -> None:
    assert near in catalogue.near(typed)
