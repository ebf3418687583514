"""What a still is, told from its bytes: identity, format and size. Reads the image's header only, never its pixels."""

import hashlib
import io
from collections.abc import Callable

from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from animatic.manifest.images import MAX_STILL_BYTES, MAX_STILL_PIXELS, Still, StillFormat

__all__ = ["Still", "probe"]

# The readers by name instead of Image.open, which would warn, through the process-wide filters, below our own cap.
_READERS: dict[StillFormat, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
}
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
    try:
        with _READERS[form](io.BytesIO(data)) as image:
            width, height = image.size
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken header makes them stumble over
        return f"begins like a {form} image and cannot be read as one; is it cut off?"
    if width * height > MAX_STILL_PIXELS:
        return f"has {width} x {height} pixels, more than {MAX_STILL_PIXELS // 1_000_000} megapixels"
    return Still(hashlib.sha256(data).hexdigest(), len(data), width, height, form)


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
