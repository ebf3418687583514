"""One picture of many clips: the middle frame of each, with its name, for people who would rather look than read."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from animatic.media.frames import fitted, frames_of, opened_clip, pixel_ratio
from animatic.media.grids import Grid

CELL = (320, 180)
GRID = Grid(columns=4, cell=CELL, gap=12, caption=22, letters=13, lead=4)
MOST_CLIPS = 200


def draw_contact_sheet(clips: Sequence[tuple[str, Path]]) -> bytes:
    """Draw a JPEG with the middle frame of each (caption, clip), in order, four a row; the first 200 clips."""
    shown = clips[:MOST_CLIPS]
    sheet = GRID.draw(((caption, middle_frame(clip, CELL)) for caption, clip in shown), len(shown))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=82, optimize=True)
    return out.getvalue()


def middle_frame(clip: Path, box: tuple[int, int]) -> Image.Image:
    """Return the frame half-way through a clip, made smaller to fit into a box; the first where there are fewer.

    Raises:
        ValueError: it cannot be decoded; in a sentence.
    """
    picture = None
    try:
        with opened_clip(clip) as container:
            wanted, ratio = (container.streams.video[0].frames or 1) // 2, pixel_ratio(container)
            for index, frame in enumerate(frames_of(container)):
                if index >= wanted or picture is None:
                    picture = fitted(frame, ratio, box)
                if index >= wanted:
                    break
    except ValueError as error:
        raise ValueError(f"{clip.name} {error}") from None
    if picture is None:
        raise ValueError(f"{clip.name} has no frame in it")
    return picture
