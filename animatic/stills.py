"""What a still is, told from its bytes: identity, format and size. Reads the image's header only, never its pixels."""

import hashlib
import io
from typing import TYPE_CHECKING

from animatic.manifest.images import MAX_STILL_BYTES, MAX_STILL_PIXELS, Still, StillFormat

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


def probe(data: bytes) -> Still | str:
    """The still in `data`, or what is wrong with it, to be read after the file's name (`is empty`)."""
    if not data:
        return "is empty"
    if len(data) > MAX_STILL_BYTES:
        return f"is larger than {MAX_STILL_BYTES >> 20} MiB"
    form = _format_of(data)
    if form is None:
        return f"is {_other_form_of(data)}, not a JPEG, PNG or WebP image"
    read = _reader(form)
    try:
        with read(io.BytesIO(data)) as image:
            width, height = image.size
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken header makes them stumble over
        return f"begins like a {form} image and cannot be read as one; is it cut off?"
    if width * height > MAX_STILL_PIXELS:
        return f"has {width} x {height} pixels, more than {MAX_STILL_PIXELS // 1_000_000} megapixels"
    return Still(hashlib.sha256(data).hexdigest(), len(data), width, height, form)


def _reader(form: StillFormat) -> "Callable[[io.BytesIO], ImageFile]":
    """Pillow's reader by name instead of Image.open, which would warn, through process-wide filters, below our cap."""
    from PIL.JpegImagePlugin import JpegImageFile  # noqa: PLC0415 - a manifest of URLs need not wait for Pillow
    from PIL.PngImagePlugin import PngImageFile  # noqa: PLC0415
    from PIL.WebPImagePlugin import WebPImageFile  # noqa: PLC0415

    readers: dict[StillFormat, Callable[[io.BytesIO], ImageFile]] = {
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
