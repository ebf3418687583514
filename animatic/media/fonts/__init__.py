"""Lettering for pictures: DejaVu Sans, which lies beside this file, and Noto Sans CJK where the system has it.

DejaVu has Latin, Cyrillic, Greek, Arabic and arrows, and no Chinese, Japanese or Korean; a character that no font has
is drawn as an empty box.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import ImageDraw, ImageFont

from animatic.errors.text import escaped

REGULAR, BOLD = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"
MOST_CHARS = 2_000
"""So much of a text is looked at; a picture has room for less."""

CJK_FILES = tuple(
    Path("/usr/share/fonts") / name
    for name in (
        "opentype/noto/NotoSansCJK-Regular.ttc",  # Debian, Ubuntu: fonts-noto-cjk
        "noto-cjk/NotoSansCJK-Regular.ttc",  # Arch, Alpine
        "google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",  # Fedora
        "google-noto-sans-cjk-vf-fonts/NotoSansCJK-VF.ttc",  # Fedora, newer
    )
)

Colour = tuple[int, int, int] | int
_NOWHERE = "\U0010fffe"
"""A code point that no font has."""


@dataclass(frozen=True, slots=True)
class Lettering:
    """Text of one size.

    Attributes:
        size: height of a line's letters in pixels, as fonts count it.
    """

    size: int
    is_bold: bool = False

    @property
    def line_height(self) -> int:
        """Distance of two lines in pixels."""
        return round(self.size * 1.3)

    def width_of(self, text: str) -> int:
        """Return the width of one line in pixels."""
        return round(sum(font.getlength(run) for font, run in self._runs(text)))

    def draw(self, pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, fill: Colour) -> None:
        """Draw one line, its top left corner at a place."""
        x, baseline = float(at[0]), at[1] + self.size
        for font, run in self._runs(text):
            pen.text((x, baseline), run, fill=fill, font=font, anchor="ls")
            x += font.getlength(run)

    def cut(self, text: str, width: int) -> str:
        """Return as much of a line as fits into a width, with an ellipsis where it is cut."""
        plain = in_line(text)
        if self.width_of(plain) <= width:
            return plain
        fewest, most = 0, len(plain)
        while fewest < most:
            middle = (fewest + most + 1) // 2
            if self.width_of(f"{plain[:middle].rstrip()}…") <= width:
                fewest = middle
            else:
                most = middle - 1
        return f"{plain[:fewest].rstrip()}…"

    def wrapped(self, text: str, width: int, most_lines: int) -> list[str]:
        """Return a text in lines of a width, broken between words; the last of too many ends in an ellipsis."""
        lines, line, words = list[str](), "", in_line(text).split(" ")
        for number, word in enumerate(words):
            longer = f"{line} {word}" if line else word
            if self.width_of(longer) <= width:
                line = longer
                continue
            if len(lines) + 1 >= most_lines:
                return [*lines, self.cut(" ".join(filter(None, [line, *words[number:]])), width)]
            if line:
                lines.append(line)
            line = word
            while self.width_of(line) > width and len(lines) + 1 < most_lines:
                head = self._head(line, width)
                lines.append(head)
                line = line[len(head) :]
        return [*lines, self.cut(line, width)] if line else lines

    def _head(self, word: str, width: int) -> str:
        """Return as many characters of a word as fit, one at least."""
        fewest, most = 1, len(word)
        while fewest < most:
            middle = (fewest + most + 1) // 2
            fewest, most = (middle, most) if self.width_of(word[:middle]) <= width else (fewest, middle - 1)
        return word[:fewest]

    def _runs(self, text: str) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
        """Split a line into parts that one font has the characters of."""
        name = BOLD if self.is_bold else REGULAR
        own, other = _own_font(name, self.size), _cjk_font(self.size)
        if other is None or text.isascii():
            yield own, text
            return
        for is_other, run in groupby(text, key=lambda char: not has_glyph(name, char)):
            yield (other if is_other else own), "".join(run)


def in_line(text: str) -> str:
    """Return a text as one line: blanks and line ends as one blank, what does not print as escapes."""
    words = text[:MOST_CHARS].split()
    return " ".join(word if word.isprintable() else escaped(word, MOST_CHARS) for word in words)


@functools.lru_cache(4096)
def has_glyph(name: str, char: str) -> bool:
    """Tell if one of our fonts has a picture of a character of its own, not just the empty box."""
    font = _own_font(name, 24)
    mask: Any = font.getmask(char)
    box: Any = font.getmask(_NOWHERE)
    return (mask.size, bytes(mask)) != (box.size, bytes(box))


@functools.lru_cache(64)
def _own_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(__file__).with_name(name), size)


@functools.lru_cache(64)
def _cjk_font(size: int) -> ImageFont.FreeTypeFont | None:
    found = next((path for path in CJK_FILES if path.is_file()), None)
    return None if found is None else ImageFont.truetype(found, size)
