"""The model column: a row that names a model which is not listed is a fault, and never gets another one's body."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    "named", ["wavespeed-ai/kling-v2", "wavespeed-ai/veo2-t2v", "veo2-i2v", "Wavespeed-AI/veo2-i2v", "sora"]
)
def test_another_model_is_a_fault_and_nothing_is_bought(
    shell: Any, manifest: Any, sandbox: Any, tag: str, named: str
) -> None:
    shots = manifest({"prompt": f"push in {tag}", "model": named}, {"prompt": f"pan {tag}"})
    for arguments in (("plan", str(shots)), ("run", str(shots), "--results", "out.csv")):
        ended = shell.run(*arguments)
        assert ended.code == 2
        (fault,) = (line for line in ended.stderr.splitlines() if "shots.csv:2: model: " in line)
        assert f'found "{named}"' in fault
        assert "wavespeed-ai/veo2-i2v" in fault or "`animatic models` lists them" in fault
    assert sandbox.submitted(tag).total() == 0


def test_with_skip_invalid_the_other_rows_are_bought(
    shell_with_server: Any, manifest: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    shots = manifest(
        {"prompt": f"one {tag}", "model": "wavespeed-ai/kling-v2"},
        {"prompt": f"two {tag}", "model": "wavespeed-ai/veo2-i2v"},
        {"prompt": f"three {tag}", "model": ""},
    )
    ended = shell.run("run", str(shots), "--results", "out.parquet", "--skip-invalid")
    assert ended.code == 3, ended.stderr
    rows = tools.read_rows(shell.home / "out.parquet")
    assert [row["status"] for row in rows] == ["invalid", "completed", "completed"]
    assert {row["model"] for row in rows[1:]} == {"wavespeed-ai/veo2-i2v"}
    assert sandbox.submitted(tag) == {f"two {tag}": 1, f"three {tag}": 1}
