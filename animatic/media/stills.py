"""Identity, format and size of a still, from its bytes. Reads the image's header only, never its pixels."""

import hashlib
import io
import threading
from typing import TYPE_CHECKING, BinaryIO

from animatic.takes.stills import MAX_STILL_BYTES, MAX_STILL_PIXELS, Still, StillFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.ImageFile import ImageFile

__all__ = ["Still", "probe"]

_OTHER_FORMS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF"),
    (b"<", "text such as HTML or SVG"),
)


_START_BYTES = 64
_CHUNK_BYTES = 1 << 20

_one_header_at_a_time = threading.Lock()
"""Pillow keeps whole segments of a header, and all of a WebP: up to 20 MiB, however many stills are looked at."""


def probe(data: bytes | BinaryIO) -> Still | str:
    """Return the still in a file, or its fault in words that follow the file's name (`is empty`).

    Reads a file a MiB at a time. Raises OSError where that fails.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.read(_START_BYTES)
    if not start:
        return "is empty"
    digest, size_bytes = _digest_of(start, file)
    if size_bytes > MAX_STILL_BYTES:
        return f"is larger than {MAX_STILL_BYTES >> 20} MiB"
    form = _format_of(start)
    if form is None:
        return f"is {_other_form_of(start)}, not a JPEG, PNG or WebP image"
    read = _reader(form)
    file.seek(0)
    try:
        with _one_header_at_a_time, read(file) as image:
            width, height = image.size
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken header makes them stumble over
        return f"begins like a {form} image and cannot be read as one; is it cut off?"
    if width * height > MAX_STILL_PIXELS:
        return f"has {width} x {height} pixels, more than {MAX_STILL_PIXELS // 1_000_000} megapixels"
    return Still(digest, size_bytes, width, height, form)


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
    return next((form for signature, form in _OTHER_FORMS if data.startswith(signature)), "something else")
