"""Cells as values: one cell works for models that spell the same in different types, and nothing is guessed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from others_models import ENTRIES

from animatic.takes.models import BUILT_IN, Unfit, read_catalogue, read_value

CATALOGUE = read_catalogue(ENTRIES)
VEO2 = BUILT_IN["wavespeed-ai/veo2-i2v"].properties
VEO3 = CATALOGUE["google/veo3.1-fast/image-to-video"].properties
KLING = CATALOGUE["kwaivgi/kling-v1.6-i2v-standard"].properties
WAN = CATALOGUE["wavespeed-ai/wan-2.1/i2v-720p"].properties
VIDU = CATALOGUE["vidu/reference-to-video-2.0"].properties
LORA = CATALOGUE["wavespeed-ai/wan-2.2/i2v-480p-lora"].properties
SEEDANCE = CATALOGUE["bytedance/seedance-v1.5-pro/image-to-video"].properties


@pytest.mark.parametrize("text", ["5", "5.0", "5s", " 5 s ", "5 sec", "05"])
def test_five_seconds_are_five_seconds_for_every_model(text: str) -> None:
    assert read_value(text, VEO2["duration"]) == "5s"
    assert read_value(text, KLING["duration"]) == "5"
    found = read_value(text, SEEDANCE["duration"])
    assert (found, type(found)) == (5, int)


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("16:9", VEO3["aspect_ratio"], "16:9"),
        ("04:09:00 PM", VEO3["aspect_ratio"], "16:9"),
        ("720P", VEO3["resolution"], "720p"),
        ("1280x720", WAN["size"], Unfit("1280*720, 720*1280; did you mean 1280*720?")),
        ("1280 * 720", WAN["size"], "1280*720"),
        ("TRUE", VEO3["generate_audio"], True),
        ("0", VEO3["generate_audio"], False),
        ("FALSCH", VEO3["generate_audio"], False),
        ("maybe", VEO3["generate_audio"], Unfit("true or false")),
        ("-1", VEO3["seed"], -1),
        ("7.0", VEO3["seed"], 7),
        ("7.5", VEO3["seed"], Unfit("a whole number from -1 to 2147483647")),
        ("0.29", KLING["cfg_scale"], 0.29),
        ("1.0", KLING["cfg_scale"], 1),
        ("nan", KLING["cfg_scale"], Unfit("a number from 0 to 1 in steps of 0.01")),
        ("9", VEO3["duration"], Unfit("4, 6, 8")),
        ("a.png; b.png", VIDU["images"], ["a.png", "b.png"]),
        ('["a.png", "b;c.png"]', VIDU["images"], ["a.png", "b;c.png"]),
        ('[{"path": "x", "scale": 0.5}]', LORA["loras"], [{"path": "x", "scale": 0.5}]),
        ("smal", VIDU["movement_amplitude"], Unfit("auto, small, medium, large; did you mean small?")),
    ],
)  # fmt: skip
def test_a_cell_becomes_what_the_model_wants(text: str, wanted: Any, value: Any) -> None:
    found = read_value(text, wanted)
    assert found == value
    assert type(found) is type(value)


def test_what_is_no_json_is_no_list_of_objects() -> None:
    assert isinstance(read_value("[1, NaN]", LORA["loras"]), Unfit)
    assert isinstance(read_value("[" * 100_000, LORA["loras"]), Unfit)
    assert isinstance(read_value('[{"scale": 1e999}]', LORA["loras"]), Unfit), "no JSON that is sent can say it"


@given(st.text(min_size=1), st.sampled_from([prop for each in CATALOGUE.values() for prop in each.properties.values()]))
def test_any_text_is_a_value_or_unfit_and_never_an_error(text: str, wanted: Any) -> None:
    found = read_value(text, wanted)
    if wanted.allowed and not isinstance(found, Unfit):
        assert found in wanted.allowed
