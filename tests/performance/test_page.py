"""The page is written from the JSON, and shows for each promise if it was kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.page import replaced, write_page
from benchmarks.targets import judge

MEASURED = {
    "at": "2026-11-25T02:49:03+00:00", "commit": "abc1234", "cores": 2, "load": 0.5, "machine": "x86_64",
    "system": "Linux 6.1", "python": "3.11.7", "versions": {"prefect": "3.8.8"},
}  # fmt: skip
NAMES = ("sandbox", "cpu", "makespan", "ultra", "looks", "growth", "cached", "startup", "places", "processes")
PAGE = "# Title\n" + "\n".join(
    f"words\n<!-- measured: {name} -->\nold\n<!-- end of {name} -->" for name in ("targets", *NAMES)
)


def outcome(contender: str, **more: Any) -> dict[str, Any]:
    usual = {
        "contender": contender, "takes": 2_000, "completed": 2_000, "is_done": True, "exit_code": 0, "wall_s": 70.0,
        "makespan_s": 61.0, "ideal_s": 60.0, "ratio": 1.016, "cpu_s": 20.0, "own_cpu_s": 9.0, "rss_mb": 300.0,
        "tree_rss_mb": 500.0, "server_cpu_s": 2.0, "requests_a_take": 5.0, "looks_a_take": 4.0, "lag_mean_s": 1.5,
        "lag_p50_s": 1.0, "lag_p95_s": 3.0, "refused": 0, "bought_twice": 0, "lost": 0, "most_starts_a_minute": 5_000,
        "most_in_flight": 1_000, "first_post_s": 5.0, "cpu_ms_a_take": 2.0,
    }  # fmt: skip
    return usual | more


@pytest.fixture
def parts() -> dict[str, Any]:
    around = {"seconds": 60, "measured": MEASURED}
    contenders = [
        outcome("limit", cpu_ms_a_take=1.0),
        outcome("animatic", cpu_ms_a_take=2.0),
        outcome("sdk", cpu_ms_a_take=30.0),
        outcome("naive_prefect", cpu_ms_a_take=30.0, is_done=False, lost=1_500),
    ]
    curve = [[0, 100, 100, 0], [2, 100, 200, 0], [4, 0, 0, 10]]
    ultra = outcome("animatic", starts_a_minute=[5_000, 4_900, 4_800], late_intents=0, curve=curve)
    return {
        "cpu": {"takes": 2_000, "in_flight": 1_000, "median_s": 20.0, "contenders": contenders} | around,
        "ultra": {"starts_per_minute": 5_000, "in_flight": 5_000, "rows": [ultra]} | around,
    }


def test_each_promise_is_held_against_what_was_reached(parts: dict[str, Any]) -> None:
    reported = {target.what: target for target in judge(parts)}
    assert reported["CPU per take against the limit"].result == "met"
    assert reported["CPU per take against the limit"].reached == "2.00 × (2.0 against 1.0 ms)"
    assert reported["CPU per take against the SDK in threads"].result == "met"
    assert reported["CPU per take against the naive Prefect flow"].result == "**not met**"
    assert reported["Ultra: starts in every full minute, of the limit"].result == "**not met**"  # 4,800 is 0.96
    assert reported["Ultra: never above the limit"].result == "met"
    assert reported["Memory at 100,000 rows against 1,000"].result == "not measured"


def test_parts_that_were_not_run_keep_what_the_page_has(tmp_path: Path, parts: dict[str, Any]) -> None:
    (tmp_path / "performance.md").write_text(PAGE)
    write_page(json.loads(json.dumps(parts)), tmp_path)
    page = (tmp_path / "performance.md").read_text()
    assert page.startswith("# Title\nwords\n<!-- measured: targets -->\n| what | must be | is |  |\n")
    assert "| **animatic** | 2.0 | 61 | 1.02 | 70 | 2,000 of 2,000 | 5.0 | 1.5 | 300 | 500 |" in page
    assert "| naive Prefect: SDK, `.map` | 30.0 | not done | 1.02 | 70 | 500 of 2,000 |" in page
    assert "| animatic | 2,000 | 5,000, 4,900, 4,800 | 5,000 | 1,000 | 0 |" in page
    assert "Measured 2026-11-25T02:49 UTC at commit abc1234, 2 cores" in page
    assert page.count("\nold\n") == len(NAMES) - len(parts)
    for name in ("cpu", "ultra"):
        assert (tmp_path / f"performance-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"performance-{name}.png").stat().st_size < 100_000


def test_writing_twice_changes_nothing(tmp_path: Path, parts: dict[str, Any]) -> None:
    (tmp_path / "performance.md").write_text(PAGE)
    write_page(parts, tmp_path)
    once = (tmp_path / "performance.md").read_text()
    write_page(parts, tmp_path)
    assert (tmp_path / "performance.md").read_text() == once


def test_a_page_without_its_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="the markers of cpu are gone"):
        replaced("no markers", "cpu", "table")
