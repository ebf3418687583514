"""Pictures in a grid, each with its caption, on one sheet."""

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from animatic.media.fonts import Lettering

PAPER, INK = (18, 18, 22), (214, 214, 220)


@dataclass(frozen=True, slots=True)
class Grid:
    """Measures of a sheet, in pixels.

    Attributes:
        cell: width and height of the box that each picture fits into.
        gap: between cells, and around them.
        caption: height of the room below a picture.
        letters: size of the letters in it.
        lead: between picture and letters.
    """

    columns: int
    cell: tuple[int, int]
    gap: int
    caption: int
    letters: int
    lead: int

    def draw(self, pictures: Iterable[tuple[str, Image.Image]], count: int) -> Image.Image:
        """Return a sheet of pictures with their captions, row by row; `count` is how many there are."""
        width, height = self.cell[0] + self.gap, self.cell[1] + self.caption + self.gap
        rows = max(-(-count // self.columns), 1)
        sheet = Image.new("RGB", (self.columns * width + self.gap, rows * height + self.gap), PAPER)
        pen, lettering = ImageDraw.Draw(sheet), Lettering(self.letters)
        for index, (caption, picture) in enumerate(pictures):
            x, y = self.gap + index % self.columns * width, self.gap + index // self.columns * height
            sheet.paste(picture, (x + (self.cell[0] - picture.width) // 2, y + (self.cell[1] - picture.height) // 2))
            place = (x, y + self.cell[1] + self.lead)
            lettering.draw(pen, place, lettering.cut(caption, self.cell[0]), INK)
        return sheet
