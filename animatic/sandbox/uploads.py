"""Stills, audio and video that were uploaded: files in the sandbox's folder, named by content. Fetches nothing."""

import hashlib
import io
import re
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from animatic.sandbox.catalogue import InvalidInputError
from animatic.sandbox.folder import write_whole
from animatic.sandbox.loopback import is_address, is_loopback

MAX_UPLOAD_BYTES = 20_000_000
_MAX_PIXELS = 60_000_000
_FORMATS = ("PNG", "JPEG", "WEBP")
_SUFFIX_OF = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp"}  # MPO: the JPEG that many phones write
SUFFIX_OF_TYPE = {
    "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp",
    "audio/mpeg": ".mp3", "audio/wav": ".wav", "audio/aac": ".aac", "audio/flac": ".flac", "audio/ogg": ".ogg",
    "audio/mp4": ".m4a", "video/mp4": ".mp4", "video/quicktime": ".mov", "video/webm": ".webm",
}  # fmt: skip
_SIGNATURES = (
    (re.compile(rb"ID3|\xff[\xfb\xf3\xf2\xfa]"), ".mp3"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), ".wav"),
    (re.compile(rb"\xff[\xf1\xf9]"), ".aac"),
    (re.compile(rb"fLaC"), ".flac"),
    (re.compile(rb"OggS"), ".ogg"),
    (re.compile(rb"....ftypM4A", re.DOTALL), ".m4a"),
    (re.compile(rb"....ftypqt", re.DOTALL), ".mov"),
    (re.compile(rb"....ftyp(?!hei|mif|avif)", re.DOTALL), ".mp4"),
    (re.compile(rb"\x1aE\xdf\xa3"), ".webm"),
)
"""First bytes of audio and video; nothing else of these is looked at."""

_NAME = re.compile(r"[0-9a-f]{32}(\.(png|jpg|webp|mp3|wav|aac|flac|ogg|m4a|mp4|mov|webm))?")


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
            write_whole(target, still)

    def find(self, name: str) -> Path | None:
        """Return the file of that name, if it is one of ours."""
        path = self._folder / name
        return path if _NAME.fullmatch(name) and path.is_file() else None

    def find_by_url(self, url: str) -> Path | None:
        """Return the file behind an upload's URL, whichever address and port it was given out on."""
        name = uploaded_name(url)
        return self.find(name) if name else None


def media_type_of(path: Path) -> str:
    """Of a still that is kept, by its first bytes where its name does not say."""
    with path.open("rb") as file:
        start = file.read(16)
    picture = ".png" if start.startswith(b"\x89PNG") else ".webp" if start.startswith(b"RIFF") else ".jpg"
    suffix = path.suffix or _media_suffix(start) or picture
    return next(media_type for media_type, each in SUFFIX_OF_TYPE.items() if each == suffix)


def uploaded_name(url: str) -> str | None:
    """Return the name in a URL that a sandbox gave out, at whichever address, or None for any other URL or text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    folder, _, name = parts.path.rpartition("/")
    host = parts.hostname or ""
    is_ours = is_loopback(host) or (is_address(host) and _NAME.fullmatch(name) is not None)
    return name if folder == "/uploads" and is_ours else None


def _media_suffix(start: bytes) -> str | None:
    return next((suffix for signature, suffix in _SIGNATURES if signature.match(start)), None)


def _suffix_of(still: bytes) -> str:
    """By its content, never by its name or the type that the client claims."""
    media = _media_suffix(still)
    if media is not None:
        return media
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(still), formats=_FORMATS) as image:
            width_px, height_px = image.size
            found = str(image.format)
            image.verify()
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever a broken file makes them stumble over
        raise InvalidInputError("file: not a PNG, JPEG or WebP image that can be read, nor audio or video") from None
    if width_px * height_px > _MAX_PIXELS:
        raise InvalidInputError(f"file: {width_px}x{height_px} pixels; at most {_MAX_PIXELS:,} in all")
    return _SUFFIX_OF[found]
