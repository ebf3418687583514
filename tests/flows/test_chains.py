"""Chains as people run them: in order, in one run, each last frame uploaded once, and nothing bought again."""

import csv
import io
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from animatic.media.last_frames import last_frame

# Prefect leaves sockets to the garbage collector, which may run in any test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STILL = "https://stills.example/a.png"
COLUMNS = ("shot_id", "image", "prompt", "start_from", "takes")


class Film:
    """A manifest with chains in a shell's home; `bought` are the submissions of its prompts, oldest first."""

    def __init__(self, shell: Any, sandbox: Any, tag: str) -> None:
        self.shell, self.sandbox, self.tag = shell, sandbox, tag

    def write(self, *rows: Mapping[str, Any]) -> None:
        with (self.shell.home / "shots.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            for row in rows:
                writer.writerow({**row, "prompt": f"{row['prompt']} {self.tag}"})

    def run(self, *options: str) -> Any:
        return self.shell.run("run", "shots.csv", "--results", "out.parquet", "--json", *options)

    def plan(self, *options: str) -> Any:
        return self.shell.run("plan", "shots.csv", *options)

    @property
    def bought(self) -> Sequence[Any]:
        return [each for each in self.sandbox.witness if each.inputs["prompt"].endswith(self.tag)]

    def rows(self, tools: Any) -> dict[str, Any]:
        found = tools.read_rows(self.shell.home / "out.parquet")
        return {f"{row['shot_id']}{row['take']}": row for row in found}


@pytest.fixture
def film(shell_with_server: Any, sandbox: Any, tag: str) -> Film:
    return Film(replace(shell_with_server, archives=True), sandbox, tag)


A = {"shot_id": "a", "image": STILL, "prompt": "push in"}
B = {"shot_id": "b", "prompt": "orbit", "start_from": "a"}
C = {"shot_id": "c", "prompt": "pull back", "start_from": "b"}


def words(each: Any) -> str:
    return each.inputs["prompt"].rpartition(" ")[0]


def test_a_chain_is_bought_in_order_within_one_run_and_never_again(film: Film, tools: Any) -> None:
    film.write(C, A, B)
    ended = film.run()
    assert (ended.code, ended.json["submitted"]) == (0, 3), ended.stderr
    assert [words(each) for each in film.bought] == ["push in", "orbit", "pull back"]
    rows = film.rows(tools)
    for shot, source in (("b", "a"), ("c", "b")):
        row = rows[f"{shot}1"]
        assert (row["image"], row["still_uri"], row["start_from"]) == (None, None, source)
        assert json.loads(row["inputs"])["image"] == f"last frame of {rows[f'{source}1']['fingerprint']}"
    again = film.run()
    assert (again.code, again.json["submitted"], again.json["cached"]) == (0, 0, 3), again.stderr
    assert len(film.bought) == 3


def test_what_is_sent_is_the_last_frame_of_the_clip(film: Film, tools: Any) -> None:
    film.write(A, B)
    assert film.run().code == 0
    clip = Path(film.rows(tools)["a1"]["clip_uri"].removeprefix("file://"))
    with clip.open("rb") as file, urlopen(film.bought[-1].inputs["image"]) as sent:
        wanted, found = (Image.open(io.BytesIO(data)) for data in (last_frame(file, "a"), sent.read()))
        assert np.array_equal(np.asarray(wanted), np.asarray(found))


def test_a_failed_source_leaves_its_followers_pending_with_a_reason(film: Film, tools: Any) -> None:
    film.write({**A, "prompt": "[sandbox:fails] x"}, B, C, {**A, "shot_id": "d", "prompt": "pan"})
    ended = film.run()
    assert (ended.code, ended.json["submitted"]) == (3, 2), ended.stderr
    rows = film.rows(tools)
    assert [rows[f"{shot}1"]["status"] for shot in "abcd"] == ["failed", "pending", "pending", "completed"]
    assert rows["b1"]["error"] == "waits for the last frame of a take 1, which is not completed"
    assert rows["c1"]["error"] == "waits for the last frame of b take 1, which waits itself"
    plan = film.plan()
    assert "0 to buy, 1 done, 1 failed, 2 waiting for others" in plan.stdout
    assert "failed; --retry-failed buys it again" in plan.stdout
    again = film.run()
    assert again.json["submitted"] == 0
    assert "failed; --retry-failed buys it again" in film.rows(tools)["b1"]["error"]


def test_another_approved_take_of_the_source_is_named_and_followed_on_request(film: Film, tools: Any) -> None:
    film.write({**A, "takes": 2}, B)
    assert film.run().json["submitted"] == 3
    rows = film.rows(tools)
    first, other = rows["a1"]["fingerprint"], rows["a2"]["fingerprint"]
    used = json.loads(rows["b1"]["inputs"])["image"].removeprefix("last frame of ")
    assert used == first
    decided = film.shell.home / "decisions.csv"
    decided.write_text(
        f"shot_id,take,fingerprint,decision\na,2,{other},approved\ngone,1,,approved\na,1,{'0' * 64},discarded\n"
    )
    assert film.run().json["submitted"] == 0
    plan = film.plan("--decisions", "decisions.csv")
    assert f"1 shot stands on a take that is not the current one: b on a (take {first[:12]})" in plan.stdout
    assert "2 decisions are on takes that neither the manifest nor the ledger knows" in plan.stdout
    assert ": 000000000000, gone take 1" in plan.stdout
    followed = film.run("--follow-approved")
    assert (followed.code, followed.json["submitted"]) == (0, 1), followed.stderr
    assert json.loads(film.rows(tools)["b1"]["inputs"])["image"] == f"last frame of {other}"
    assert film.run("--follow-approved").json["submitted"] == 0
    assert film.run().json["submitted"] == 0
    shown = film.shell.run("ledger", "show", "a")
    assert "its last frame begins b take 1" in shown.stdout


def test_a_changed_source_leaves_what_stands_on_the_old_one(film: Film, tools: Any) -> None:
    film.write(A, B)
    assert film.run().json["submitted"] == 2
    film.write({**A, "prompt": "push in slowly"}, B)
    plan = film.plan()
    assert "1 to buy, 1 done" in plan.stdout
    assert "b on an earlier version of a" in plan.stdout
    assert film.run().json["submitted"] == 1
    assert film.run("--follow-approved").json["submitted"] == 1
    assert film.rows(tools)["b1"]["status"] == "completed"


def test_a_chain_whose_clip_is_gone_says_so_before_it_is_bought(film: Film) -> None:
    film.write(A)
    assert film.run().json["submitted"] == 1
    for clip in (film.shell.home / "out.clips").iterdir():
        clip.unlink()
    with closing(sqlite3.connect(film.shell.ledger)) as db, db:
        db.execute("UPDATE attempt SET completed_at = '2026-01-01 00:00:00'")
    film.write(A, B, C)
    ended = film.run()
    assert (ended.code, len(film.bought)) == (2, 1), ended.stderr
    assert 'shots.csv:3: start_from: found "a", whose clip is gone: ' in ended.stderr
    assert 'shots.csv:4: start_from: found "b", whose row has a fault' in ended.stderr


def test_chains_need_an_archive(film: Film) -> None:
    film.write(A, B)
    ended = film.run("--no-archive")
    assert (ended.code, len(film.bought)) == (2, 0), ended.stderr
    assert "--no-archive: found 1 take that start from the last frame" in ended.stderr


def test_a_row_that_is_not_chosen_is_waited_for_in_vain(film: Film, tools: Any) -> None:
    film.write(A, B)
    ended = film.run("--only", "shot_id=b")
    assert (ended.code, ended.json["submitted"]) == (3, 0), ended.stderr
    assert "is not bought by this run" in film.rows(tools)["b1"]["error"]


def test_an_imported_table_brings_its_chains_back(film: Film) -> None:
    film.write({**A, "takes": 2}, B)
    assert film.run().json["submitted"] == 3
    film.shell.more["ANIMATIC_LEDGER"] = f"sqlite:///{film.shell.home}/other.sqlite"
    taken = film.shell.run("ledger", "import", "out.parquet")
    assert taken.code == 0, taken.stderr
    again = film.run()
    assert (again.json["submitted"], len(film.bought)) == (0, 3), again.stderr


def test_rows_and_manifests_that_ask_for_the_same_keep_one_source(film: Film) -> None:
    film.write({**A, "takes": 2}, B, {**B, "shot_id": "b2"}, {**C, "start_from": "b2"})
    assert film.run().json["submitted"] == 4
    assert film.run().json["submitted"] == 0
    (film.shell.home / "copy.csv").write_text((film.shell.home / "shots.csv").read_text())
    copied = film.shell.run("run", "copy.csv", "--results", "copy.parquet", "--json")
    assert (copied.json["submitted"], len(film.bought)) == (0, 4), copied.stderr


def test_a_discarded_take_begins_no_new_shot(film: Film, tools: Any) -> None:
    film.write(A)
    assert film.run().json["submitted"] == 1
    film.write(A, B)
    (film.shell.home / "decisions.csv").write_text("shot_id,take,decision\na,1,discarded\n")
    ended = film.run()
    assert (ended.code, ended.json["submitted"]) == (3, 0), ended.stderr
    assert "was discarded, and there is no other" in film.rows(tools)["b1"]["error"]
