"""Inputs: one value, however its names are ordered; what is stored is what was asked."""

import json
import pickle

import pytest
from asked import inputs_of
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.inputs import Inputs, read_request, request_of
from animatic.takes.schemas import LatencyClass, PriceClass, TakeClass, latency_class_of
from animatic.takes.shots import asked_form, digest, verbatim
from animatic.takes.veo2 import CHOICES, VEO2, length_s_of, size_of

ANY = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name not in {"model", "provider", "take"}),
    st.text(max_size=9) | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    max_size=5,
)


@given(ANY, st.randoms())
def test_the_order_of_names_does_not_count(values: dict[str, object], chance: object) -> None:
    names = list(values)
    chance.shuffle(names)
    one, other = Inputs(values), Inputs([(name, values[name]) for name in names])
    assert (one, hash(one)) == (other, hash(other))
    assert verbatim("p", "m", one) == verbatim("p", "m", other)
    assert one == values


@given(ANY, st.text(max_size=9), st.text(max_size=9), st.integers(1, 16))
def test_the_fingerprint_is_of_sorted_json_for_any_inputs(
    values: dict[str, object], provider: str, model: str, take: int
) -> None:
    fields = {**values, "provider": provider, "model": model}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    expected = f'{text[:-1]},"take":{take}}}'
    assert f"{verbatim(provider, model, Inputs(values))}{take}}}" == expected
    assert len(digest(expected, take)) == 32


@pytest.mark.parametrize("name", ["model", "provider", "take"])
def test_an_input_cannot_pass_for_another_part_of_what_is_asked(name: str) -> None:
    with pytest.raises(ValueError, match=f"inputs cannot be called {name}"):
        asked_form("p", "m", ("prompt", name))


def test_inputs_do_not_change() -> None:
    values = {"prompt": "push in"}
    inputs = Inputs(values)
    values["prompt"] = "tilt up"
    assert inputs == {"prompt": "push in"}
    with pytest.raises(AttributeError, match="inputs cannot be changed"):
        inputs._values = {}
    assert pickle.loads(pickle.dumps(inputs)) == inputs


def test_only_still_and_prompt_have_another_canonical_form() -> None:
    written = Inputs({"prompt": "u\u0308ber ", "image": "https://A.example/x#y", "negative_prompt": " no ", "seed": 5})
    assert written.canonical() == {
        "prompt": "über",
        "image": "https://a.example/x",
        "negative_prompt": " no ",
        "seed": 5,
    }


@given(ANY, st.integers(1, 16))
def test_a_stored_request_is_read_as_it_was_asked(values: dict[str, object], take: int) -> None:
    assert read_request(request_of(Inputs(values), take)) == (Inputs(values), take)


def test_the_stored_request_keeps_its_form() -> None:
    expected = '{"aspect_ratio": "16:9", "duration": "5s", "image": "sha256:0", "prompt": "ü", "take": 2}'
    assert request_of(inputs_of("ü", "sha256:0"), 2) == expected


def test_classes_hold_what_the_schema_names() -> None:
    inputs = inputs_of(duration="8s", aspect_ratio="9:16")
    assert VEO2.price_class(inputs) == PriceClass(VEO2.model, Inputs({"duration": "8s", "aspect_ratio": "9:16"}))
    assert VEO2.take_class(inputs) == TakeClass(VEO2.price_class(inputs), LatencyClass(VEO2.model, "8s"))
    assert (size_of(inputs), length_s_of(inputs)) == ((720, 1280), 8.0)


def test_what_the_default_model_is_priced_by_are_choices_of_it() -> None:
    assert set(CHOICES) >= set(VEO2.priced_by)


@pytest.mark.parametrize(
    ("inputs", "values"),
    [
        ({"duration": "5s"}, "5s"),
        ({"duration": "5"}, "5s"),
        ({"duration": 5}, "5s"),
        ({"duration": 2.5}, "2.5s"),
        ({"duration": "long"}, "long"),
        ({"num_frames": 81}, "81 frames"),
        ({"prompt": "push in"}, ""),
    ],
)
def test_latencies_are_learned_by_duration_or_frames(inputs: dict[str, object], values: str) -> None:
    assert latency_class_of("a/b", Inputs(inputs)) == LatencyClass("a/b", values)


def test_files_have_a_canonical_form_whatever_their_input_is_called() -> None:
    written = Inputs({"images": ["https://A.example/x#y", "sha256:0"], "last_image": "HTTPS://a.example/z", "n": "A"})
    canonical = {"images": ["https://a.example/x", "sha256:0"], "last_image": "https://a.example/z", "n": "A"}
    assert written.canonical() == canonical
    assert len({written, Inputs(dict(written)), written.canonical()}) == 2


def test_files_are_sent_by_their_urls() -> None:
    inputs = Inputs({"image": "sha256:0", "images": ["sha256:1", "https://a.example/x"], "prompt": "sha256:2"})
    assert inputs.with_files({"sha256:0": "u", "sha256:1": "v"}) == {
        "image": "u",
        "images": ["v", "https://a.example/x"],
        "prompt": "sha256:2",
    }
