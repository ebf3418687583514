"""The file of decisions: written by page and server, saved by spreadsheets, edited by people at the same time."""

import csv
import hashlib
import io
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors import LocationError
from animatic.results import decision_table
from animatic.results.decision_files import Saved, Stale, find_decisions, load_decisions, save_decisions
from animatic.results.decision_table import DecisionTable, read_table
from animatic.results.decisions import COLUMNS, Decision, Decisions

ONE, TWO = "1" * 64, "2" * 64
HEADER = ",".join(COLUMNS)


def written(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def test_a_new_file_has_the_documented_columns(tmp_path: Path) -> None:
    path = tmp_path / "made" / "decisions.csv"
    saved = save_decisions(str(path), [Decision("a", 1, ONE, "approved", decided_at="2026-11-27T08:00:00Z")])
    assert isinstance(saved, Saved)
    assert path.read_text().splitlines()[0].replace('"', "") == HEADER
    assert written(path)[0] | {"note": ""} == {
        **dict.fromkeys(COLUMNS, ""),
        "shot_id": "a",
        "take": "1",
        "fingerprint": ONE,
        "decision": "approved",
        "decided_at": "2026-11-27T08:00:00Z",
    }
    assert saved.file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_unknown_columns_and_the_order_of_rows_stay(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(f"who,{HEADER},mood\nAnn,a,1,{ONE},approved,,,,,,calm\nBob,b,1,{TWO},,,,,,,=1+1\n")
    save_decisions(str(path), [Decision("a", 1, ONE, "retake", "slower"), Decision("c", 1, "3" * 64, "discarded")])
    rows = written(path)
    assert [(row["who"], row["shot_id"], row["decision"], row["mood"]) for row in rows] == [
        ("Ann", "a", "retake", "calm"),
        ("Bob", "b", "", "'=1+1"),
        ("", "c", "discarded", ""),
    ]
    assert load_decisions(str(path)).table.rows[1][-1] == "=1+1"


@pytest.mark.parametrize("head", ["\ufeff", "sep=;\n", "\ufeffsep=;\n"])
def test_a_file_that_a_spreadsheet_saved_keeps_its_form(tmp_path: Path, head: str) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(f"{head}Shot ID;take;decision;note\r\na;1,0;Approved;größer; \r\n".replace("; \r", "\r"))
    save_decisions(str(path), [Decision("b", 2, TWO, "retake", note="schärfer; =jetzt")])
    text = path.read_text()
    assert text.startswith(head)
    assert '"Shot ID";"take";"decision";"note"' in text
    assert find_decisions(str(path)).rows == (
        Decision("a", 1, "", "approved", note="größer"),
        Decision("b", 2, TWO, "retake", note="schärfer; =jetzt"),
    )


def test_another_editors_rows_survive(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    save_decisions(str(path), [Decision("a", 1, ONE, "approved")])
    with path.open("a") as file:
        file.write(f"b,1,{TWO},discarded,,,,,\n")
    save_decisions(str(path), [Decision("a", 1, ONE, "retake")])
    assert [(row.shot_id, row.decision) for row in find_decisions(str(path)).rows] == [
        ("a", "retake"),
        ("b", "discarded"),
    ]


def test_changes_to_another_file_than_was_read_are_returned_as_stale(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    read = load_decisions(str(path)).sha256
    first = save_decisions(str(path), [Decision("a", 1, ONE, "approved")], read_sha256=read)
    assert isinstance(first, Saved)
    before = path.read_bytes()
    late = save_decisions(str(path), [Decision("b", 1, TWO, "approved")], read_sha256=read)
    assert isinstance(late, Stale)
    assert late.file.decisions.rows == (Decision("a", 1, ONE, "approved"),)
    assert path.read_bytes() == before
    assert isinstance(save_decisions(str(path), [], read_sha256=late.file.sha256), Saved)


@pytest.mark.sandbox
def test_writers_at_once_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"

    def write(part: int) -> None:
        for number in range(4):
            save_decisions(str(path), [Decision(f"{part}-{number}", 1, f"{part}{number}" * 32, "approved")])

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({row.shot_id for row in find_decisions(str(path)).rows}) == 16


def test_a_decision_without_content_takes_its_row_away(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(f"{HEADER},who\na,1,{ONE},approved,,,,,,\nb,1,{TWO},approved,,,,,,Ann\n")
    save_decisions(str(path), [Decision("a", 1, ONE), Decision("b", 1, TWO)])
    assert [(row["shot_id"], row["decision"], row["who"]) for row in written(path)] == [("b", "", "Ann")]


def test_frames_have_notes_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    save_decisions(str(path), [Decision("a", 1, ONE, "retake"), Decision("a", 1, ONE, note="hand", frame=12)])
    save_decisions(
        str(path), [Decision("a", 1, ONE, note="left hand", frame=12), Decision("a", 1, ONE, note="x", frame=0)]
    )
    assert [(row.frame, row.decision, row.note) for row in find_decisions(str(path)).rows] == [
        (None, "retake", ""),
        (12, "", "left hand"),
        (0, "", "x"),
    ]
    save_decisions(str(path), [Decision("a", 1, ONE, frame=12)])
    assert [row.frame for row in find_decisions(str(path)).rows] == [None, 0]


NAMED = Decision("a", 1, "", "approved")
PRINTED = Decision("a", 1, ONE, "discarded")


@pytest.mark.parametrize(("rows", "kept"), [((NAMED, PRINTED), "discarded"), ((PRINTED, NAMED), "approved")])
def test_the_last_row_wins_by_name_or_fingerprint(rows: tuple[Decision, ...], kept: str) -> None:
    choices = Decisions(rows).choices().on("a", [ONE])
    assert choices.approved == ({ONE} if kept == "approved" else set())
    assert choices.discarded == ({ONE} if kept == "discarded" else set())


@pytest.mark.parametrize("later", [NAMED, PRINTED, Decision("a", 1, ONE), Decision("a", 1, "")])
@pytest.mark.parametrize("first", [(NAMED, PRINTED), (PRINTED, NAMED), (NAMED,), (PRINTED,)])
def test_a_changed_decision_counts_over_every_row_on_its_take(first: tuple[Decision, ...], later: Decision) -> None:
    table = DecisionTable("decisions.csv")
    for each in first:
        table = table.changed([each])
    choices = table.changed([later]).decisions.choices().on("a", [ONE])
    wanted = {"approved": ({ONE}, set()), "discarded": (set(), {ONE}), "": (set(), set())}[later.decision]
    assert (choices.approved, choices.discarded) == wanted


def test_takes_of_one_number_in_two_versions_do_not_disturb_each_other() -> None:
    rows = [Decision("a", 1, ONE, "approved"), Decision("a", 1, TWO, "retake")]
    table = DecisionTable("decisions.csv").changed(rows).changed([Decision("a", 1, ONE, "discarded")])
    assert [(row.fingerprint, row.decision) for row in table.decisions.rows] == [(ONE, "discarded"), (TWO, "retake")]


TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=6), st.sampled_from(",;\t"), st.booleans())
def test_every_text_is_read_back_as_written(texts: list[tuple[str, str, str]], delimiter: str, has_mark: bool) -> None:
    table = DecisionTable("decisions.csv", (*COLUMNS, "mine"), delimiter=delimiter, has_mark=has_mark)
    changes = [
        Decision(shot, number, f"{number:064x}", "retake", prompt.strip(), note.strip())
        for number, (shot, prompt, note) in enumerate(texts)
    ]
    after = table.changed(changes)
    again = read_table(after.encode(), "decisions.csv")
    assert again.rows == after.rows
    assert again.decisions == after.decisions
    assert (again.delimiter, again.has_mark) == (delimiter, has_mark)


def test_text_is_composed_and_its_lines_end_alike() -> None:
    table = DecisionTable("d.csv").changed([Decision("a", 1, ONE, "retake", "e\u0301", "one\r\ntwo\rthree")])
    assert table.decisions.rows[0] == Decision("a", 1, ONE, "retake", "é", "one\ntwo\nthree")


@pytest.mark.parametrize("note", ["\0", "\ud800", "x" * (decision_table.MAX_TEXT_CHARS + 1)])
def test_a_text_that_no_file_can_hold_is_refused(tmp_path: Path, note: str) -> None:
    with pytest.raises(LocationError, match="note: found"):
        save_decisions(str(tmp_path / "decisions.csv"), [Decision("a", 1, ONE, "retake", note=note)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_anything_else_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("image,prompt\na.png,push in\n")
    with pytest.raises(LocationError, match="allowed: decision, and fingerprint"):
        save_decisions(str(path), [Decision("a", 1, ONE, "approved")])
    assert path.read_text() == "image,prompt\na.png,push in\n"


def test_a_bad_row_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("shot_id,take,decision\na,1,approved\nb,1,aproved\n")
    with pytest.raises(LocationError, match='row 2: decision: found "aproved"; allowed: approved, retake'):
        find_decisions(str(path))
