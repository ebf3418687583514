"""Two hosts, 200 takes, one line that is cut and one host that is killed; and a planted bug that this finds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from torture.modules import replace_within
from torture.plants import PLANTS

from benchmarks.parts.faults import SMALL, play
from tools.hosts.faults import CUT, KILL, WAYS, Fault, drawn
from tools.hosts.network import missing

ROOT = Path(__file__).parents[2]
KILLED = Fault(KILL, "host, its line slow before", after_s=8.0, lasts_s=2.0, pick=0.0)
FAULTS = (Fault(CUT, "without a word", after_s=3.0, lasts_s=12.0, pick=0.0), KILLED)

on_hosts = [
    pytest.mark.services,
    pytest.mark.long,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(missing() is not None, reason=f"no hosts here: {missing()}"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "trial").mkdir()
    return tmp_path / "trial"


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A copy of the code that takes what a dead run was submitting for never sent."""
    for name in ("animatic", "flows", "tasks", "deployments"):
        shutil.copytree(ROOT / name, tmp_path / "code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    plant = next(each for each in PLANTS if each.name == "unknown becomes planned at the start")
    for key, old, new in plant.edits:
        path, text = replace_within(key, old, new, tmp_path / "code")
        path.write_text(text)
    return tmp_path / "code"


def _counts(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("bought_twice", "lost", "silent")}


class TestHosts:
    pytestmark = on_hosts

    def test_a_cut_line_and_a_killed_host_lose_or_repeat_no_purchase(self, folder: Path) -> None:
        found = play(folder, ROOT, SMALL, FAULTS)
        assert found["faults"] == {CUT: 1, KILL: 1}
        assert _counts(found) == {"bought_twice": 0, "lost": 0, "silent": 0}
        assert found["most_starts_a_minute"] <= found["starts_per_minute"]
        assert found["most_in_flight"] <= found["in_flight"]
        killed = next(each for each in found["takeovers"] if each["fault"] == KILL)
        assert killed["after_s"] < 120  # two minutes are promised until a killed host's run is taken over

    def test_a_planted_bug_is_found(self, folder: Path, planted: Path) -> None:
        found = play(folder, planted, SMALL, (KILLED,))
        assert found["bought_twice"] > 0


def test_faults_are_as_many_as_asked_for_and_fixed_by_their_seed() -> None:
    counts = {KILL: 20, CUT: 10}
    found = drawn(counts, 18, 20.0)
    assert found == drawn(counts, 18, 20.0) != drawn(counts, 19, 20.0)
    assert {name: sum(each.name == name for each in found) for name in counts} == counts
    assert {each.way for each in found} == {*WAYS[KILL], *WAYS[CUT]}
    assert all(each.after_s > 0 for each in found)
