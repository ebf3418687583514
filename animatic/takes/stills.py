"""Local files that shots send: identity, format and size, and the limits that WaveSpeed has for them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

MAX_STILL_BYTES = 20 << 20
MAX_STILL_PIXELS = 100_000_000
MAX_MEDIA_BYTES = 200 << 20
"""Of an audio or video file. Source: WaveSpeed's SDK caps uploads that it cannot rewind at 200 MB; not tried live."""

MIN_SIDE_PIXELS = 720
MOST_CUT_AWAY = 0.125
"""Share of a still that a clip of another shape may leave out before it is worth a note."""

StillFormat: TypeAlias = Literal["JPEG", "PNG", "WEBP"]


class MediaForm(NamedTuple):
    """Form of an audio or video file.

    Attributes:
        container: FFmpeg's name of it.
    """

    kind: Literal["audio", "video"]
    container: str
    media_type: str


MEDIA_FORMS: Mapping[str, MediaForm] = {
    ".mp3": MediaForm("audio", "mp3", "audio/mpeg"),
    ".wav": MediaForm("audio", "wav", "audio/wav"),
    ".m4a": MediaForm("audio", "mov", "audio/mp4"),
    ".aac": MediaForm("audio", "aac", "audio/aac"),
    ".flac": MediaForm("audio", "flac", "audio/flac"),
    ".ogg": MediaForm("audio", "ogg", "audio/ogg"),
    ".mp4": MediaForm("video", "mov", "video/mp4"),
    ".mov": MediaForm("video", "mov", "video/quicktime"),
    ".webm": MediaForm("video", "matroska", "video/webm"),
}
"""By the suffix of the file's name."""


class Shape:
    """Width and height of a still in pixels, as it is shown: a photo that was taken upright is upright."""

    __slots__ = ()
    width: int
    height: int

    @property
    def is_small(self) -> bool:
        """Tell if it is below 720p, the least that the API advises."""
        return min(self.width, self.height) < MIN_SIDE_PIXELS

    def fits(self, ratio: str) -> bool:
        """Tell if a clip of this shape, `16:9`, can show nearly all of it."""
        wide, _, high = ratio.partition(":")
        across, along = self.width * int(high), self.height * int(wide)
        return min(across, along) >= (1 - MOST_CUT_AWAY) * max(across, along)


@dataclass(frozen=True, slots=True)
class Still(Shape):
    """Still behind a relative path that exists and can be uploaded.

    Attributes:
        sha256: of its bytes, in hex; it stands for the still in fingerprints.
        is_embedded: its bytes lie in the manifest's own file; there is no other place to read it from.
    """

    sha256: str
    size_bytes: int
    width: int
    height: int
    format: StillFormat
    is_embedded: bool = False

    @property
    def suffix(self) -> str:
        """Suffix that its upload is called by."""
        return f".{self.format.lower()}".replace(".jpeg", ".jpg")

    @property
    def media_type(self) -> str:
        """Type that its upload is sent with."""
        return f"image/{self.format.lower()}"


@dataclass(frozen=True, slots=True)
class MediaFile:
    """Audio or video file behind a relative path that exists and can be uploaded.

    Attributes:
        sha256: of its bytes, in hex; it stands for the file in fingerprints.
        suffix: one of MEDIA_FORMS.
    """

    sha256: str
    size_bytes: int
    suffix: str

    @property
    def media_type(self) -> str:
        """Type that its upload is sent with."""
        return MEDIA_FORMS[self.suffix].media_type


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Local file that a shot sends.

    Attributes:
        identity: what stands for it in inputs and fingerprints, `sha256:<hex>` of its bytes.
        path: as in the manifest.
        shot_id: of a shot that sends it.
    """

    identity: str
    path: str
    shot_id: str


@dataclass(frozen=True, slots=True)
class MissingStill:
    """Relative path without a file.

    Attributes:
        near: path of a file that may be meant, or None.
    """

    near: str | None = None


FoundStill: TypeAlias = Still | MediaFile | MissingStill | str
"""The thing at a relative path: a still, audio or video, nothing, or the reason why it cannot be used."""


def media_suffix(path: str) -> str | None:
    """Return the suffix of a path that names an audio or video file, in lower case; else None."""
    suffix = f".{path.rpartition('.')[2].lower()}"
    return suffix if suffix in MEDIA_FORMS else None


def most_bytes(path: str) -> int:
    """Return how large the file at a path may be."""
    return MAX_STILL_BYTES if media_suffix(path) is None else MAX_MEDIA_BYTES
