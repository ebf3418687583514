"""Cells that could cost money or mislead: two columns for one input, half characters, stills out of reach."""

import json

import pytest

from animatic.errors import ManifestError
from animatic.manifest import Manifest, check, read_mapping, read_table

URL = "https://stills.example/a.png"
REAL = "https://api.wavespeed.ai"


def report_of(name: str, data: bytes, provider: str = "sandbox") -> str:
    with pytest.raises(ManifestError) as refused:
        checked(name, data, provider).require_valid()
    return refused.value.report


def checked(name: str, data: bytes, provider: str = "sandbox") -> Manifest:
    return check(read_table(name, data), stills={}, storyboard_default="b", provider=provider)


@pytest.mark.parametrize("other", ["Prompt", "PROMPT", "pro-mpt"])
def test_two_columns_for_one_input_are_a_fault(other: str) -> None:
    report = report_of("shots.csv", f"image,prompt,{other}\n{URL},x,y\n".encode())
    assert f'shots.csv:1: header: found "prompt" and "{other}"; allowed: one column for prompt' in report
    assert "--map prompt=COLUMN" in report


def test_a_mapping_chooses_between_them() -> None:
    raw = read_table("shots.csv", f"image,prompt,Prompt\n{URL},x,y\n".encode(), mapping={"prompt": "Prompt"})
    assert not raw.header_faults


@pytest.mark.parametrize("column", ["prompt", "image", "shot_id", "note"])
def test_half_a_character_is_a_fault_of_its_row(column: str) -> None:
    good = {"image": URL, "prompt": "x", "shot_id": "a", "note": "n"}
    lines = [good, {**good, "shot_id": "b", column: "half \ud800"}]
    data = "\n".join(json.dumps(each) for each in lines).encode()
    report = report_of("shots.jsonl", data)
    assert "shots.jsonl:2: row: found half a character (U+D800)" in report


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:1", "http://[::1]:22", "http://localhost:8000", "https://169.254.169.254", "https://10.0.0.7"],
)
def test_a_still_that_only_this_network_reaches_is_refused_for_remote_providers(origin: str) -> None:
    rows = f"image,prompt\n{origin}/x.jpg,x\n".encode()
    assert "which only this machine or its network can reach" in report_of("shots.csv", rows, REAL)
    checked("shots.csv", rows, "http://127.0.0.1:8787").require_valid()
    checked("shots.csv", rows, "sandbox").require_valid()


def test_a_public_address_is_fine() -> None:
    checked("shots.csv", b"image,prompt\nhttps://8.8.8.8/x.jpg,x\nhttps://1.example/x.jpg,x\n", REAL).require_valid()


def test_any_input_may_be_mapped() -> None:
    assert read_mapping(["seed=Zufall", "image=URL"]) == {"seed": "Zufall", "image": "URL"}
