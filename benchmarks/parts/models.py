"""`animatic plan` of rows of a model with twelve inputs, beside rows of veo2-i2v: one after the other, in one run."""

import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.contest import Studio, environment
from benchmarks.process import measure
from benchmarks.sizes import Result, Sizes, say

ROWS, ROUNDS = 100_000, 5
MODEL = "bench/twelve-inputs/image-to-video"
_PROMPT = "slow push in past the harbour wall, gulls lift off as the light turns; number {}, handheld"
_STILL = "https://stills.example.com/boards/{}/frame-{:06d}.jpg"
_SEED = {"type": "integer", "minimum": -1, "maximum": 2_147_483_647}
INPUTS: dict[str, dict[str, Any]] = {
    "image": {"type": "string", "x-ui-component": "uploader"},
    "prompt": {"type": "string", "minLength": 1},
    "negative_prompt": {"type": "string"},
    "aspect_ratio": {"type": "string", "enum": ["16:9", "9:16", "1:1"]},
    "duration": {"type": "integer", "minimum": 4, "maximum": 12},
    "resolution": {"type": "string", "enum": ["480p", "720p", "1080p"]},
    "seed": _SEED,
    "guidance_scale": {"type": "number", "minimum": 0, "maximum": 20},
    "num_inference_steps": {"type": "integer", "minimum": 1, "maximum": 50},
    "generate_audio": {"type": "boolean"},
    "camera_fixed": {"type": "boolean"},
    "shot_type": {"type": "string", "enum": ["single", "multi"]},
}


def run(studio: Studio, sizes: Sizes) -> Result:
    """Rounds of both kinds of rows, alternating; medians of CPU, and of the ratio within each round."""
    count, rounds = (sizes.rows or (ROWS,))[0], sizes.rounds or ROUNDS
    room = studio.room("models")
    veo2, twelve = _veo2(room / "veo2.csv", count), _twelve(room / "twelve.csv", count)
    _write_schema(room / "models")
    took: dict[str, list[dict[str, float]]] = {"veo2": [], "twelve": []}
    for number in range(rounds):
        for kind, manifest in (("veo2", veo2), ("twelve", twelve)):
            took[kind].append(_planned(studio.code, manifest, room / "models"))
        last = {kind: runs[-1] for kind, runs in took.items()}
        say(f"round {number + 1}: {last['twelve']['cpu_s']:.2f} s beside {last['veo2']['cpu_s']:.2f} s")
    pairs = zip(took["twelve"], took["veo2"], strict=True)
    ratios = [ours["cpu_s"] / other["cpu_s"] for ours, other in pairs]
    return {
        "rows": count,
        "rounds": rounds,
        "cpu_s": {kind: round(statistics.median(each["cpu_s"] for each in runs), 2) for kind, runs in took.items()},
        "rss_mb": {kind: max(each["rss_mb"] for each in runs) for kind, runs in took.items()},
        "ratio": statistics.median(ratios),
    }


def _veo2(path: Path, count: int) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("shot_id", "storyboard", "image", "prompt", "duration", "aspect_ratio"))
        for row in range(count):
            ratio = ("16:9", "9:16")[row % 2]
            shown = _STILL.format(row % 40, row), _PROMPT.format(row), f"{5 + row % 4}s", ratio
            writer.writerow((f"s{row:06d}", f"board {row % 40}", *shown))
    return path


def _twelve(path: Path, count: int) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("shot_id", "storyboard", "model", *INPUTS))
        for row in range(count):
            shown = _STILL.format(row % 40, row), _PROMPT.format(row), "blurry, text", ("16:9", "9:16", "1:1")[row % 3]
            numbers = 4 + row % 9, ("480p", "720p", "1080p")[row % 3], row * 7_919, 5 + row % 20 / 2, 10 + row % 40
            flags = ("true", "false")[row % 2], ("yes", "no")[row % 2], ("single", "multi")[row % 2]
            writer.writerow((f"s{row:06d}", f"board {row % 40}", MODEL, *shown, *numbers, *flags))
    return path


def _write_schema(folder: Path) -> None:
    folder.mkdir()
    document = {"type": "object", "required": ["image", "prompt"], "properties": INPUTS}
    entry = {
        "model_id": MODEL,
        "type": "image-to-video",
        "base_price": 0.5,
        "formula": "base_price * duration * (resolution = '1080p' ? 2 : 1) * (generate_audio ? 2 : 1)",
        "api_schema": {"api_schemas": [{"type": "model_run", "request_schema": document}]},
    }
    (folder / "twelve.json").write_text(json.dumps(entry))


def _planned(code: Path, manifest: Path, models: Path) -> dict[str, float]:
    """Plan with a new ledger on the embedded sandbox."""
    command = [sys.executable, "-m", "flows.command.cli", "plan", str(manifest), "--sandbox", "--models", str(models)]
    env = environment(manifest.parent, code)
    took = measure(command, env, manifest.parent)
    assert took.exit_code == 0, took.stderr
    return {"cpu_s": took.cpu_s, "rss_mb": took.rss_mb}
