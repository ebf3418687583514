"""Reels of real clips, judged by what is seen and heard in them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from filmed import circle, film, frames_in, grey, loudness_of, turn
from PIL import Image

from animatic.errors import LocationError
from animatic.media.processes import Processes
from animatic.media.reel import Reel, ReelMaker, ReelStyle
from animatic.media.reel_cache import SegmentCache
from animatic.media.reel_shots import ReelClip, ReelShot

SMALL = (320, 180)
PLAIN = ReelStyle(size=SMALL, fps=Fraction(24))
RED, GREEN, BLUE = (220, 40, 40), (40, 200, 60), (40, 60, 220)

Make = Callable[..., "Reel"]


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes(2) as pool:
        yield pool


@pytest.fixture
def make(tmp_path: Path, processes: Processes) -> Callable[..., object]:
    """Makes a reel in the test's folder; all reels of a test share a cache."""

    async def make(shots: Sequence[ReelShot], style: ReelStyle = PLAIN, most_bytes: int = 1 << 30) -> Reel:
        cache = SegmentCache(tmp_path / "cache", most_bytes)
        return await ReelMaker(cache, processes).make(shots, style, str(tmp_path / "reel.mp4"))

    return make


def of_clip(path: Path, shot_id: str = "S01", *, size: tuple[int, int] = SMALL, fps: float = 24.0) -> ReelShot:
    clip = ReelClip(path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest(), *size, fps)
    return ReelShot(shot_id, 1, clip, None, "a prompt", "")


def slate(shot_id: str = "S09", still: Path | None = None, seconds: float = 1.0) -> ReelShot:
    uri = None if still is None else still.as_uri()
    return ReelShot(shot_id, None, None, uri, "A slow push-in, é ß Ж", "failed: 1003", seconds)


def coloured(path: Path, colour: tuple[int, int, int], frames: int = 12, **more: object) -> Path:
    return film(path, [circle(colour, SMALL)] * frames, **more)  # type: ignore[arg-type]


def middle(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return picture[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4].mean(axis=(0, 1))


def is_near(found: np.ndarray, wanted: Sequence[int]) -> bool:
    return bool(np.abs(found - np.array(wanted)).max() < 14)


async def test_shots_come_in_order_with_every_frame(tmp_path: Path, make: Make) -> None:
    colours = [RED, GREEN, BLUE]
    shots = [of_clip(coloured(tmp_path / f"{n}.mp4", colour, 8 + n), f"S{n}") for n, colour in enumerate(colours)]
    reel = await make(shots)
    seen = frames_in(tmp_path / "reel.mp4")
    assert (reel.pictures, reel.starts, reel.shots, reel.encoded) == (8 + 9 + 10, (0, 8, 17), 3, 3)
    assert [next(n for n, each in enumerate(colours) if is_near(middle(frame), each)) for frame in seen] == (
        [0] * 8 + [1] * 9 + [2] * 10
    )
    with av.open(str(tmp_path / "reel.mp4")) as container:
        assert not container.streams.audio
        assert container.streams.video[0].average_rate == 24
        moments = [frame.time for frame in container.decode(video=0)]
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["S0", "S1", "S2"]
    assert moments == pytest.approx([n / 24 for n in range(27)])


def shape_of(picture: np.ndarray) -> tuple[int, int]:
    """Return width and height of what is bright in a picture."""
    bright = picture.astype(int).max(axis=2) > 130
    return int(bright.any(axis=0).sum()), int(bright.any(axis=1).sum())


@pytest.mark.parametrize("size", [(180, 320), (240, 240), (426, 182), (853, 481), (64, 36)])
async def test_a_circle_stays_round_whatever_the_clip_measures(
    tmp_path: Path, make: Make, size: tuple[int, int]
) -> None:
    clip = film(tmp_path / "clip.mp4", [circle(GREEN, size)] * 3)
    reel = await make([of_clip(clip, size=size)])
    assert (reel.canvas.width, reel.canvas.height) == SMALL
    picture = frames_in(tmp_path / "reel.mp4")[1]
    width, height = shape_of(picture)
    radius = min(size) / 4 * min(SMALL[0] / size[0], SMALL[1] / size[1])
    assert abs(width - height) <= 2
    assert abs(width - 2 * radius) <= 3


async def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path, make: Make) -> None:
    squeezed = np.asarray(Image.fromarray(circle(GREEN, (320, 180))).resize((240, 180)))
    clip = film(tmp_path / "clip.mp4", [squeezed] * 3, pixel_ratio=Fraction(4, 3))
    await make([of_clip(clip)])
    width, height = shape_of(frames_in(tmp_path / "reel.mp4")[1])
    assert abs(width - height) <= 3


