"""Decisions of several people at once: pages and a spreadsheet lose nothing to one another."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import LocationError
from animatic.results.decision_files import read_decisions
from animatic.results.decisions import Decision
from animatic.review.shared_decisions import MOST_CHANGES, SharedDecisions, changes_in

A, B = "a" * 64, "b" * 64


def decided(fingerprint: str = A, decision: str = "approved", note: str = "", frame: int | None = None) -> Decision:
    return Decision(f"shot_{fingerprint[0]}", 1, fingerprint, decision, note=note, frame=frame)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "decisions.csv"


def in_file(file: Path) -> dict[tuple[str, int | None], tuple[str, str]]:
    return {(row.fingerprint, row.frame): (row.decision, row.note) for row in read_decisions(str(file)).rows}


def edit_as_a_spreadsheet(file: Path, fingerprint: str, **cells: str) -> None:
    with file.open(newline="", encoding="utf-8-sig") as old:
        rows = list(csv.DictReader(old))
    for row in rows:
        row.update(cells if row["fingerprint"] == fingerprint else {})
    with file.open("w", newline="", encoding="utf-8-sig") as new:
        writer = csv.DictWriter(new, [*rows[0]], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_a_change_makes_the_file_and_the_next_one_adds_to_it(file: Path) -> None:
    shared = SharedDecisions(str(file))
    empty = shared.read()
    assert empty.as_dict["rows"] == []
    one = shared.change([decided()], empty.etag)
    two = shared.change([decided(B, "discarded")], one.etag)
    assert in_file(file) == {(A, None): ("approved", ""), (B, None): ("discarded", "")}
    assert two.conflicts == ()
    assert two.etag != one.etag


def test_pages_that_decide_on_different_takes_both_get_through(file: Path) -> None:
    shared = SharedDecisions(str(file))
    seen = shared.read().etag
    shared.change([decided()], seen)
    assert shared.change([decided(B, "retake")], seen).conflicts == ()
    assert in_file(file) == {(A, None): ("approved", ""), (B, None): ("retake", "")}


def test_pages_that_decide_on_one_take_hear_of_each_other(file: Path) -> None:
    shared = SharedDecisions(str(file))
    seen = shared.read().etag
    shared.change([decided()], seen)
    refused = shared.change([decided(B), decided(A, "discarded")], seen)
    assert refused.conflicts == (1,)
    assert in_file(file) == {(A, None): ("approved", "")}, "nothing of it was written"
    assert shared.change([decided(A, "discarded")], refused.etag).conflicts == ()


def test_a_name_in_other_code_points_is_still_the_same_take(file: Path) -> None:
    file.write_text("shot_id,take,decision,note\nE\u0301clat,1,,\n", encoding="utf-8")
    shared = SharedDecisions(str(file))
    seen = shared.read().etag
    file.write_text("shot_id,take,decision,note\nE\u0301clat,1,approved,theirs\n", encoding="utf-8")
    assert shared.change([Decision("\u00c9clat", 1, A, "discarded")], seen).conflicts == (0,)
    assert "theirs" in file.read_text(encoding="utf-8")


def test_notes_on_other_frames_are_no_conflict(file: Path) -> None:
    shared = SharedDecisions(str(file))
    seen = shared.read().etag
    shared.change([decided(A, "", "blurred", 12)], seen)
    assert shared.change([decided(A, "", "jumps", 30)], seen).conflicts == ()
    assert {frame for _, frame in in_file(file)} == {12, 30}


def test_what_a_spreadsheet_wrote_meanwhile_is_kept(file: Path) -> None:
    shared = SharedDecisions(str(file))
    seen = shared.change([decided(), decided(B)], shared.read().etag).etag
    edit_as_a_spreadsheet(file, B, note="too fast; slower")
    assert shared.change([decided(A, "retake")], seen).conflicts == ()
    assert in_file(file) == {(A, None): ("retake", ""), (B, None): ("approved", "too fast; slower")}
    assert shared.change([decided(B, "discarded")], seen).conflicts == (0,)


def test_a_state_that_was_never_seen_is_a_conflict(file: Path) -> None:
    shared = SharedDecisions(str(file))
    assert shared.change([decided()], "made up").conflicts == (0,)
    assert not file.exists()


def test_a_file_that_a_person_broke_is_not_written_over(file: Path) -> None:
    shared = SharedDecisions(str(file))
    seen = shared.change([decided()], shared.read().etag).etag
    file.write_text("shot_id,take,fingerprint,decision\nx,1,,maybe\n")
    kept = shutil.copy(file, file.with_name("kept"))
    with pytest.raises(LocationError, match='found "maybe"'):
        shared.change([decided(B)], seen)
    assert file.read_bytes() == Path(kept).read_bytes()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "a list"),
        ([[]], "objects"),
        ([{"fingerprint": A, "colour": "red"}], "objects"),
        ([{"fingerprint": A, "note": {}}], "texts"),
        ([{"fingerprint": A, "decision": "yes"}], "approved"),
        ([{"fingerprint": A, "frame": -1}], "whole number"),
        ([{}] * (MOST_CHANGES + 1), "a list"),
    ],
)
def test_what_is_no_list_of_decisions_is_refused(value: Any, why: str) -> None:
    with pytest.raises(LocationError, match=re.escape(why)):
        changes_in(value)


def test_changes_are_read_as_the_file_has_them() -> None:
    value = [{"shot_id": "s", "take": 2, "fingerprint": A, "decision": "Approved", "note": None, "frame": 7}]
    assert changes_in(value) == [Decision("s", 2, A, "approved", frame=7)]
