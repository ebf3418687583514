"""Local still: its identity, format and size, and the limits that WaveSpeed has for it. Pure."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

MAX_STILL_BYTES = 20 << 20
MAX_STILL_PIXELS = 100_000_000
MIN_SIDE_PIXELS = 720

StillFormat: TypeAlias = Literal["JPEG", "PNG", "WEBP"]


@dataclass(frozen=True, slots=True)
class Still:
    """Still behind a relative path that exists and can be uploaded.

    Attributes:
        sha256: of its bytes, in hex; it stands for the still in fingerprints.
        width, height: in pixels, as stored.
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
