"""The demo's stills are those that the code draws, and the demo's manifest asks for them."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animatic.takes.veo2 import ASPECT_RATIO, DURATION
from tools.stills import SCENES, draw_still
from tools.stills.__main__ import main

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (MANIFESTS / "demo.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


@pytest.mark.parametrize("name", ["lighthouse-04", "last-train-06"])
def test_the_code_draws_the_stills_that_are_kept(name: str) -> None:
    scene = next(scene for scene in SCENES if scene.name == name)
    drawn, kept = (
        np.asarray(Image.open(source).convert("RGB"), dtype=float)
        for source in (io.BytesIO(draw_still(scene)), MANIFESTS / "stills" / f"{name}.jpg")
    )

    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() < 1.0


def test_every_scene_is_kept_at_its_size_and_nothing_else() -> None:
    kept = {path.stem: path for path in (MANIFESTS / "stills").iterdir()}

    assert set(kept) == {scene.name for scene in SCENES}
    for scene in SCENES:
        with Image.open(kept[scene.name]) as image:
            assert image.size == (scene.width, scene.height)
        assert kept[scene.name].stat().st_size < 150_000
    assert sum(path.stat().st_size for path in kept.values()) < 1_500_000


def test_no_two_scenes_share_a_picture() -> None:
    assert len({scene.name for scene in SCENES}) == len({scene.draw for scene in SCENES}) == len(SCENES)


def test_drawing_without_a_folder_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "FOLDER" in capsys.readouterr().err


def test_the_demo_shows_what_it_is_meant_to_show(rows: list[dict[str, str]]) -> None:
    assert [row["shot_id"] for row in rows] == [Path(row["image"]).stem for row in rows]
    assert len({row["storyboard"] for row in rows}) == 2
    assert {row["aspect_ratio"] for row in rows} == set(ASPECT_RATIO.allowed)
    assert {row["duration"] for row in rows} <= set(DURATION.allowed)
    assert sorted(row["takes"] for row in rows)[-2:] == ["1", "2"]
    assert sum("[sandbox:fails]" in row["prompt"] for row in rows) == 1
    assert sum("[sandbox:nsfw]" in row["prompt"] for row in rows) == 1


def test_the_demo_asks_for_every_still_there_is(rows: list[dict[str, str]]) -> None:
    assert {row["image"] for row in rows} == {f"stills/{scene.name}.jpg" for scene in SCENES}
