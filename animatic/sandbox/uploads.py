"""Stills that were uploaded: files in the sandbox's folder, named by their content. Never fetches anything."""

import hashlib
import io
import re
import secrets
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from animatic.sandbox.catalogue import InvalidInputError
from animatic.sandbox.loopback import is_loopback

MAX_UPLOAD_BYTES = 20_000_000
_MAX_PIXELS = 60_000_000
_FORMATS = ("PNG", "JPEG", "WEBP")
_SUFFIX_OF = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp"}  # MPO: the JPEG that many phones write
SUFFIX_OF_TYPE = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
_NAME = re.compile(r"[0-9a-f]{32}(\.(png|jpg|webp))?")


class Uploads:
    """The uploads of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)

    def store(self, still: bytes) -> str:
        """Keep a still; the name it goes by, the same for equal bytes. Raises InvalidInputError for anything else."""
        name = hashlib.sha256(still).hexdigest()[:32] + _suffix_of(still)
        self._write(name, still)
        return name

    def store_as(self, name: str, still: bytes) -> None:
        """Keep a still under a name given out before. Raises InvalidInputError for no still, or not of its suffix."""
        found, suffix = _suffix_of(still), name[32:]
        if suffix and found != suffix:
            raise InvalidInputError(f"file: the ticket is for {suffix}, and this is {found}")
        self._write(name, still)

    def _write(self, name: str, still: bytes) -> None:
        target = self._folder / name
        if not target.exists():
            unfinished = self._folder / f"{secrets.token_hex(8)}.part"
            unfinished.write_bytes(still)
            unfinished.replace(target)

    def find(self, name: str) -> Path | None:
        """Return the file of that name, if it is one of ours."""
        path = self._folder / name
        return path if _NAME.fullmatch(name) and path.is_file() else None

    def find_by_url(self, url: str) -> Path | None:
        """Return the file behind an upload's URL, whichever port it was given out on."""
        name = uploaded_name(url)
        return self.find(name) if name else None


def media_type_of(path: Path) -> str:
    """Of a still that is kept, by its first bytes where its name does not say."""
    with path.open("rb") as file:
        start = file.read(4)
    suffix = path.suffix or (".png" if start == b"\x89PNG" else ".webp" if start == b"RIFF" else ".jpg")
    return next(media_type for media_type, each in SUFFIX_OF_TYPE.items() if each == suffix)


def uploaded_name(url: str) -> str | None:
    """Return the name in a URL that a sandbox on this machine gave out, or None for any other URL or text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    folder, _, name = parts.path.rpartition("/")
    return name if folder == "/uploads" and is_loopback(parts.hostname or "") else None


def _suffix_of(still: bytes) -> str:
    """By its content, never by its name or the type that the client claims."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(still), formats=_FORMATS) as image:
            width_px, height_px = image.size
            found = str(image.format)
            image.verify()
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken file makes them stumble over
        raise InvalidInputError("file: not a PNG, JPEG or WebP image that can be read") from None
    if width_px * height_px > _MAX_PIXELS:
        raise InvalidInputError(f"file: {width_px}x{height_px} pixels; at most {_MAX_PIXELS:,} in all")
    return _SUFFIX_OF[found]
