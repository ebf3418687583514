import hashlib
import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from animatic.media.stills import probe
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
