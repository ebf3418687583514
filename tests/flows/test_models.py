"""One manifest with twelve models, from the cell to the body that the sandbox accepted; a second run buys nothing."""

import csv
import json
import urllib.request
import wave
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from others_models import ENTRIES
from PIL import Image

from animatic.sandbox.witness import read_witness

URL = "https://stills.example/a.png"
VEO2 = "wavespeed-ai/veo2-i2v"
SAID: list[dict[str, Any]] = [
    {"model": "google/veo3.1-fast/image-to-video", "image": "one.png", "last_image": "two.png", "prompt": "dolly in"}
    | {"duration": "6s", "resolution": "720p", "generate_audio": "no", "seed": "7"},
    {"model": "google/veo3.1-fast/image-to-video", "image": "one.png", "prompt": "dolly in", "duration": "4"},
    {
        "model": "alibaba/wan-2.6/image-to-video",
        "image": URL,
        "prompt": "pan",
        "duration": "10.0",
        "shot_type": "multi",
        "audio": "voice.wav",
    },
    {"model": "bytedance/seedance-v1.5-pro/image-to-video", "image": URL, "prompt": "pan", "aspect_ratio": "21:9"},
    {"model": "kwaivgi/kling-v3.0-std/image-to-video", "image": "one.png", "end_image": URL, "duration": "3"}
    | {"multi_prompt": '["one", "two"]', "element_list": '[{"name": "cat"}]', "sound": "TRUE"},
    {"model": "kwaivgi/kling-v1.6-i2v-standard", "image": URL, "prompt": "pan", "duration": "5", "cfg_scale": "0.51"},
    {"model": "minimax/hailuo-02/fast", "image": "two.png", "go_fast": "1"},
    {"model": "pixverse/pixverse-v5-i2v", "image": URL, "prompt": "pan", "resolution": "1080p", "duration": "8"},
    {"model": "wavespeed-ai/framepack", "image": URL, "prompt": "pan", "num_frames": "81", "guidance_scale": "7.5"},
    {"model": "wavespeed-ai/wan-2.1/i2v-720p", "image": URL, "prompt": "pan", "size": "720*1280", "duration": "10"},
    {"model": "vidu/reference-to-video-2.0", "images": f"one.png; two.png; {URL}", "prompt": "pan"},
    {"model": "bytedance/seedance-v1-lite/reference-to-video", "reference_images": '["two.png"]', "prompt": "pan"},
    {"model": "wavespeed-ai/wan-2.2/i2v-480p-lora", "image": URL, "prompt": "pan"}
    | {"loras": '[{"path": "https://loras.example/x", "scale": 0.5}]'},
    {"model": "", "image": "one.png", "prompt": "tilt"},
]
COLUMNS = list(dict.fromkeys(name for row in SAID for name in row))
SENT: list[dict[str, Any]] = [
    {"duration": 6, "resolution": "720p", "generate_audio": False, "seed": 7},
    {"duration": 4},
    {"duration": 10, "shot_type": "multi"},
    {"aspect_ratio": "21:9"},
    {"duration": 3, "multi_prompt": ["one", "two"], "element_list": [{"name": "cat"}], "sound": True},
    {"duration": "5", "cfg_scale": 0.51},
    {"go_fast": True},
    {"resolution": "1080p", "duration": 8},
    {"num_frames": 81, "guidance_scale": 7.5},
    {"size": "720*1280", "duration": 10},
    {},
    {},
    {"loras": [{"path": "https://loras.example/x", "scale": 0.5}]},
    {"aspect_ratio": "16:9", "duration": "5s"},
]
"""Inputs beside the prompt and the files."""

FILES = ("audio", "image", "images", "last_image", "end_image", "reference_images")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A folder with the entries, in one file and in several."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "all.json").write_text(json.dumps({"data": ENTRIES[:6]}))
    for number, entry in enumerate(ENTRIES[6:]):
        priced = {"prices": [{"when": {"duration": 8}, "usd": 0.7}]} if "pixverse" in entry["model_id"] else {}
        (folder / f"{number}.json").write_text(json.dumps(entry | priced))
    return folder


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    for number, name in enumerate(("one.png", "two.png")):
        Image.new("RGB", (1280, 720), (number * 90, 80, 90)).save(tmp_path / name)
    with wave.open(str(tmp_path / "voice.wav"), "wb") as voice:
        voice.setparams((1, 2, 8_000, 0, "NONE", ""))
        voice.writeframes(bytes(16_000))
    path = tmp_path / "shots.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(SAID)
    return path


