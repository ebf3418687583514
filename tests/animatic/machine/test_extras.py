from pathlib import Path

import pytest

from animatic.machine.extras import installs_extra


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        ('path = "/a b/animatic.whl"', "uv tool install --force '/a b/animatic.whl[s3]'"),
        ('directory = "/film/animatic"', "uv tool install --force '/film/animatic[s3]'"),
        ('extras = ["otel", "s3"], path = "/animatic.whl"', "uv tool install --force '/animatic.whl[otel,s3]'"),
        ('url = "https://a/animatic.whl"', "uv tool install --force 'animatic[s3] @ https://a/animatic.whl'"),
        ('specifier = "==1"', "pip install 'animatic[s3]'"),
    ],
)
def test_an_extra_of_a_uv_tool_comes_from_the_tools_source(tmp_path: Path, asked: str, command: str) -> None:
    requirements = f'[{{ name = "other" }}, {{ name = "animatic", {asked} }}]'
    (tmp_path / "uv-receipt.toml").write_text(f"[tool]\nrequirements = {requirements}\n")
    assert installs_extra("s3", tmp_path) == command


@pytest.mark.parametrize("receipt", [None, "[tool", "tool = 1", "[tool]\nrequirements = [1]"])
def test_elsewhere_pip_installs_an_extra(tmp_path: Path, receipt: str | None) -> None:
    if receipt is not None:
        (tmp_path / "uv-receipt.toml").write_text(receipt)
    assert installs_extra("s3", tmp_path) == "pip install 'animatic[s3]'"
