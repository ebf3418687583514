"""Clips that were drawn before: found by what they were drawn from, whole or not at all."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from animatic.sandbox.renderer import drawn
from animatic.sandbox.renderer.placeholder import draw_placeholder
from animatic.sandbox.renderer.worker import Order, render_into

CLIP = b"a clip"


@pytest.fixture
def order(tmp_path: Path) -> Order:
    still = tmp_path / "still.jpg"
    still.write_bytes(draw_placeholder("a still", "16:9"))
    return Order(tmp_path / "first.mp4", still, "", "push in", "16:9", 1, 7, drawn=tmp_path / "drawn")


def test_an_equal_order_gets_the_same_clip_without_drawing_it(order: Order) -> None:
    render_into(order)
    (kept,) = (order.drawn or Path()).iterdir()
    assert kept.read_bytes() == order.target.read_bytes()
    before = kept.stat().st_ino
    again = replace(order, target=order.target.with_name("second.mp4"))
    render_into(again)
    assert again.target.read_bytes() == order.target.read_bytes()
    assert [each.stat().st_ino for each in (order.drawn or Path()).iterdir()] == [before]


@pytest.mark.parametrize("change", [{"prompt": "pan left"}, {"seed": 8}, {"duration_s": 2}, {"aspect_ratio": "9:16"}])
def test_another_order_is_another_clip(order: Order, change: dict[str, object]) -> None:
    keys = {
        drawn.key_of(b"still", each.prompt, each.aspect_ratio, each.duration_s, each.seed)
        for each in (order, replace(order, **change))  # pyright: ignore[reportArgumentType]
    }
    assert len(keys) == 2
    assert drawn.key_of(b"a", "b") != drawn.key_of(b"ab", "")


def test_a_damaged_clip_is_drawn_again(tmp_path: Path) -> None:
    drawn.keep(tmp_path, "ab", CLIP)
    (kept,) = tmp_path.iterdir()
    assert drawn.find(tmp_path, "ab") == CLIP
    kept.write_bytes(CLIP[:-1])
    assert drawn.find(tmp_path, "ab") is None
    assert list(tmp_path.iterdir()) == []


def test_those_that_were_used_last_stay(tmp_path: Path) -> None:
    for number in range(4):
        drawn.keep(tmp_path, f"{number}", bytes([number]) * 100)
        (kept,) = tmp_path.glob(f"{number}.*")
        os.utime(kept, (number, number))
    drawn.find(tmp_path, "0")
    drawn.keep(tmp_path, "new", b"n" * 100, most_bytes=300)
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"0", "3", "new"}


def test_a_folder_that_cannot_be_used_loses_no_clip(order: Order, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    render_into(replace(order, drawn=tmp_path / "file" / "drawn"))
    assert order.target.stat().st_size > 1_000
