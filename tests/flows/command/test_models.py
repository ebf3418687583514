"""The `models` command: what there is, what a model takes, and what is wrong with an id or a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from others_models import ENTRIES

VEO3 = "google/veo3.1-fast/image-to-video"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "models").mkdir()
    for number, entry in enumerate(ENTRIES[:-2]):
        (tmp_path / "models" / f"{number}.json").write_text(json.dumps(entry))
    (tmp_path / "models" / "list.json").write_text(json.dumps({"code": 200, "data": ENTRIES[-2:]}))
    return str(tmp_path / "models")


def test_the_apis_models_are_listed_and_one_is_shown_with_a_quote(shell: Any) -> None:
    listed = shell.run("models", "--json")
    assert listed.code == 0, listed.stderr
    assert {each["model"] for each in listed.json["models"]} == {
        "wavespeed-ai/veo2-i2v", "bytedance/seedance-2.0/image-to-video",
    }  # fmt: skip
    shown = shell.run("models", "wavespeed-ai/veo2-i2v")
    assert "header: shot_id,prompt,image,aspect_ratio,duration,model" in shown.stdout
    assert "$2.50" in shown.stdout
    assert "16:9, 9:16" in shown.stdout


def test_a_folder_of_files_is_a_list_of_models(shell: Any, folder: str) -> None:
    listed = shell.run("models", "--models", folder, "--json")
    assert len(listed.json["models"]) == len(ENTRIES) + 1
    shown = shell.run("models", VEO3, "--models", folder, "--json").json
    assert shown["quote_usd"] is None
    assert [each["name"] for each in shown["inputs"] if each["media"]] == ["image", "last_image"]
    assert shown["header"].startswith("shot_id,image,prompt,last_image,")


def test_a_wrong_id_is_a_fault_with_near_names(shell: Any, folder: str) -> None:
    ended = shell.run("models", "google/veo3.1-fats/image-to-video", "--models", folder)
    assert ended.code == 2
    assert VEO3 in ended.stderr


def test_a_file_that_is_no_json_is_named(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    ended = shell.run("models", "--models", str(tmp_path))
    assert ended.code == 2
    assert "bad.json" in ended.stderr


def test_without_a_key_the_built_in_model_is_known(shell: Any) -> None:
    del shell.more["WAVESPEED_API_KEY"]
    ended = shell.run("models")
    assert ended.code == 0
    assert "wavespeed-ai/veo2-i2v" in ended.stdout
    assert "WAVESPEED_API_KEY" in ended.stderr
