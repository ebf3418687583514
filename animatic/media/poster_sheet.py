"""A small picture of many posters, for places that show one picture of limited size."""

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from animatic.media.grids import Grid

MOST_POSTERS = 48
CELL = (144, 81)
GRID = Grid(columns=8, cell=CELL, gap=6, caption=14, letters=9, lead=2)
QUALITIES = (70, 55, 40, 25, 10)


def draw_poster_sheet(posters: Sequence[tuple[str, bytes]], most_bytes: int) -> bytes | None:
    """Draw a JPEG of posters with their captions, the first 48 of them; None where it cannot be so small.

    Posters that cannot be read are left out.
    """
    pictures = [(caption, picture) for caption, data in posters[:MOST_POSTERS] if (picture := _small(data))]
    if not pictures:
        return None
    sheet = replace(GRID, columns=min(GRID.columns, len(pictures))).draw(pictures, len(pictures))
    for quality in QUALITIES:
        out = io.BytesIO()
        sheet.save(out, "JPEG", quality=quality, optimize=True)
        if out.tell() <= most_bytes:
            return out.getvalue()
    return None


def _small(data: bytes) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            picture.draft("RGB", CELL)
            picture.thumbnail(CELL)
            return picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