def test_every_body_is_what_its_row_says_and_fits_its_schema(
    *, shell_with_server: Any, serve_sandbox: Any, tools: Any, catalogue: Path, shots: Path
) -> None:
    own = serve_sandbox("--inference-s", "0.1", "--strict", "--models", str(catalogue))
    shell = shell_with_server
    shell.more["WAVESPEED_BASE_URL"] = own.url
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, len(SAID)), ended.stderr
    rows = tools.read_rows(shell.home / "out.parquet")
    accepted = {each.id: each for each in read_witness(own.folder)}
    schemas = {each["model_id"]: each["api_schema"]["api_schemas"][0]["request_schema"] for each in ENTRIES}
    for row, said, sent in zip(rows, SAID, SENT, strict=True):
        found = accepted[row["prediction_id"]]
        assert found.model == said["model"] or VEO2
        if found.model != VEO2:
            jsonschema.Draft202012Validator(schemas[found.model]).validate(dict(found.inputs))
        files = {name for name in FILES if said.get(name)}
        assert {name: value for name, value in found.inputs.items() if name not in {*files, "prompt"}} == sent
        assert found.inputs.get("prompt") == said.get("prompt")
        assert {*found.inputs} == {*files, *sent, *(["prompt"] if "prompt" in said else [])}
        for name in files:
            urls = found.inputs[name] if isinstance(found.inputs[name], list) else [found.inputs[name]]
            assert all(url == URL or url.startswith(f"{own.url}/uploads/") for url in urls)
        assert json.loads(row["inputs"]).keys() == found.inputs.keys()
    uploads = sorted(path.suffix for path in (own.folder / "uploads").iterdir())
    assert uploads == [".png", ".png", ".wav"], "each file once, by its content"
    (voice,) = (each.inputs["audio"] for each in accepted.values() if "audio" in each.inputs)
    with urllib.request.urlopen(voice, timeout=10) as reply:
        assert reply.headers["Content-Type"] == "audio/wav"
    again = shell.run("run", str(shots), "--results", "out.parquet", "--json")
    assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, len(SAID)), again.stderr


def test_the_list_is_kept_for_plans_without_a_network(
    *, shell_with_server: Any, serve_sandbox: Any, catalogue: Path, shots: Path
) -> None:
    own, shell = serve_sandbox("--models", str(catalogue)), shell_with_server
    shell.more["WAVESPEED_BASE_URL"] = own.url
    first = shell.run("plan", str(shots), "--json")
    assert (first.code, len(first.json["to_buy"])) == (0, len(SAID)), first.stderr
    del shell.more["WAVESPEED_API_KEY"]
    offline = shell.run("plan", str(shots), "--json")
    assert len(offline.json["to_buy"]) == len(SAID), offline.stderr
    (kept,) = shell.home.rglob("*.models-*.json")
    kept.unlink()
    refused = shell.run("plan", str(shots))
    assert (refused.code, "the list of models cannot be had" in refused.stderr) == (2, True), refused.stderr
    assert "--models DIR" in refused.stderr
    by_hand = shell.run("plan", str(shots), "--models", str(catalogue), "--json")
    assert len(by_hand.json["to_buy"]) == len(SAID), by_hand.stderr


def test_prices_are_quoted_for_each_class(
    *, shell_with_server: Any, serve_sandbox: Any, catalogue: Path, shots: Path
) -> None:
    shell = shell_with_server
    shell.more["WAVESPEED_BASE_URL"] = serve_sandbox("--models", str(catalogue)).url
    planned = shell.run("plan", str(shots), "--only", "model=pixverse/pixverse-v5-i2v", "--json")
    assert (planned.code, planned.json["cost_usd"]) == (0, 0.7), planned.stderr


def test_a_retaken_table_is_taken_over_with_its_inputs(
    *, shell_with_server: Any, serve_sandbox: Any, catalogue: Path, shots: Path
) -> None:
    own, shell = serve_sandbox("--inference-s", "0.1", "--models", str(catalogue)), shell_with_server
    shell.more["WAVESPEED_BASE_URL"] = own.url
    assert shell.run("run", str(shots), "--results", "out.csv").code == 0
    laptop = shell.another()
    laptop.more["WAVESPEED_BASE_URL"] = own.url
    imported = laptop.run("ledger", "import", str(shell.home / "out.csv"), "--json")
    assert imported.json["counts"] == {"taken over": len(SAID)}, imported.stderr
    ended = laptop.run("run", str(shots), "--results", "again.csv", "--yes", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 0), ended.stderr
