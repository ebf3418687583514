"""`animatic new`: a starter manifest that `plan` takes, whatever the stills are called."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "film"
    (folder / "act1").mkdir(parents=True)
    good = folder / "act1" / "01.jpg"
    Image.new("RGB", (1280, 720)).save(good)
    for name in (b"=1+1.jpg", b"esc\x1b[31m.jpg", b"new\nline.jpg", b"bad\xff.jpg"):
        (Path(os.fsdecode(bytes(folder) + b"/" + name))).write_bytes(good.read_bytes())
    return folder


def test_names_that_no_manifest_can_hold_are_left_out_and_told(shell: Any, folder: Path) -> None:
    ended = shell.run("new", str(folder))
    assert ended.code == 0, ended.stderr
    with (folder / "shots.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["shot_id"], row["image"]) for row in rows] == [("1+1", "./=1+1.jpg"), ("act1-01", "act1/01.jpg")]
    assert ended.stderr.count("left out; a manifest cannot name it") == 3
    assert "\x1b" not in ended.stderr
    assert "2 shots; write a prompt" in ended.stderr
    filled = (folder / "shots.csv").read_text().replace(",,", ",push in,")
    (folder / "shots.csv").write_text(filled)
    assert shell.run("plan", str(folder / "shots.csv")).code == 0


@pytest.mark.parametrize(("home", "said"), [("relative", 'HOME: found "relative"; allowed: an absolute path')])
def test_a_home_that_depends_on_the_folder_is_refused(shell: Any, folder: Path, home: str, said: str) -> None:
    shell.more["HOME"] = home
    ended = shell.apart("plan", str(folder / "shots.csv"))
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
