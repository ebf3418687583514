"""Lettering of pictures, by the pixels that it draws."""

import io
from pathlib import Path

import numpy as np
import pytest
from filmed import film, grey
from PIL import Image, ImageDraw, ImageFont

from animatic.media.contact_sheet import CELL, GRID, draw_contact_sheet
from animatic.media.fonts import BOLD, CJK_FILES, REGULAR, Lettering, has_glyph, in_line

LETTERING = Lettering(20)


def drawn(text: str, lettering: Lettering = LETTERING) -> np.ndarray:
    picture = Image.new("L", (400, 40))
    lettering.draw(ImageDraw.Draw(picture), (4, 4), text, (255,))  # type: ignore[arg-type]
    return np.asarray(picture)


def empty_box(lettering: Lettering = LETTERING) -> np.ndarray:
    return drawn("\U0010fffe", lettering)


@pytest.mark.parametrize("char", "éßЖñαåşđ→…€ع")
@pytest.mark.parametrize("is_bold", [False, True])
def test_letters_of_many_alphabets_are_drawn(char: str, is_bold: bool) -> None:
    lettering = Lettering(20, is_bold)
    assert has_glyph(BOLD if is_bold else REGULAR, char)
    assert drawn(char, lettering).any()
    assert (drawn(char, lettering) != empty_box(lettering)).any()


def test_the_same_letters_are_boxes_in_pillows_own_font() -> None:
    """Show that the test above can fail."""
    font = ImageFont.load_default(20)
    assert bytes(font.getmask("Ж")) == bytes(font.getmask("\U0010fffe"))


def test_chinese_is_drawn_where_the_system_has_noto() -> None:
    has_noto = any(path.is_file() for path in CJK_FILES)
    assert not has_glyph(REGULAR, "漢")
    assert (drawn("漢") != empty_box()).any() == has_noto


def test_a_cut_line_fits_and_says_that_it_was_cut() -> None:
    cut = LETTERING.cut("Die Straße führt nach Süden, über den Fluß", 200)
    assert cut.endswith("…")
    assert 150 < LETTERING.width_of(cut) <= 200
    assert LETTERING.cut("kurz", 200) == "kurz"


@pytest.mark.parametrize("text", ["a slow push in on the keeper " * 20, "x" * 3_000, "мир " * 600, "", "one\n\n two\t"])
def test_wrapped_lines_fit_and_are_few(text: str) -> None:
    lines = LETTERING.wrapped(text, 300, 5)
    assert len(lines) <= 5
    assert all(LETTERING.width_of(line) <= 300 for line in lines)
    assert "".join(lines).replace("…", "").replace(" ", "") in "".join(text.split())


def test_what_does_not_print_is_drawn_as_an_escape() -> None:
    assert in_line("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec d"


@pytest.mark.sandbox
def test_captions_of_the_contact_sheet_have_their_letters(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", [grey(90)] * 3)

    def caption(text: str) -> np.ndarray:
        sheet = np.asarray(Image.open(io.BytesIO(draw_contact_sheet([(text, clip)])))).astype(int)
        return sheet[GRID.gap + CELL[1] : GRID.gap + CELL[1] + GRID.caption, GRID.gap : GRID.gap + CELL[0]]

    assert np.abs(caption("ЖéЖßЖ") - caption("\U0010fffe" * 5)).max() > 100
    assert np.abs(caption("ЖéЖßЖ") - caption("ЖéЖßЖ")).max() == 0
