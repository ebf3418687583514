"""Identity, format and size of a still from its header; and whether all of its pixels can be decoded."""

import hashlib
import io
import struct
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, BinaryIO

from animatic.takes.stills import MAX_STILL_BYTES, MAX_STILL_PIXELS, Still, StillFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.ImageFile import ImageFile

__all__ = ["START_BYTES", "Still", "fault_of_start", "find_damage", "probe", "probe_header"]

_OTHER_FORMS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF"),
    (b"<", "text such as HTML or SVG"),
    (b"{", "text such as JSON"),
)


TOO_LARGE = f"is larger than {MAX_STILL_BYTES >> 20} MiB"

START_BYTES = 64
_CHUNK_BYTES = 1 << 20

_LARGE_PIXELS = 10_000_000
_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})
"""Values of EXIF's orientation by which rows of pixels are shown as columns."""

_one_header_at_a_time = threading.Lock()
"""Pillow keeps whole segments of a header, and all of a WebP: up to 20 MiB, however many stills are looked at."""

_one_large_at_a_time = threading.Lock()
"""A still of 100 megapixels takes 400 MB while it is decoded."""


def probe(data: bytes | BinaryIO) -> Still | str:
    """Return the still in a file, or its fault in words that follow the file's name (`is empty`).

    Reads a file a MiB at a time. Raises OSError where that fails.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.read(START_BYTES)
    if not start:
        return "is empty"
    digest, size_bytes = _digest_of(start, file)
    if size_bytes > MAX_STILL_BYTES:
        return TOO_LARGE
    header = probe_header(start, file)
    return header if isinstance(header, str) else Still(digest, size_bytes, *header)


def probe_header(start: bytes, file: BinaryIO) -> tuple[int, int, StillFormat] | str:
    """Return width, height and format of the still that a file begins with, or its fault as `probe` does.

    The end of a large file need not be there; `start` are its first bytes, START_BYTES of them where there are so many.
    """
    form = _format_of(start)
    if form is None:
        return f"is {_other_form_of(start)}, not a JPEG, PNG or WebP image"
    read = _reader(form)
    file.seek(0)
    try:
        with _one_header_at_a_time, read(file) as image:
            width, height = image.size
            if _is_turned(image.info.get("exif", b"")):
                width, height = height, width
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken header makes them stumble over
        return f"begins like a {form} image and cannot be read as one; is it cut off?"
    if width * height > MAX_STILL_PIXELS:
        return f"has {width} x {height} pixels, more than {MAX_STILL_PIXELS // 1_000_000} megapixels"
    return width, height, form


def fault_of_start(start: bytes) -> str | None:
    """Return the fault of a file that begins like no still, given START_BYTES of it or all; None for one that may."""
    return None if _format_of(start) else f"is {_other_form_of(start)}, not a JPEG, PNG or WebP image"


def find_damage(file: BinaryIO, still: Still) -> str | None:
    """Decode all pixels of a still; return its fault in words that follow the file's name, None for a sound one.

    A JPEG is decoded at an eighth of its size: every bit of it is read, in a fraction of the time and the memory.
    """
    file.seek(0)
    try:
        with _room_for(still), _reader(still.format)(file) as image:
            image.draft("L", (max(image.width // 8, 1), max(image.height // 8, 1)))
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever broken data makes them stumble over
        how = "is cut off" if "truncated" in str(error) else "is damaged"
        return f"begins like a {still.format} image and {how}: its pixels cannot be decoded"
    return None


def _room_for(still: Still) -> AbstractContextManager[object]:
    return _one_large_at_a_time if still.width * still.height > _LARGE_PIXELS else nullcontext()


def _is_turned(exif: bytes) -> bool:
    """Tell if a photo is shown turned by a quarter. EXIF that is broken says nothing; Pillow's reader would warn."""
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return False
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, at)
            if tag == _ORIENTATION:
                return value in _TURNED
    except struct.error:
        pass
    return False


def _digest_of(start: bytes, file: BinaryIO) -> tuple[str, int]:
    """Return the hash and size of a file whose start was read. A file that is too large has no hash."""
    digest, size_bytes = hashlib.sha256(start), len(start)
    while size_bytes <= MAX_STILL_BYTES and (chunk := file.read(_CHUNK_BYTES)):
        digest.update(chunk)
        size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes


def _reader(form: StillFormat) -> "Callable[[BinaryIO], ImageFile]":
    """Pillow's reader by name instead of Image.open, which would warn, through process-wide filters, below our cap."""
    from PIL.JpegImagePlugin import JpegImageFile  # noqa: PLC0415 - a manifest of URLs need not wait for Pillow
    from PIL.PngImagePlugin import PngImageFile  # noqa: PLC0415
    from PIL.WebPImagePlugin import WebPImageFile  # noqa: PLC0415

    readers: dict[StillFormat, Callable[[BinaryIO], ImageFile]] = {
        "JPEG": JpegImageFile,
        "PNG": PngImageFile,
        "WEBP": WebPImageFile,
    }
    return readers[form]


def _format_of(data: bytes) -> StillFormat | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _other_form_of(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "a HEIC or AVIF image or a video"
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((form for signature, form in _OTHER_FORMS if text.startswith(signature)), "something else")
