"""One picture of many clips: the middle frame of each, with its name, for people who would rather look than read."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFont

CELL = (320, 180)
GAP = 12
CAPTION = 22
COLUMNS = 4
MOST_CLIPS = 200
PAPER, INK = (18, 18, 22), (214, 214, 220)


def draw_contact_sheet(clips: Sequence[tuple[str, Path]]) -> bytes:
    """Draw a JPEG with the middle frame of each (caption, clip), in order, four a row; the first 200 clips."""
    shown = clips[:MOST_CLIPS]
    rows = max(math.ceil(len(shown) / COLUMNS), 1)
    width, height = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for index, (caption, clip) in enumerate(shown):
        x, y = GAP + index % COLUMNS * width, GAP + index // COLUMNS * height
        frame = middle_frame(clip)
        frame.thumbnail(CELL, Image.Resampling.LANCZOS)
        sheet.paste(frame, (x + (CELL[0] - frame.width) // 2, y + (CELL[1] - frame.height) // 2))
        pen.text((x, y + CELL[1] + 4), caption[:40], fill=INK, font=font)
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=82, optimize=True)
    return out.getvalue()


def middle_frame(clip: Path) -> Image.Image:
    """Return the frame half-way through a clip."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        wanted = (stream.frames or 1) // 2
        frame = None
        for index, frame in enumerate(container.decode(stream)):  # noqa: B007 - the last one is what we keep
            if index >= wanted:
                break
        if frame is None:
            raise ValueError(f"{clip.name}: no frame in it")
        return frame.to_image()
