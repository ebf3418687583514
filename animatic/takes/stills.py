"""Local still: its identity, format and size, and the limits that WaveSpeed has for it. Pure."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

MAX_STILL_BYTES = 20 << 20
MAX_STILL_PIXELS = 100_000_000
MIN_SIDE_PIXELS = 720
MOST_CUT_AWAY = 0.125
"""Share of a still that a clip of another shape may leave out before it is worth a note."""

StillFormat: TypeAlias = Literal["JPEG", "PNG", "WEBP"]


@dataclass(frozen=True, slots=True)
class Still:
    """Still behind a relative path that exists and can be uploaded.

    Attributes:
        sha256: of its bytes, in hex; it stands for the still in fingerprints.
        width, height: in pixels, as it is shown: a photo that was taken upright is upright.
    """

    sha256: str
    size_bytes: int
    width: int
    height: int
    format: StillFormat

    @property
    def is_small(self) -> bool:
        """Tell if it is below 720p, the least that the API advises."""
        return min(self.width, self.height) < MIN_SIDE_PIXELS

    def fits(self, aspect_ratio: str) -> bool:
        """Tell if a clip of this shape, `16:9`, can show nearly all of it."""
        wide, _, high = aspect_ratio.partition(":")
        across, along = self.width * int(high), self.height * int(wide)
        return min(across, along) >= (1 - MOST_CUT_AWAY) * max(across, along)


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


FoundStill: TypeAlias = Still | MissingStill | str
"""The thing at a relative path: a still, nothing, or the reason why it cannot be used."""
