"""Clips as they come out: real files, decoded again."""

import io
import struct
import zlib
from itertools import pairwise

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from animatic.media.clips import ClipInfo, probe_clip
from animatic.sandbox.renderer.layers import split_layers
from animatic.sandbox.renderer.render import MAX_STILL_BYTES, open_still, render_clip

Grey = NDArray[np.float64]


def _file(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _texture(width: int, height: int, low: int, high: int, cell: int = 20) -> Image.Image:
    """Soft blotches: something to see a move by."""
    rng = np.random.default_rng(cell)
    grid = Image.fromarray(rng.integers(0, 256, (height // cell, width // cell), dtype=np.uint8))
    soft = np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(3)))
    return Image.fromarray((low + (high - low) * (soft / 255.0)).astype(np.uint8)).convert("RGB")


def _valley() -> Image.Image:
    """A dark, textured ground with a jagged edge before a bright, textured sky."""
    picture = _texture(1280, 720, 190, 250)
    ground = Image.new("L", picture.size, 0)
    edge = [(x, 430 + (37 * i * i) % 60) for i, x in enumerate(range(0, 1300, 40))]
    ImageDraw.Draw(ground).polygon([(0, 720), *edge, (1280, 720)], fill=255)
    picture.paste(_texture(1280, 720, 22, 38, cell=16), mask=ground)
    return picture


def _frames(clip: bytes) -> list[Grey]:
    with av.open(io.BytesIO(clip), "r") as container:
        return [frame.to_ndarray(format="gray").astype(np.float64) for frame in container.decode(video=0)]


def _render(still: Image.Image, prompt: str, aspect_ratio: str = "16:9", seed: int = 1) -> list[Grey]:
    data = _file(still, quality=92)
    return _frames(render_clip(data, prompt, aspect_ratio=aspect_ratio, duration_s=1, seed=seed))


def _shift(before: Grey, after: Grey) -> tuple[int, int]:
    """Return by how many pixels (right, down) one patch has moved in the other: phase correlation."""
    window = np.outer(np.hanning(before.shape[0]), np.hanning(before.shape[1]))
    spectra = [np.fft.fft2((patch - patch.mean()) * window) for patch in (before, after)]
    cross = spectra[1] * np.conj(spectra[0])
    peak = np.fft.ifft2(cross / (np.abs(cross) + 1e-3 * np.abs(cross).max())).real
    down, right = np.unravel_index(int(peak.argmax()), peak.shape)
    rows, columns = peak.shape
    return ((int(right) + columns // 2) % columns - columns // 2, (int(down) + rows // 2) % rows - rows // 2)


@pytest.fixture(scope="module")
def soft() -> Image.Image:
    return _texture(1280, 720, 60, 220)


def test_a_clip_is_exactly_what_was_asked_for(soft: Image.Image) -> None:
    clip = render_clip(_file(soft), "slow push in", aspect_ratio="16:9", duration_s=5, seed=1)

    container = "mov,mp4,m4a,3gp,3g2,mj2"
    assert probe_clip(clip) == ClipInfo(container, "h264", 1280, 720, fps=24.0, duration_s=5.0, frames=120)
    with av.open(io.BytesIO(clip), "r") as opened:
        assert sum(1 for _ in opened.decode(video=0)) == 120


def test_a_clip_can_be_played_in_a_browser_while_it_loads(soft: Image.Image) -> None:
    clip = render_clip(_file(soft), "pan left", aspect_ratio="9:16", duration_s=1, seed=1)

    facts = probe_clip(clip)
    assert (facts.width, facts.height) == (720, 1280)
    assert clip.index(b"moov") < clip.index(b"mdat")
    with av.open(io.BytesIO(clip), "r") as container:
        assert container.streams.video[0].pix_fmt == "yuv420p"
        assert container.streams.video[0].start_time in {0, None}


def test_the_same_order_gives_the_same_bytes_and_another_seed_another_take(soft: Image.Image) -> None:
    first, again, other = (
        render_clip(_file(soft), "handheld", aspect_ratio="16:9", duration_s=1, seed=seed) for seed in (4, 4, 6)
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("prompt", "right", "down"),
    [("pan right", -1, 0), ("truck left", 1, 0), ("tilt up", 0, 1)],
)
def test_the_content_moves_against_the_camera(prompt: str, right: int, down: int, soft: Image.Image) -> None:
    frames = _render(soft, prompt)
    moved = _shift(frames[8][160:560, 340:940], frames[15][160:560, 340:940])

    assert np.sign(moved[0]) == right
    assert np.sign(moved[1]) == down
    assert max(np.abs(moved)) > 20


@pytest.mark.parametrize(("prompt", "growth"), [("push in", 1), ("zoom out", -1)])
def test_going_in_magnifies_and_going_out_shows_more(prompt: str, growth: int, soft: Image.Image) -> None:
    frames = _render(soft, prompt)
    left = _shift(frames[8][200:520, 60:460], frames[15][200:520, 60:460])
    right = _shift(frames[8][200:520, 820:1220], frames[15][200:520, 820:1220])

    assert (right[0] - left[0]) * growth > 40


def test_a_static_shot_stays_as_it_is(soft: Image.Image) -> None:
    frames = _render(soft, "locked-off, no camera movement")

    assert max(np.abs(frame - frames[0]).mean() for frame in frames) < 1.0


def test_what_is_near_moves_farther_than_what_is_far() -> None:
    frames = _render(_valley(), "truck right")
    far = _shift(frames[8][40:360, 300:980], frames[15][40:360, 300:980])
    near = _shift(frames[8][540:700, 300:980], frames[15][540:700, 300:980])

    assert near[0] < 1.5 * far[0] < 0


def test_a_move_is_smooth_from_frame_to_frame() -> None:
    frames = _render(_valley(), "slow push in")
    steps = [float(np.abs(b - a).mean()) for a, b in pairwise(frames[6:18])]

    assert min(steps) > 0.0
    assert max(steps) < 2.5 * min(steps)


@pytest.mark.parametrize(
    ("prompt", "aspect_ratio"),
    [("fast pan right", "9:16"), ("crane up", "16:9"), ("handheld, pull out", "9:16"), ("orbit left", "16:9")],
)
def test_no_edge_of_the_still_is_ever_seen(prompt: str, aspect_ratio: str) -> None:
    bright = _texture(900, 800, 190, 250)

    assert min(float(frame.min()) for frame in _render(bright, prompt, aspect_ratio)) > 150


@pytest.mark.parametrize("size", [(900, 900), (2400, 500), (400, 1500)])
def test_the_frame_is_covered_without_distortion(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "white")
    radius = min(size) // 6
    centre = (size[0] // 2, size[1] // 2)
    ImageDraw.Draw(picture).ellipse(
        [centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius], fill="black"
    )
    frame = _render(picture, "static", "16:9" if size[0] > 600 else "9:16")[0]
    rows, columns = np.nonzero(frame < 128)
    tall, wide = rows.max() - rows.min(), columns.max() - columns.min()

    assert frame[:4].min() > 200
    assert wide == pytest.approx(tall, rel=0.02)


def test_a_picture_without_convincing_depth_stays_whole() -> None:
    assert len(split_layers(np.asarray(_texture(1280, 720, 60, 220, cell=160)))) == 1


def test_what_lies_behind_a_layer_holds_no_ghost_of_it() -> None:
    far, near = split_layers(np.asarray(_valley()))

    assert far.alpha is None
    assert near.alpha is not None
    assert float(far.rgb.min()) > 120
    assert near.alpha[-200:].min() == 255
    assert near.alpha[:400].max() == 0


# -- stills as they really come ----------------------------------------------------------------------------------


def test_a_still_on_its_side_is_put_upright() -> None:
    upright = _texture(640, 360, 40, 220)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = _file(upright.rotate(90, expand=True), quality=95, exif=exif)

    difference = np.asarray(open_still(lying), dtype=float) - np.asarray(upright, dtype=float)
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "CMYK", "1", "I;16"])
def test_any_kind_of_pixels_becomes_opaque_colour(mode: str) -> None:
    source = Image.new("L", (64, 36), 200)
    still = Image.fromarray(np.full((36, 64), 51_400, np.uint16)) if mode == "I;16" else source.convert(mode)
    image = open_still(_file(still, "JPEG" if mode == "CMYK" else "PNG"))

    assert image.mode == "RGB"
    assert 180 < np.asarray(image).mean() <= 255


def test_transparency_becomes_dark_not_garbage() -> None:
    image = open_still(_file(Image.new("RGBA", (64, 36), (255, 0, 0, 0)), "WEBP", lossless=True))

    assert np.asarray(image).max() < 40


def _png_that_claims(width: int, height: int) -> bytes:
    small = _file(Image.new("1", (8, 8)), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


@pytest.mark.parametrize(
    ("still", "says"),
    [
        (b"", "not an image"),
        (b"GIF89a" + bytes(100), "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (_file(Image.new("RGB", (64, 64)), "GIF"), "not an image"),
        (bytes(MAX_STILL_BYTES + 1), "20,971,520"),
        (_png_that_claims(8_000, 7_000), "56,000,000 pixels"),
        (_png_that_claims(12_000, 10_000), "too many pixels"),
        (_png_that_claims(60_000, 60_000), "too many pixels"),
        (_file(_texture(640, 360, 0, 255))[:9_000], "cut off"),
        (_file(_texture(640, 360, 0, 255), "PNG")[:9_000], "cut off"),
    ],
)
def test_a_hostile_still_is_refused_with_a_sentence(still: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        render_clip(still, "push in", aspect_ratio="16:9", duration_s=5, seed=1)


@pytest.mark.parametrize(("aspect_ratio", "duration_s"), [("4:3", 5), ("16:9", 0), ("16:9", 600)])
def test_an_unsupported_shape_or_length_is_refused(aspect_ratio: str, duration_s: int) -> None:
    with pytest.raises(ValueError, match="allowed"):
        render_clip(b"", "push in", aspect_ratio=aspect_ratio, duration_s=duration_s, seed=1)
