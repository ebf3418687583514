"""Similarity of a first frame to its still: what models do to a still, and what is another picture."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from animatic.media.checks import LEAST_SIMILARITY
from animatic.media.first_frames import WINDOW, similarity, ssim

SIZE = (640, 360)


def drawn(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    rng = np.random.default_rng(seed)
    ground = rng.uniform(40, 200, (6, 9, 3)).astype(np.uint8)
    picture = Image.fromarray(ground).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(14):
        x, y, side = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(20, 110)
        pen.rectangle((x, y, x + side, y + side * 0.7), fill=tuple(int(each) for each in rng.uniform(0, 255, 3)))
    return picture


def inner(picture: Image.Image, share: float) -> Image.Image:
    wide, high = picture.width * share, picture.height * share
    left, top = (picture.width - wide) * 0.7, (picture.height - high) * 0.3
    return picture.crop((round(left), round(top), round(left + wide), round(top + high))).resize(SIZE)


def barred(picture: Image.Image) -> Image.Image:
    framed = Image.new("RGB", SIZE)
    framed.paste(picture.crop((0, 40, SIZE[0], SIZE[1] - 40)), (0, 40))
    return framed


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture,
        lambda picture: inner(picture, 0.9),
        lambda picture: inner(picture, 0.7),
        lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
        lambda picture: picture.point([min(round(255 * (value / 255) ** 0.8), 255) for value in range(256)] * 3),
        barred,
    ],
    ids=["same", "cut to 90 %", "cut to 70 %", "soft", "graded", "with bars"],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_models_do_to_a_still_stays_like_it(seed: int, change: object) -> None:
    assert callable(change)
    assert similarity(change(drawn(seed)), drawn(seed)) > LEAST_SIMILARITY + 0.1


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_another_picture_is_unlike(seed: int) -> None:
    assert similarity(drawn(seed), drawn(seed + 10)) < LEAST_SIMILARITY - 0.1
    assert similarity(drawn(seed).rotate(180), drawn(seed)) < LEAST_SIMILARITY - 0.1


def test_a_still_of_another_shape_is_cut_to_the_clips() -> None:
    still = drawn(7, (640, 640))
    assert similarity(still.crop((0, 140, 640, 500)), still) > 0.95


def test_a_black_frame_and_tiny_pictures_are_compared_all_the_same() -> None:
    assert similarity(Image.new("RGB", SIZE), drawn(1)) < LEAST_SIMILARITY
    assert similarity(Image.new("RGB", (2, 2), "red"), Image.new("RGB", (3, 1), "red")) == pytest.approx(1.0)
    assert -1 <= similarity(drawn(1, (640, 8)), drawn(1, (8, 640))) <= 1


def test_ssim_is_one_for_equal_pictures_and_falls_with_their_difference() -> None:
    rng = np.random.default_rng(1)
    one = rng.uniform(0, 255, (36, 64))
    noisy = [ssim(one, one + rng.normal(0, sigma, one.shape)) for sigma in (0, 10, 40, 200)]
    assert noisy[0] == pytest.approx(1.0)
    assert noisy == sorted(noisy, reverse=True)
    assert ssim(one[:WINDOW, :WINDOW], 255 - one[:WINDOW, :WINDOW]) < 0
