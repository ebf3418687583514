"""Retakes: which takes are asked for again, which are not, and the manifest that asks for just those."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from animatic.results import retake_table
from animatic.results.board import CARRIED, make_board
from animatic.results.decisions import Decision, Decisions
from animatic.results.retake_table import Sheet, sheets_of
from animatic.results.retakes import Retakes, answers_in, plan_retakes

EARLY, NOON, LATE = (datetime(2026, 11, 27, hour, tzinfo=UTC) for hour in (6, 12, 18))


def fp(name: str) -> str:
    return name.encode().hex().rjust(64, "0")


def row(shot: str = "a", take: int = 1, prompt: str = "pan", **more: Any) -> dict[str, Any]:
    """A row of results: a take that is completed, of a still in a folder."""
    sent = {"prompt": prompt, "image": "s/a b.png", "aspect_ratio": "16:9", "duration": "5s"} | more.pop("inputs", {})
    known = {
        "row": 1, "shot_id": shot, "storyboard": "film", "take": take, "image": sent.get("image"), "prompt": prompt,
        "still_uri": "file:///film/s/a%20b.png", "model": "wavespeed-ai/veo2-i2v", "aspect_ratio": "16:9",
        "duration": "5s", "inputs": json.dumps(sent), "status": "completed", "submitted_at": NOON, "attempts": 1,
        "prediction_id": "p", "fingerprint": fp(f"{shot}{take}{prompt}"), CARRIED: {},
    }  # fmt: skip
    return known | more


NOT_BOUGHT = {"status": "pending", "submitted_at": None, "attempts": 0, "prediction_id": None}


def again(shot: str = "a", take: int = 1, prompt: str = "", was: str = "pan", **more: Any) -> Decision:
    return Decision(shot, take, fp(f"{shot}{take}{was}"), "retake", prompt, **more)


def planned(rows: Sequence[Mapping[str, Any]], *decisions: Decision) -> Retakes:
    return plan_retakes(make_board([rows], Decisions(decisions)), answers_in([rows]))


def sheet_of(retakes: Retakes, **options: Any) -> Sheet:
    sheets, refused = sheets_of(retakes, **options)
    assert not refused
    (sheet,) = sheets
    return sheet


def asked(retakes: Retakes) -> list[tuple[str, str, int, int]]:
    """Shot, new prompt, `takes` and how many are new, of each row."""
    return [(row.shot_id, row.prompt, row.takes, row.bought) for unit in retakes.units for row in unit]


def results_of(sheet: Sheet) -> list[dict[str, Any]]:
    """Rows of the results that a run of a manifest leaves."""
    return [
        row(
            cells["shot_id"], number, cells["prompt"], submitted_at=LATE,
            **{CARRIED: {name: cells[name] for name in retake_table.MARKS}},
        )
        for cells in sheet.table.to_pylist()
        for number in range(1, cells["takes"] + 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("takes", "decisions", "wanted"),
    [
        (1, [again()], [("a", "", 2, 1)]),
        (3, [again(take=2)], [("a", "", 4, 1)]),
        (3, [again(take=1), again(take=3)], [("a", "", 5, 2)]),
        (1, [again(prompt="pan")], [("a", "", 2, 1)]),
        (1, [again(prompt="pan\u200b ")], [("a", "", 2, 1)]),
        (2, [again(prompt="slower")], [("a", "slower", 1, 1)]),
        (2, [again(take=1, prompt="slower"), again(take=2, prompt="slower")], [("a", "slower", 2, 2)]),
        (2, [again(take=1), again(take=2, prompt="slower")], [("a", "", 3, 1), ("a", "slower", 1, 1)]),
        (2, [Decision("a", 1, "", "retake")], [("a", "", 3, 1)]),
        (2, [again(), Decision("a", 1, fp("a1pan"), "approved")], []),
        (2, [Decision("a", 1, fp("a1pan"), "discarded"), Decision("a", 2, fp("a2pan"), "approved")], []),
        (2, [Decision("a", 1, fp("a1pan"), "retake", frame=3)], []),
        (1, [], []),
    ],
)
def test_exactly_what_was_asked_for_is_bought(takes: int, decisions: list[Decision], wanted: Any) -> None:
    assert asked(planned([row(take=number) for number in range(1, takes + 1)], *decisions)) == wanted


def test_a_take_that_was_never_bought_is_the_one_that_is_bought() -> None:
    rows = [row(take=1), row(take=2, **NOT_BOUGHT), row(take=3)]
    retakes = planned(rows, again())
    assert asked(retakes) == [("a", "", 2, 1)]
    assert "take 2, asked for before and never bought" in retakes.notes[0]
    rows = [row(take=1), row(take=2, **NOT_BOUGHT), row(take=3, **NOT_BOUGHT)]
    assert asked(planned(rows, again())) == [("a", "", 2, 1)]


@pytest.mark.parametrize("status", ["failed", "rejected", "unknown", "held", "pending"])
def test_a_number_that_was_tried_is_not_bought_again(status: str) -> None:
    assert asked(planned([row(take=1), row(take=2, status=status)], again(take=2))) == [("a", "", 3, 1)]


def test_more_takes_than_a_shot_may_have_are_refused_by_name() -> None:
    rows = [row(take=number) for number in range(1, 17)]
    retakes = planned([*rows, row("b")], again(), again("b"))
    assert asked(retakes) == [("b", "", 2, 1)]
    assert retakes.refused == ("shot a: it would have 17 takes; allowed: up to 16. Change its prompt or its still",)


def test_an_invalid_row_is_refused_by_name() -> None:
    invalid = row(take=1, status="invalid", fingerprint=None) | {"take": None}
    retakes = planned([invalid], Decision("a", None, "", "retake"))
    assert retakes.refused == ("shot a: its row is invalid; correct it in the manifest",)


@pytest.mark.parametrize("prompt", ["", "slower"])
def test_an_answered_request_is_not_asked_again(prompt: str) -> None:
    first = [row(take=1), row(take=2)]
    decisions = [again(take=2, prompt=prompt)]
    new = results_of(sheet_of(planned(first, *decisions)))
    for tables in ([first, new], [first, new, first]):
        retakes = plan_retakes(make_board(tables, Decisions(decisions)), answers_in(tables))
        assert (retakes.units, retakes.answered) == ((), 1)


def test_a_request_without_fingerprint_is_not_asked_again_of_its_answer() -> None:
    first, decisions = [row()], Decisions([Decision("a", 1, "", "retake", "slower")])
    new = results_of(sheet_of(planned(first, *decisions.rows)))
    retakes = plan_retakes(make_board([first, new], decisions), answers_in([first, new]))
    assert (retakes.units, retakes.answered) == ((), 1)


@pytest.mark.parametrize("image", ["a b.png", "/film/s/a b.png", "file:///film/s/a%20b.png"])
def test_a_still_by_another_path_is_the_same_version(image: str) -> None:
    first, second = row(), row(prompt="slower", inputs={"image": image})
    wish = again(prompt="slower")
    tables = [[first], [second | {CARRIED: {"retake_of": first["fingerprint"], "retake_takes": "1"}}]]
    board = make_board(tables, Decisions([wish]))
    retakes = plan_retakes(board, answers_in(tables))
    assert (retakes.units, retakes.answered) == ((), 1)
    again_of_new = make_board(tables, Decisions([again(was="slower"), again(prompt="slower")]))
    assert asked(plan_retakes(again_of_new, answers_in(tables))) == [("a", "slower", 2, 1)]


def test_a_moment_that_is_still_to_come_asks_for_nothing_twice() -> None:
    first, decisions = [row()], Decisions([again(decided_at="2099-01-01T00:00:00Z")])
    known = decisions.as_of(NOON + timedelta(days=1))
    assert "decided_at" in known.notes[0]
    new = results_of(sheet_of(planned(first, *known.rows)))
    retakes = plan_retakes(make_board([first, new], known), answers_in([first, new]))
    assert (retakes.units, retakes.answered) == ((), 1)


AHEAD = "2026-11-27T21:00:00+01:00"
"""A moment two hours after its answer was bought, by a clock that was ahead."""


@pytest.mark.parametrize(
    "decision",
    [
        again(decided_at=AHEAD),
        again(prompt="slower", decided_at=AHEAD),
        Decision("a", 1, "", "retake", "slower", decided_at=AHEAD),
    ],
)
@pytest.mark.parametrize("read_at", [LATE, LATE + timedelta(days=1)])
def test_a_clock_that_was_ahead_asks_for_nothing_twice(decision: Decision, read_at: datetime) -> None:
    first, decisions = [row()], Decisions([decision])
    new = results_of(sheet_of(planned(first, *decisions.as_of(read_at).rows)))
    for moment in (LATE, LATE + timedelta(days=1)):
        board = make_board([first, new], decisions.as_of(moment))
        retakes = plan_retakes(board, answers_in([first, new]))
        assert (retakes.units, retakes.answered) == ((), 1)
    newer = again(was="pan", prompt=decision.prompt, decided_at="2026-11-27T21:30:00Z")
    wanted = ("a", "slower", 2, 1) if decision.prompt else ("a", "", 3, 1)
    retakes = plan_retakes(make_board([first, new], Decisions([newer])), answers_in([first, new]))
    assert asked(retakes) == [wanted]
    tables = [first, new, results_of(sheet_of(retakes))]
    retakes = plan_retakes(make_board(tables, Decisions([newer])), answers_in(tables))
    assert (retakes.units, retakes.answered) == ((), 1)


def test_a_wish_by_name_stays_on_the_take_it_was_made_for() -> None:
    first, note = row(), Decision("a", 1, "", note="too fast", frame=7)
    wish = Decision("a", 1, "", "retake", "Slower ")
    (shot,) = make_board([[first], [row(prompt="Slower")]], Decisions([wish, note])).shots
    old, new = (version.takes[0] for version in shot.versions)
    assert (old.decision, old.notes) == (wish, (note,))
    assert (new.decision, new.notes) == (None, ())


@pytest.mark.parametrize(
    ("decision", "wanted"),
    [
        (again(decided_at="2026-11-27T17:00:00Z"), []),
        (again(decided_at="2026-11-27T19:00:00Z"), [("a", "", 3, 1)]),
        (again(decided_at="2026-11-27T19:00:00+02:00"), []),
        (again(decided_at="yesterday"), []),
        (again(prompt="slower"), [("a", "slower", 1, 1)]),
    ],
)
def test_a_newer_decision_or_another_prompt_is_asked_again(decision: Decision, wanted: Any) -> None:
    first = [row()]
    new = results_of(sheet_of(planned(first, again())))
    tables = [first, new]
    retakes = plan_retakes(make_board(tables, Decisions([decision])), answers_in(tables))
    assert asked(retakes) == wanted


def test_an_answer_that_was_not_bought_is_asked_for_again_alike() -> None:
    first = [row()]
    sheet = sheet_of(planned(first, again()))
    new = [each | (NOT_BOUGHT if each["take"] == 2 else {}) for each in results_of(sheet)]
    retakes = plan_retakes(make_board([first, new], Decisions([again()])), answers_in([first, new]))
    assert sheet_of(retakes).table.equals(sheet.table)


def test_answers_of_earlier_retakes_go_on_in_the_next_manifest() -> None:
    first = [row()]
    new = results_of(sheet_of(planned(first, again())))
    decisions = Decisions([again(), again(take=2)])
    sheet = sheet_of(plan_retakes(make_board([first, new], decisions), answers_in([first, new])))
    cells = sheet.table.to_pylist()[0]
    assert (cells["retake_of"], cells["retake_takes"]) == (f"{fp('a1pan')} {fp('a2pan')}", "2 3")
    replaced = results_of(sheet)
    tables = [first, replaced]
    retakes = plan_retakes(make_board(tables, decisions), answers_in(tables))
    assert (retakes.units, retakes.answered) == ((), 2)


def test_shots_that_share_a_take_ask_for_the_same_new_take() -> None:
    shared = {"fingerprint": fp("a1pan")}
    rows = [row("a"), row("a", 2, fingerprint=fp("a2pan")), row("b", row=2, **shared)]
    assert asked(planned(rows, again())) == [("a", "", 3, 1), ("b", "", 3, 1)]


def test_two_versions_of_a_shot_go_into_two_manifests() -> None:
    rows = [row(take=1), row(take=2), row("b", row=2)]
    sheets, refused = sheets_of(planned(rows, again(), again(take=2, prompt="slower"), again("b")))
    assert not refused
    assert [[line.cells["prompt"] for line in sheet.lines.values()] for sheet in sheets] == [["pan", "pan"], ["slower"]]


def test_a_row_asks_in_full_for_what_was_bought() -> None:
    carried = {"scene": "3", "Seed": "7", "audio": "s/voice.mp3", "start_from": "", "retake_of": "old"}
    inputs = {"seed": 7, "audio": "s/voice.mp3", "takes": 2, "parts": ["x", {"y": 1}], "enhance": True, "duration": 8}
    base = row(model="acme/i2v", inputs=inputs, **{CARRIED: carried})
    (cells,) = sheet_of(planned([base], again())).table.to_pylist()
    assert cells == {
        "shot_id": "a", "storyboard": "film", "image": "file:///film/s/a%20b.png", "prompt": "pan",
        "model": "acme/i2v", "aspect_ratio": "16:9", "duration": "8", "takes": 2, "scene": "3", "Seed": "7",
        "audio": "file:///film/s/voice.mp3", "input.takes": "2", "parts": '["x", {"y": 1}]', "enhance": "true",
        "retake_of": fp("a1pan"), "retake_takes": "2", "retake_decided": "-",
    }  # fmt: skip


def test_a_still_inside_the_manifest_needs_its_folder() -> None:
    retakes = planned([row(still_uri=None)], again())
    sheets, refused = sheets_of(retakes)
    assert not sheets
    assert "its still s/a b.png lies in the manifest itself" in refused[0]
    (cells,) = sheet_of(retakes, stills="file:///else%20where/").table.to_pylist()
    assert cells["image"] == "file:///else%20where/s/a%20b.png"


def test_files_of_two_places_go_into_two_manifests() -> None:
    bucket = row("b", row=2, still_uri="s3://bucket/s/a b.png")
    sheets, refused = sheets_of(planned([row(), bucket, row("c", row=3)], again(), again("b"), again("c")))
    assert not refused
    assert [list(sheet.lines) for sheet in sheets] == [["a", "c"], ["b"]]
    assert [sheet.stills for sheet in sheets] == ["file:///film/s", "s3://bucket/s"]


def chained(shot: str, source: str, of: str, number: int, prompt: str = "pan", **more: Any) -> dict[str, Any]:
    inputs = {"image": f"last frame of {fp(of)}"}
    begun = {"still_uri": None, "image": None, CARRIED: {"start_from": source}}
    return row(shot, 1, prompt, row=number, inputs=inputs, **begun | more)


def test_a_chained_shot_brings_its_sources_as_they_were_bought() -> None:
    rows = [row(), row(take=2), chained("b", "a", "a1pan", 2), chained("c", "b", "b1pan", 3), row("d", row=4)]
    retakes = planned(rows, again("c"), again("d"))
    assert asked(retakes) == [("c", "", 2, 1), ("b", "", 1, 0), ("a", "", 2, 0), ("d", "", 2, 1)]
    cells = {each["shot_id"]: each for each in sheet_of(retakes).table.to_pylist()}
    assert (cells["c"]["start_from"], cells["b"]["start_from"], cells["a"]["start_from"]) == ("b", "a", None)
    assert (cells["c"]["image"], cells["a"]["image"]) == (None, "file:///film/s/a%20b.png")
    assert (cells["a"]["retake_of"], cells["c"]["retake_of"]) == (None, fp("c1pan"))


def test_a_source_that_is_asked_for_too_stands_once_in_the_manifest() -> None:
    rows = [row(), chained("b", "a", "a1pan", 2)]
    sheet = sheet_of(planned(rows, again("b"), again("a")))
    assert {each["shot_id"]: each["takes"] for each in sheet.table.to_pylist()} == {"a": 2, "b": 2}
    sheets, _ = sheets_of(planned(rows, again("b"), again("a", prompt="slower")))
    assert [sorted(sheet.lines) for sheet in sheets] == [["a"], ["a", "b"]]


def test_a_source_buys_nothing_that_was_left_pending() -> None:
    rows = [row(), row(take=2, **NOT_BOUGHT), row(take=3), chained("b", "a", "a1pan", 2)]
    assert asked(planned(rows, again("b"))) == [("b", "", 2, 1), ("a", "", 1, 0)]
    rows = [row(**NOT_BOUGHT), chained("b", "a", "a1pan", 2)]
    assert "whose take 1 was never bought" in planned(rows, again("b")).refused[0]
    assert "which no table has" in planned(rows[1:], again("b")).refused[0]


@pytest.mark.parametrize("suffix", retake_table.SUFFIXES)
def test_a_manifest_of_retakes_is_known_by_its_columns(suffix: str) -> None:
    data = retake_table.encode(sheet_of(planned([row()], again())).table, suffix)
    assert retake_table.is_ours(retake_table.names_in(data, suffix))
    assert not retake_table.is_ours(["image", "prompt", "takes"])
    assert not retake_table.is_ours([*retake_table.MARKS, "takes", "fingerprint"])
    assert retake_table.names_in(b"\xff\x00{", suffix) in ([], ["\ufffd\x00{"])