async def test_a_clip_that_is_shown_turned_stands_upright(tmp_path: Path, make: Make) -> None:
    plain = film(tmp_path / "plain.mp4", [grey(150, (320, 180))] * 3)
    await make([of_clip(turn(plain, tmp_path / "turned.mp4"))])
    picture = frames_in(tmp_path / "reel.mp4")[1].astype(int)
    assert picture[:, :100].max() < 40
    assert picture[:, 220:].max() < 40
    assert picture[20, 198][0] > 200
    assert picture[20, 198][1] < 60
    assert is_near(picture[160, 160], (150, 150, 150))


@pytest.mark.parametrize(
    ("fps", "frames", "pictures"), [(24, 12, 12), (30, 30, 24), (25, 50, 48), (12, 6, 12), (60, 60, 24)]
)
async def test_a_clip_keeps_its_length_at_another_rate(
    tmp_path: Path, make: Make, fps: int, frames: int, pictures: int
) -> None:
    clip = film(tmp_path / "clip.mp4", [grey(4 * n, SMALL) for n in range(frames)], fps=fps)
    reel = await make([of_clip(clip, fps=fps)])
    seen = [frame[90, 160].mean() for frame in frames_in(tmp_path / "reel.mp4")]
    assert (reel.pictures, len(seen)) == (pictures, pictures)
    wanted = [4 * min(int(n * fps / 24 + 0.5), frames - 1) for n in range(pictures)]
    assert np.abs(np.array(seen) - wanted).max() <= 7


async def test_frames_of_a_variable_rate_stand_as_long_as_they_did(tmp_path: Path, make: Make) -> None:
    moments = [0.0, 0.25, 0.3, 1.0]
    clip = film(tmp_path / "clip.mp4", [grey(50 * n, SMALL) for n in range(4)], moments=moments)
    await make([of_clip(clip)])
    seen = [round(frame[90, 160].mean() / 50) for frame in frames_in(tmp_path / "reel.mp4")]
    assert seen[:24] == [0] * 6 + [1] * 1 + [2] * 17
    assert set(seen[24:]) == {3}


async def test_slates_move_and_show_their_still(tmp_path: Path, make: Make) -> None:
    still = tmp_path / "still.png"
    Image.fromarray(circle(BLUE, (640, 360))).save(still)
    reel = await make([slate(still=still), slate("S10")])
    seen = frames_in(tmp_path / "reel.mp4")
    assert (reel.slates, reel.starts, reel.pictures) == (2, (0, 24), 48)
    assert reel.problems == ()
    assert is_near(seen[0][60, 160], BLUE)
    widths = [(frame[60].astype(int)[:, 2] > 130).sum() for frame in seen[:24]]
    assert 0.05 < widths[-1] / widths[0] - 1 < 0.25  # 8 % at the circle's middle, more at its edge
    steps = [np.abs(after.astype(int) - before).max() for before, after in pairwise(seen[24:])]
    assert min(steps) > 20


async def test_a_slate_says_why_and_what(tmp_path: Path, make: Make) -> None:
    await make([slate()])
    with_text = frames_in(tmp_path / "reel.mp4")[3].astype(int)
    await make([replace(slate(), prompt="Something else", status="")])
    assert with_text[60:130].max() > 180
    assert np.abs(frames_in(tmp_path / "reel.mp4")[3].astype(int) - with_text).max() > 150


async def test_a_still_that_cannot_be_read_leaves_a_card(tmp_path: Path, make: Make) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    reel = await make([slate(still=tmp_path / "bad.png"), slate(still=tmp_path / "none.png")])
    assert (reel.slates, reel.pictures) == (2, 48)


async def test_burn_in_changes_the_upper_corners_and_nothing_else(tmp_path: Path, make: Make) -> None:
    shots = [of_clip(coloured(tmp_path / "a.mp4", RED, 30))]
    await make(shots)
    plain = np.array(frames_in(tmp_path / "reel.mp4")).astype(int)
    await make(shots, replace(PLAIN, burn_in=True))
    burnt = np.array(frames_in(tmp_path / "reel.mp4")).astype(int)
    change = np.abs(burnt - plain).max(axis=3)
    for corner in (change[:, :20, :80], change[:, :20, 240:]):
        assert corner.max(axis=(1, 2)).min() > 120
    assert change[:, 40:].max() < 40
    seconds = burnt[:, :20, 240:]
    assert np.abs(seconds[3] - seconds[2]).max() > 80


async def test_sound_is_kept_where_it_was_and_silence_elsewhere(tmp_path: Path, make: Make) -> None:
    loud = coloured(tmp_path / "loud.mp4", RED, 24, tone_hz=440)
    quiet = coloured(tmp_path / "quiet.mp4", GREEN, 24)
    reel = await make([of_clip(quiet), slate(), of_clip(loud), of_clip(quiet, "S04"), of_clip(loud, "S05")])
    heard = loudness_of(tmp_path / "reel.mp4")
    assert reel.has_sound
    assert heard is not None
    assert np.abs(heard[1:19]).max() < 0.01
    assert heard[21:29].min() > 0.4
    assert np.abs(heard[31:39]).max() < 0.01
    assert heard[41:49].min() > 0.4
    with av.open(str(tmp_path / "reel.mp4")) as container:
        lengths = [
            float(stream.duration * stream.time_base)
            for stream in container.streams
            if stream.type in {"video", "audio"}
        ]
    assert lengths == pytest.approx([5.0, 5.0], abs=0.05)


