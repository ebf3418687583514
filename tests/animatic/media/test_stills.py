import hashlib
import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from animatic.media.stills import find_damage, probe
from animatic.takes.stills import Still


def drawn(form: str, width: int = 64, height: int = 48) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height), (20, 60, 120)).save(data, form)
    return data.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + drawn("PNG")[33:]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_stills_format_is_read_from_its_bytes(form: str) -> None:
    data = drawn(form)
    assert probe(data) == Still(hashlib.sha256(data).hexdigest(), len(data), 64, 48, form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (drawn("GIF"), "is a GIF, not a JPEG, PNG or WebP image"),
        (b"\0\0\0\x1cftypheic", "is a HEIC or AVIF image or a video, not"),
        (b"<html>", "is text such as HTML or SVG, not"),
        (b"hello", "is something else, not"),
        (drawn("PNG")[:12], "begins like a PNG image and cannot be read as one"),
        (drawn("JPEG")[:20], "begins like a JPEG image and cannot be read as one"),
        (drawn("WEBP")[:16], "begins like a WEBP image and cannot be read as one"),
        (drawn("PNG") + b"\0" * (20 << 20), "is larger than 20 MiB"),
        (png_that_claims(10_001, 10_000), "has 10001 x 10000 pixels, more than 100 megapixels"),
    ],
)
def test_an_unusable_still_is_refused_with_a_sentence(data: bytes, sentence: str) -> None:
    found = probe(data)
    assert isinstance(found, str)
    assert found.startswith(sentence)


def test_a_large_still_below_our_cap_is_no_warning() -> None:
    found = probe(png_that_claims(9_999, 10_000))
    assert isinstance(found, Still)


@pytest.mark.parametrize(("width", "height", "small"), [(1280, 720, False), (720, 1280, False), (1280, 719, True)])
def test_a_still_below_720p_is_small(width: int, height: int, small: bool) -> None:
    found = probe(png_that_claims(width, height))
    assert isinstance(found, Still)
    assert found.is_small is small


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_large_still_is_looked_at_a_piece_at_a_time(form: str, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(drawn(form) + bytes(19 << 20))
    with (tmp_path / "large").open("rb") as file:
        tracemalloc.start()
        found = probe(file)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(found, Still)
    assert found.sha256 == hashlib.sha256((tmp_path / "large").read_bytes()).hexdigest()
    assert peak_bytes < 4 << 20


@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
def test_damaged_bytes_never_raise(form: str, data: st.DataObject) -> None:
    damaged = bytearray(drawn(form))
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, min(len(damaged), 120) - 1))] = data.draw(st.integers(0, 255))
    found = probe(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    assert isinstance(found, Still | str)


def noise(form: str, width: int = 320, height: int = 200, **options: object) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(data, form, **options)
    return data.getvalue()


def damage_of(data: bytes) -> str | None:
    still = probe(data)
    assert isinstance(still, Still)
    return find_damage(io.BytesIO(data), still)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_whole_still_has_no_damage(form: str) -> None:
    assert damage_of(noise(form)) is None
    assert damage_of(noise(form, 3, 2)) is None


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 30}])
@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_every_sort_of_jpeg_is_decoded(mode: str, options: dict[str, object]) -> None:
    data = io.BytesIO()
    Image.effect_noise((90, 60), 60).convert(mode).save(data, "JPEG", **options)
    assert damage_of(data.getvalue()) is None
    assert damage_of(data.getvalue()[:-300]) is not None


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_still_is_damaged_though_its_header_is_whole(form: str, share: float) -> None:
    data = noise(form)
    cut = data[: int(len(data) * share)]
    found = probe(cut)
    why = found if isinstance(found, str) else find_damage(io.BytesIO(cut), found)
    assert why is not None
    assert why.startswith(f"begins like a {form} image")


def test_pixels_that_cannot_be_unpacked_are_damage() -> None:
    data = bytearray(noise("PNG"))
    at = data.index(b"IDAT") + 40
    data[at : at + 200] = bytes(200)
    assert damage_of(bytes(data)) == "begins like a PNG image and is damaged: its pixels cannot be decoded"


def test_a_picture_that_claims_more_than_it_holds_is_damage() -> None:
    found = probe(png_that_claims(9_000, 9_000))
    assert isinstance(found, Still)
    assert find_damage(io.BytesIO(png_that_claims(9_000, 9_000)), found) is not None


@pytest.mark.sandbox
def test_a_large_jpeg_is_decoded_in_little_memory() -> None:
    data = io.BytesIO()
    Image.new("L", (9_000, 9_000), 128).save(data, "JPEG")
    script = (
        "import io, resource, sys; from animatic.media.stills import find_damage, probe;"
        "data = sys.stdin.buffer.read();"
        "still = probe(data); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "assert find_damage(io.BytesIO(data), still) is None;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown_kb = subprocess.run([sys.executable, "-c", script], input=data.getvalue(), capture_output=True, check=True)
    assert int(grown_kb.stdout) < 20_000, "81 megapixels in full would be 80 MB"


def with_orientation(value: int, order: str = "II") -> bytes:
    data, number = io.BytesIO(), {"II": "<", "MM": ">"}[order]
    exif = order.encode() + struct.pack(f"{number}HIHHHIHH", 42, 8, 1, 0x0112, 3, 1, value, 0) + bytes(4)
    Image.new("RGB", (64, 48)).save(data, "JPEG", exif=b"Exif\0\0" + exif)
    return data.getvalue()


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (3, (64, 48)), (6, (48, 64)), (8, (48, 64))])
def test_a_photo_that_was_taken_upright_is_upright(order: str, orientation: int, size: tuple[int, int]) -> None:
    found = probe(with_orientation(orientation, order))
    assert isinstance(found, Still)
    assert (found.width, found.height) == size


@given(st.binary(max_size=60))
def test_exif_that_is_broken_says_nothing(data: bytes) -> None:
    drawn_ = io.BytesIO()
    Image.new("RGB", (64, 48)).save(drawn_, "PNG", exif=b"II*\0" + data)
    assert isinstance(probe(drawn_.getvalue()), Still)


@pytest.mark.parametrize(
    ("size", "fitting"),
    [
        ((1920, 1080), ["16:9"]),
        ((1600, 1000), ["16:9"]),
        ((1080, 1920), ["9:16"]),
        ((1000, 1000), []),
        ((4000, 3000), []),
    ],
)
def test_a_still_fits_a_shape_that_shows_nearly_all_of_it(size: tuple[int, int], fitting: list[str]) -> None:
    assert [ratio for ratio in ("16:9", "9:16") if Still("", 1, *size, "PNG").fits(ratio)] == fitting
