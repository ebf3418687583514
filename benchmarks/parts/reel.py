"""A reel of 40 shots, built, and built again after one shot has changed: whole processes, one after the other."""

import hashlib
import json
import statistics
import sys
from pathlib import Path

import av
import numpy as np

from benchmarks.contest import Studio, environment
from benchmarks.process import Measured, measure
from benchmarks.sizes import Result, Sizes, say

SHOTS, ROUNDS = 40, 1
WIDTH, HEIGHT, FPS, SECONDS = 1280, 720, 24, 5
_BUILD = """
import asyncio, json, sys
from pathlib import Path
from animatic.media.processes import Processes
from animatic.media.reel import ReelMaker, ReelStyle
from animatic.media.reel_cache import SegmentCache
from animatic.media.reel_shots import ReelClip, ReelShot

async def build(clips, cache, out):
    shots = [
        ReelShot(f"S{number:02}", 1, ReelClip(uri, sha256, 1280, 720, 24.0), None, "", "")
        for number, (uri, sha256) in enumerate(clips)
    ]
    async with Processes() as processes:
        reel = await ReelMaker(SegmentCache(Path(cache)), processes).make(shots, ReelStyle(burn_in=True), out)
    assert not reel.problems, reel.problems
    print(json.dumps([reel.encoded, reel.reused, reel.pictures, reel.has_sound]))

asyncio.run(build(json.loads(Path(sys.argv[1]).read_text()), *sys.argv[2:]))
"""


def run(studio: Studio, sizes: Sizes) -> Result:
    """Rounds of: a first build with an empty cache, and a second one with another clip in the middle; medians."""
    shots, rounds = (sizes.rows or (SHOTS,))[0], sizes.rounds or ROUNDS
    room = studio.room("reel")
    base = _film(room / "base.mp4")
    clips = [_copy(base, room / f"{number}.mp4") for number in range(shots)]
    changed = [*clips[: shots // 2], _copy(base, room / "changed.mp4"), *clips[shots // 2 + 1 :]]
    first, second = list[Measured](), list[Measured]()
    for number in range(rounds):
        cache, out = room / f"cache-{number}", room / f"reel-{number}.mp4"
        for listed, took, wanted in ((clips, first, [shots, 0]), (changed, second, [1, shots - 1])):
            took.append(_built(studio, room, listed, (cache, out), wanted))
        say(f"round {number + 1}: {first[-1].wall_s:.1f} s, one shot changed {second[-1].wall_s:.1f} s")
    pairs = list(zip(first, second, strict=True))
    return {
        "shots": shots,
        "rounds": rounds,
        "seconds_of_film": shots * SECONDS,
        "first_s": round(statistics.median(each.wall_s for each in first), 2),
        "changed_s": round(statistics.median(each.wall_s for each in second), 2),
        "first_cpu_s": round(statistics.median(each.cpu_s for each in first), 2),
        "changed_cpu_s": round(statistics.median(each.cpu_s for each in second), 2),
        "ratio": round(statistics.median(after.wall_s / before.wall_s for before, after in pairs), 3),
        "cpu_ratio": round(statistics.median(after.cpu_s / before.cpu_s for before, after in pairs), 3),
    }


def _built(
    studio: Studio, room: Path, clips: list[tuple[str, str]], to: tuple[Path, Path], wanted: list[int]
) -> Measured:
    """Build in a process of its own; from its start to its end."""
    listed = room / "clips.json"
    listed.write_text(json.dumps(clips))
    took = measure([sys.executable, "-c", _BUILD, str(listed), *map(str, to)], environment(room, studio.code), room)
    assert took.exit_code == 0, took.stderr
    said = json.loads(took.stdout)
    assert said == [*wanted, len(clips) * SECONDS * FPS, True], said
    return took


def _film(path: Path) -> bytes:
    """A clip of 5 s at 720p with sound, in which everything moves."""
    noise = np.random.default_rng(7).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    samples = np.sin(np.arange(SECONDS * 48_000) / 20).astype(np.float32)
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = film.add_stream("aac", rate=48_000, layout="mono")
        for number in range(SECONDS * FPS):
            picture = np.ascontiguousarray(np.roll(noise, 3 * number, axis=1))
            film.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        film.mux(sound.encode(frame))
        film.mux(sound.encode(None))
    return path.read_bytes()


def _copy(base: bytes, path: Path) -> tuple[str, str]:
    """Write a clip of its own content: the same film with another name in a free box at its end; URI and hash."""
    name = path.stem.encode()
    data = base + (8 + len(name)).to_bytes(4, "big") + b"free" + name
    path.write_bytes(data)
    return path.as_uri(), hashlib.sha256(data).hexdigest()
