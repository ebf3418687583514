"""The round trip as people make it: run, decide, retake, run; the sandbox's witness says what was bought."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from animatic import read_results
from animatic.results.boards import find_board_files, read_board

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STILL = "https://stills.example/a.png"


class Film:
    """A film in a shell's home; prompts hold the test's tag."""

    def __init__(self, shell: Any, sandbox: Any, tag: str) -> None:
        self.shell, self.sandbox, self.tag = shell, sandbox, tag
        self.home: Path = shell.home

    def write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with (self.home / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
            writer.writeheader()
            writer.writerows(rows)

    def run(self, name: str, results: str, *options: str) -> int:
        """Return how many takes a run buys."""
        ended = self.shell.run("run", name, "--results", results, "--json", *options)
        assert ended.code in {0, 3}, ended.stderr
        return ended.json["submitted"]

    def retake(self, *arguments: str) -> Any:
        ended = self.shell.here("retake", *arguments, "--json")
        assert ended.code == 0, ended.stderr
        return ended

    def bought(self) -> Counter[str]:
        """Count the submissions of this film by prompt."""
        return Counter(
            each.inputs["prompt"].replace(self.tag, "").strip()
            for each in self.sandbox.witness
            if self.tag in each.inputs["prompt"]
        )


@pytest.fixture
def film(shell_with_server: Any, sandbox: Any, tag: str) -> Film:
    return Film(replace(shell_with_server, archives=True), sandbox, tag)


def test_a_retake_buys_exactly_what_was_asked_for_and_never_again(film: Film, tools: Any) -> None:
    tag = film.tag
    shots = [
        {"shot_id": "a", "image": STILL, "prompt": f"pan {tag}", "takes": 2, "start_from": "", "scene": "1"},
        {"shot_id": "b", "image": "", "prompt": f"orbit {tag}", "takes": 1, "start_from": "a", "scene": "2"},
        {"shot_id": "c", "image": STILL, "prompt": f"[sandbox:fails] {tag}", "takes": 1, "scene": "3"},
        {"shot_id": "d", "image": STILL, "prompt": f"tilt {tag}", "takes": 2, "scene": "4"},
    ]
    film.write("shots.csv", shots)
    assert film.run("shots.csv", "out.parquet") == 6
    decisions = [
        {"shot_id": "a", "take": 1, "decision": "retake", "prompt": f"pan slower {tag}"},
        {"shot_id": "b", "take": 1, "decision": "retake"},
        {"shot_id": "c", "take": 1, "decision": "retake", "prompt": f"[sandbox:fails] {tag}"},
        {"shot_id": "d", "take": 1, "decision": "discarded"},
        {"shot_id": "d", "take": 2, "decision": "approved"},
        {"shot_id": "gone", "take": 1, "decision": "retake"},
    ]
    film.write("decisions.csv", decisions)
    before = film.bought()
    ended = film.retake("out.parquet", "-o", "retakes.csv")
    assert ended.json["takes"] == 3
    assert [Path(each).name for each in ended.json["manifests"]] == ["retakes.csv", "retakes-2.csv"]
    assert "gone take 1" in ended.json["notes"][0]
    assert ended.json["next_argv"] == ["animatic", "run", "retakes.csv", "--results", "retakes.parquet"]
    assert film.run("retakes.csv", "again-1.parquet") == 2
    assert film.run("retakes-2.csv", "again-2.parquet") == 1
    assert film.bought() - before == {"pan slower": 1, "orbit": 1, "[sandbox:fails]": 1}
    rows = {(row["shot_id"], row["prompt"], row["take"]): row for row in tools.read_rows(film.home / "again-2.parquet")}
    assert {(shot, take): row["cached"] for (shot, _, take), row in rows.items()} == {
        ("a", 1): True, ("a", 2): True, ("b", 1): True, ("b", 2): False,
    }  # fmt: skip
    assert len({json.loads(rows["b", f"orbit {tag}", take]["inputs"])["image"] for take in (1, 2)}) == 1
    assert rows["b", f"orbit {tag}", 2]["scene"] == "2"

    ended = film.retake("*.parquet", "-o", "retakes.csv")
    assert (ended.json["manifests"], ended.json["answered"], ended.json["next"]) == ([], 3, None)
    assert "nothing is asked for again" in ended.stderr
    assert "shot c: take 2, bought for take 1, failed" in ended.stderr
    assert film.run("retakes-2.csv", "again-2.parquet") == 0

    board = read_board(find_board_files([f"{film.home}/out.parquet", f"{film.home}/again-*.parquet"]))
    shape = {shot.shot_id: [len(version.takes) for version in shot.versions] for shot in board.shots}
    assert shape == {"a": [2, 1], "b": [2], "c": [2], "d": [2]}
    frame = read_results(f"{film.home}/*.parquet")
    assert len(frame) == 9
    assert frame["quoted_usd"].notna().sum() == 9
    shown = film.shell.run("ledger", "show", "b", "--json")
    assert len(shown.json["takes"]) == 2, shown.stderr
    assert len(film.shell.run("ledger", "show", "a", "--json").json["takes"]) == 3


def test_what_a_run_left_pending_is_not_bought_beside_a_retake(film: Film) -> None:
    film.write("shots.csv", [{"shot_id": "a", "image": STILL, "prompt": f"pan {film.tag}", "takes": 4}])
    film.write("one.csv", [{"shot_id": "a", "image": STILL, "prompt": f"pan {film.tag}", "takes": 1}])
    assert film.run("one.csv", "one.parquet") == 1
    assert film.shell.run("results", "shots.csv", "--results", "out.csv").code == 3
    film.write("decisions.csv", [{"shot_id": "a", "take": 1, "decision": "retake"}])
    ended = film.retake("out.csv", "-o", "retakes.csv")
    assert "take 2, asked for before and never bought" in ended.json["notes"][0]
    assert film.run("retakes.csv", "again.parquet") == 1
    assert film.bought() == {"pan": 2}


def test_places_that_hold_anything_else_are_refused(film: Film, tmp_path: Path) -> None:
    film.write("shots.csv", [{"shot_id": "a", "image": STILL, "prompt": f"pan {film.tag}"}])
    film.shell.run("results", "shots.csv", "--results", "out.csv")
    film.write("decisions.csv", [{"shot_id": "a", "take": 1, "decision": "retake"}])
    for place, why in (
        ("shots.csv", "found a file that no retake has written"),
        ("out.csv", "found a file that is read"),
        ("decisions.csv", "found a file that is read"),
        ("retakes.txt", "allowed: .csv, .tsv, .jsonl, .parquet"),
    ):
        before = {path: path.read_bytes() for path in film.home.glob("*.*") if path.is_file()}
        ended = film.shell.here("retake", "out.csv", "-o", place)
        assert ended.code == 2
        assert why in ended.stderr
        assert {path: path.read_bytes() for path in film.home.glob("*.*") if path.is_file()} == before
    for _ in range(2):
        film.retake("out.csv", "-o", "retakes.csv")


def test_a_ledger_that_knows_nothing_of_the_takes_is_named(film: Film) -> None:
    film.write("shots.csv", [{"image": STILL, "prompt": f"pan {film.tag}", "shot_id": "a"}])
    assert film.run("shots.csv", "out.parquet") == 1
    (film.home / "decisions.csv").write_text("shot_id,take,decision\na,1,retake\n")
    assert "does not know" not in film.retake("out.parquet", "-o", "again.csv").stderr
    other = replace(film.shell, more=film.shell.more | {"ANIMATIC_LEDGER": f"sqlite:///{film.home / 'other.sqlite'}"})
    ended = other.here("retake", "out.parquet", "-o", "elsewhere.csv")
    assert "other.sqlite does not know 1 take" in ended.stderr
    assert "animatic ledger import" in ended.stderr
