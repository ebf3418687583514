"""Posters, strips and thumbnails of real clips and stills, judged by their pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from filmed import film, grey, turn
from PIL import Image

from animatic.media.processes import Processes
from animatic.media.strips import (
    STRIP_COLUMNS,
    STRIP_FRAMES,
    STRIP_WITHIN_S,
    Strip,
    find_strip,
    make_strip,
    make_thumbnail,
)

GREY_STEP = 5


def clip(path: Path, *, frames: int = 49, size: tuple[int, int] = (640, 360)) -> Path:
    """Write a clip whose frames grow lighter by a step each."""
    return film(path, [grey(GREY_STEP * number, size) for number in range(frames)])


def cells(strip: Strip, into: Path) -> list[np.ndarray]:
    with Image.open(into / strip.strip_name) as sheet:
        assert sheet.width == strip.columns * strip.width
        assert sheet.height == -(-strip.frames // strip.columns) * strip.height
        found = []
        for number in range(strip.frames):
            x, y = number % strip.columns * strip.width, number // strip.columns * strip.height
            found.append(np.asarray(sheet.crop((x, y, x + strip.width, y + strip.height))).astype(int))
    return found


def test_a_strip_runs_from_the_first_frame_to_the_last(tmp_path: Path) -> None:
    strip = make_strip(clip(tmp_path / "clip.mp4"), tmp_path / "small")
    assert (strip.frames, strip.columns, strip.width, strip.height) == (STRIP_FRAMES, STRIP_COLUMNS, 240, 135)
    lightness = [cell[60:, 100:].mean() for cell in cells(strip, tmp_path / "small")]
    wanted = [GREY_STEP * round(number * 48 / 15) for number in range(16)]
    assert np.abs(np.array(lightness) - wanted).max() < 5


def test_the_poster_is_the_first_frame_at_480_pixels(tmp_path: Path) -> None:
    strip = make_strip(clip(tmp_path / "clip.mp4"), tmp_path)
    with Image.open(tmp_path / strip.poster_name) as poster:
        assert (
            (poster.format, poster.size) == ("JPEG", (480, 270)) == ("JPEG", (strip.poster_width, strip.poster_height))
        )
        red, grey = np.asarray(poster)[30, 60], np.asarray(poster)[200, 300]
    assert red[0] > 200
    assert grey.max() < 12


def test_few_frames_make_a_short_strip_and_small_ones_stay_small(tmp_path: Path) -> None:
    strip = make_strip(clip(tmp_path / "clip.mp4", frames=3, size=(64, 36)), tmp_path)
    assert (strip.frames, strip.columns, strip.width, strip.poster_width) == (3, 3, 64, 64)


def test_a_clip_that_is_shown_turned_has_a_turned_strip(tmp_path: Path) -> None:
    strip = make_strip(turn(clip(tmp_path / "plain.mp4"), tmp_path / "turned.mp4"), tmp_path)
    assert (strip.width, strip.height) == (240, 427)
    corner = cells(strip, tmp_path)[0]
    reds = {name: place[0] > 180 for name, place in {
        "top right": corner[20, 220], "top left": corner[20, 20], "bottom left": corner[400, 20]}.items()}  # fmt: skip
    assert reds == {"top right": True, "top left": False, "bottom left": False}


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4")
    first = make_strip(path, tmp_path / "small")
    before = (tmp_path / "small" / first.strip_name).stat()
    again = make_strip(path, tmp_path / "small")
    assert again == first == find_strip(first.sha256, tmp_path / "small")
    assert (tmp_path / "small" / first.strip_name).stat() == before
    path.unlink()
    assert make_strip(path, tmp_path / "small", sha256=first.sha256) == first


@pytest.mark.parametrize("damage", [b"", b"\xff\xd8\xff\xe0 cut", b"no picture"])
def test_a_broken_strip_or_a_missing_poster_is_made_again(tmp_path: Path, damage: bytes) -> None:
    path = clip(tmp_path / "clip.mp4", frames=4)
    first = make_strip(path, tmp_path)
    (tmp_path / first.strip_name).write_bytes(damage)
    assert find_strip(first.sha256, tmp_path) is None
    assert make_strip(path, tmp_path) == first
    (tmp_path / first.poster_name).unlink()
    assert make_strip(path, tmp_path) == first
    assert (tmp_path / first.poster_name).is_file()


def test_another_clip_than_the_archived_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the clip that was archived"):
        make_strip(clip(tmp_path / "clip.mp4", frames=2), tmp_path, sha256="0" * 64)


@pytest.mark.parametrize(
    "data", [b"", b"<svg/>", b"#EXTM3U\n#EXTINF:5,\n/etc/hostname\n#EXT-X-ENDLIST\n", b"ffconcat version 1.0\n"]
)
def test_what_is_no_clip_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(data)
    with pytest.raises(ValueError, match="cannot be decoded"):
        make_strip(tmp_path / "x.mp4", tmp_path)


async def test_strips_are_made_in_a_process_and_faults_come_back(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", frames=5)
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 900)
    async with Processes(1) as processes:
        strip = await processes.run(STRIP_WITHIN_S, make_strip, path, tmp_path)
        assert strip == find_strip(strip.sha256, tmp_path)
        with pytest.raises(ValueError, match="cannot be decoded"):
            await processes.run(STRIP_WITHIN_S, make_strip, tmp_path / "bad.mp4", tmp_path)


def still(path: Path, *, size: tuple[int, int] = (900, 600), orientation: int = 1, form: str = "JPEG") -> Path:
    picture = Image.new("RGB", size, (20, 90, 200))
    picture.paste((250, 10, 10), (0, 0, size[0] // 4, size[1] // 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, form, exif=exif)
    return path


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_thumbnail_is_480_pixels_wide_and_uncropped(tmp_path: Path, form: str) -> None:
    shown = make_thumbnail(still(tmp_path / "still", form=form), tmp_path / "small")
    assert (shown.width, shown.height) == (480, 320)
    assert make_thumbnail(tmp_path / "still", tmp_path / "small") == shown
    with Image.open(tmp_path / "small" / shown.name) as picture:
        assert picture.size == (480, 320)


def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    shown = make_thumbnail(still(tmp_path / "still.jpg", orientation=6), tmp_path)
    assert (shown.width, shown.height) == (480, 720)
    with Image.open(tmp_path / shown.name) as picture:
        pixels = np.asarray(picture).astype(int)
    assert pixels[20, 460][0] > 200
    assert pixels[20, 20][0] < 80


def test_a_transparent_still_lies_on_white(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(out, "PNG")
    (tmp_path / "clear.png").write_bytes(out.getvalue())
    shown = make_thumbnail(tmp_path / "clear.png", tmp_path)
    with Image.open(tmp_path / shown.name) as picture:
        assert np.asarray(picture).min() > 250


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_still_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(ValueError, match=r"is empty|not a JPEG|cannot be read"):
        make_thumbnail(tmp_path / "x.jpg", tmp_path)
    assert not list(tmp_path.glob("*.still.jpg"))
