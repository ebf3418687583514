"""Fingerprints: the form is frozen, and every part of what is asked counts."""

import dataclasses
import hashlib
import json

import pytest
from asked import STILL, inputs_of, shot_of, takes_of
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from animatic.takes.canonical import canonical_text
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.shots import Shot, digest, fingerprint, verbatim
from animatic.takes.stills import LocalFile

unhurried = examples(60)

SHOT = shot_of(takes=2)
PROVIDER = "https://api.wavespeed.ai"


def keys(shot: Shot, provider: str = PROVIDER) -> list[str]:
    return [take.fingerprint for take in takes_of(shot, provider)]


def test_the_form_is_frozen_a_change_would_buy_everything_again() -> None:
    assert keys(SHOT)[0] == "c6c5ac28067090177f1ce6fb91e4c29dbb84dc00a8c689f3e335c7b05261908c"


def test_a_fingerprint_is_the_sha256_of_canonical_json() -> None:
    asked = {
        "aspect_ratio": "16:9",
        "duration": "5s",
        "image": STILL,
        "model": DEFAULT_MODEL,
        "prompt": "schwenk über die Küste",
        "provider": PROVIDER,
        "take": 1,
    }
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    found = keys(shot_of(prompt="schwenk über die Küste"))[0]
    assert found == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"still": "sha256:" + "0" * 64},
        {"prompt": "push  in"},
        {"prompt": "Push in"},
        {"model": "other/model"},
        {"aspect_ratio": "9:16"},
        {"duration": "6s"},
    ],
    ids=str,
)
def test_each_part_of_what_is_asked_counts(change: dict[str, str]) -> None:
    assert set(keys(SHOT)).isdisjoint(keys(shot_of(takes=2, **change)))


def test_what_is_not_asked_of_the_provider_does_not_count() -> None:
    same = dataclasses.replace(SHOT, row=9, shot_id="x", storyboard="y", image="elsewhere.png")
    assert keys(same) == keys(SHOT)


def test_a_sandbox_clip_never_stands_in_for_a_real_one() -> None:
    assert set(keys(SHOT)).isdisjoint(keys(SHOT, "sandbox"))


def test_each_take_is_its_own_and_more_takes_keep_the_first_ones() -> None:
    assert len(set(keys(dataclasses.replace(SHOT, takes=16)))) == 16
    assert keys(dataclasses.replace(SHOT, takes=16))[:2] == keys(SHOT)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "push in "},
        {"prompt": "\ufeffpush in\r\n"},
        {"still": "https://STILLS.example:443/a.png"},
        {"still": "https://stills.example/a.png#top"},
    ],
    ids=str,
)
def test_two_spellings_of_the_same_are_the_same_take(change: dict[str, str]) -> None:
    assert keys(shot_of(takes=2, **change)) == keys(SHOT)
    assert keys(SHOT, "https://API.wavespeed.ai:443/") == keys(SHOT)


def test_the_form_as_written_is_frozen_too_for_older_ledgers() -> None:
    text = json.dumps(
        {
            "aspect_ratio": "16:9",
            "duration": "5s",
            "image": STILL,
            "model": DEFAULT_MODEL,
            "prompt": "push in ",
            "provider": PROVIDER,
            "take": 2,
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    assert digest(verbatim(PROVIDER, DEFAULT_MODEL, inputs_of("push in ")), 2) == hashlib.sha256(text.encode()).digest()


@unhurried
@given(st.text(), st.text())
def test_prompts_share_a_fingerprint_only_where_their_canonical_form_is_one(one: str, other: str) -> None:
    keys_ = {fingerprint(provider="p", model="m", inputs=inputs_of(prompt), take=1) for prompt in (one, other)}
    assert (len(keys_) == 1) == (canonical_text(one) == canonical_text(other))


@unhurried
@given(st.text(), st.text())
def test_different_texts_never_share_a_fingerprint_as_written(one: str, other: str) -> None:
    assert len({digest(verbatim("p", "m", inputs_of(prompt)), 1) for prompt in (one, other)}) == len({one, other})


def test_a_local_still_is_known_by_its_bytes() -> None:
    local = shot_of(image="a.png", still="sha256:" + "0" * 64)
    assert local.files == [LocalFile("sha256:" + "0" * 64, "a.png", local.shot_id)]
    assert not SHOT.files


def test_a_take_is_called_by_its_shot_and_number() -> None:
    assert [take.name for take in takes_of(SHOT, PROVIDER)] == ["s1 take 1", "s1 take 2"]