async def test_sound_stays_with_its_picture_over_many_shots(tmp_path: Path, make: Make) -> None:
    loud = coloured(tmp_path / "loud.mp4", RED, 7, tone_hz=440)
    quiet = coloured(tmp_path / "quiet.mp4", GREEN, 7)
    await make([of_clip(each, f"S{n}") for n, each in enumerate([quiet] * 60 + [loud])])
    with av.open(str(tmp_path / "reel.mp4")) as container:
        rate = container.streams.audio[0].rate
        samples = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)])
    assert np.argmax(np.abs(samples) > 0.1) / rate == pytest.approx(60 * 7 / 24, abs=0.025)


async def test_silent_leaves_no_sound_and_encodes_nothing_again(tmp_path: Path, make: Make) -> None:
    shots = [of_clip(coloured(tmp_path / "loud.mp4", RED, 12, tone_hz=440))]
    assert (await make(shots)).has_sound
    reel = await make(shots, replace(PLAIN, is_silent=True))
    assert (reel.has_sound, reel.encoded, reel.reused) == (False, 0, 1)
    assert loudness_of(tmp_path / "reel.mp4") is None


async def test_one_changed_shot_encodes_one_segment(tmp_path: Path, make: Make) -> None:
    style = replace(PLAIN, burn_in=True)
    shots = [of_clip(coloured(tmp_path / f"{n}.mp4", (40 * n, 80, 90), 6), f"S{n}") for n in range(6)]
    assert (await make(shots, style)).encoded == 6
    shots[2] = of_clip(coloured(tmp_path / "new.mp4", BLUE, 9), "S2")
    reel = await make(shots, style)
    assert (reel.encoded, reel.reused, reel.pictures) == (1, 5, 39)
    assert is_near(middle(frames_in(tmp_path / "reel.mp4")[14]), BLUE)
    assert (await make(shots[::-1], style)).encoded == 0


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
async def test_a_damaged_segment_is_encoded_again(tmp_path: Path, make: Make, damage: str) -> None:
    shots = [of_clip(coloured(tmp_path / "a.mp4", RED, 6)), of_clip(coloured(tmp_path / "b.mp4", GREEN, 6), "S02")]
    await make(shots)
    segment = min((tmp_path / "cache").glob("*.mkv"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes({"cut": data[:-40], "changed": data, "emptied": b""}[damage])
    reel = await make(shots)
    assert (reel.encoded, reel.reused) == (1, 1)
    assert [is_near(middle(frame), RED) for frame in frames_in(tmp_path / "reel.mp4")] == [True] * 6 + [False] * 6


async def test_the_cache_keeps_within_its_size_and_what_is_used(tmp_path: Path, make: Make) -> None:
    old = [of_clip(coloured(tmp_path / f"{n}.mp4", RED, 4 + n), f"S{n}") for n in range(3)]
    await make(old)
    new = [of_clip(coloured(tmp_path / "new.mp4", GREEN, 6))]
    await make(new, most_bytes=1)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert (await make(new)).reused == 1


@pytest.mark.parametrize("problem", ["missing", "another", "broken"])
async def test_a_clip_that_cannot_be_used_is_a_slate_and_named(tmp_path: Path, make: Make, problem: str) -> None:
    path = coloured(tmp_path / "clip.mp4", RED, 6)
    if problem == "broken":
        path.write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 500)
    shot = of_clip(path, "S07")
    if problem == "missing":
        path.unlink()
    if problem == "another":
        coloured(path, GREEN, 6)
    reel = await make([replace(shot, wished_s=1.0)])
    assert (reel.shots, reel.slates, reel.pictures) == (1, 1, 24)
    assert len(reel.problems) == 1
    assert reel.problems[0].startswith("shot S07, take 1: clip.mp4 ")


async def test_without_slates_only_clips_are_in_the_reel(tmp_path: Path, make: Make) -> None:
    style = replace(PLAIN, has_slates=False)
    reel = await make([slate(), of_clip(coloured(tmp_path / "a.mp4", RED, 6))], style)
    assert (reel.shots, reel.slates, reel.pictures) == (1, 0, 6)
    with pytest.raises(LocationError, match="no shot has a clip"):
        await make([slate()], style)


async def test_a_reel_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, make: Make) -> None:
    (tmp_path / "reel.mp4").mkdir()
    with pytest.raises(LocationError, match=r"reel\.mp4"):
        await make([slate()])
    (tmp_path / "reel.mp4").rmdir()
    (tmp_path / "reel.mp4").write_bytes(b"old")
    (tmp_path / "cache").write_bytes(b"in the way")
    with pytest.raises(LocationError, match="cache"):
        await make([slate()])
    assert (tmp_path / "reel.mp4").read_bytes() == b"old"
