"""Decisions out of exports of Kitsu and Flow: what is read, and what is only named."""

import json
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import LocationError
from animatic.results.board import make_board
from animatic.results.decision_files import read_decisions, save_decisions
from animatic.results.decision_table import read_table
from animatic.results.decisions import Decision

PLAYLIST = (
    "Playlist,Film | for shots,Dailies 3,2026-11-27,,,\n,,,,,,\n"
    "Entity name,Nb Frames,Task Type,Retake count,Revision,Task Status,"
    "Last comment author,Last comment date,Last comment\n"
    "E01 / SQ1 / SH010,120,Animation,0,1,Done,Ann,2026-11-27,\n"
    'SQ1 / SH020,120,Animation,1,2,Retake,Bob,2026-11-27,"slower, please\nand wider"\n'
    "SQ1 / SH030,120,Animation,0,1,Waiting For Approval,,,\n"
    "SQ2 / SH010,120,Animation,0,1,CBB,Bob,2026-11-27,nearly\n"
)
SHOTS = (
    "Project,Episode,Sequence,Name,Description,Frames,Mood,Animation,Assignations\n"
    "Film,,SQ1,SH010,,120,calm,done,Ann\nFilm,,SQ1,SH020,,120,calm,retake,\nFilm,,SQ1,SH030,,120,calm,wip,\n"
)
TASKS = (
    "Project,Task Type,Episode,Sequence,Entity Type,Entity,Assigner,Assignees,Task Status\n"
    "Film,Animation,,SQ1,Shot,SH010,,,Done\nFilm,Modeling,,,Prop,Lamp,,,Done\n"
)
VERSIONS = (
    "Id,Version Name,Link,Status,Description\n"
    "1,film_SH010_t02,SH010,apr,\n2,SH020_anim_v003,SH020,Retake,too fast\n3,SH030_take1,,vwd,\n4,SH040_v1,SH040,cbb,\n"
)


def read(text: str) -> Any:
    return read_table(text.encode(), "export.csv").decisions


def test_a_playlist_of_kitsu_is_read_with_comments_and_revisions() -> None:
    found = read(PLAYLIST)
    assert found.rows == (
        Decision("SH010", 1, "", "approved", storyboard="SQ1"),
        Decision("SH020", 2, "", "retake", note="Bob: slower, please\nand wider", storyboard="SQ1"),
        Decision("SH010", 1, "", "", note="Bob: nearly", storyboard="SQ2"),
    )
    assert found.notes == ('statuses of Kitsu that decide nothing, since their meaning is not known: "CBB" (1)',)


@pytest.mark.parametrize("form", ["\ufeff{}", "{}"])
def test_lists_of_shots_and_tasks_of_kitsu_name_no_take(form: str) -> None:
    assert read(form.format(SHOTS)).rows == (
        Decision("SH010", None, "", "approved", storyboard="SQ1"),
        Decision("SH020", None, "", "retake", storyboard="SQ1"),
    )
    assert read(form.format(TASKS.replace(",", ";"))).rows == (
        Decision("SH010", None, "", "approved", storyboard="SQ1"),
    )


def test_a_list_with_several_tasks_is_refused() -> None:
    text = "Sequence,Name,Layout,Assignations,Animation,Assignations\nSQ1,SH010,done,,retake,\n"
    with pytest.raises(LocationError, match=r'the statuses of 2 tasks \("Layout", "Animation"\); allowed: one'):
        read(text)


def test_versions_of_flow_are_read_with_takes_out_of_their_names() -> None:
    found = read(VERSIONS)
    assert found.rows == (
        Decision("SH010", 2, "", "approved"),
        Decision("SH020", 3, "", "retake", note="too fast"),
    )
    assert "of Flow that decide nothing" in found.notes[0]
    assert '"cbb" (1)' in found.notes[0]


def test_decisions_of_an_export_stand_on_the_board() -> None:
    def row(storyboard: str, shot: str, take: int) -> dict[str, Any]:
        return {
            "row": 1, "storyboard": storyboard, "shot_id": shot, "take": take, "image": "a.png", "prompt": "pan",
            "model": "m", "inputs": json.dumps({"prompt": "pan", "image": "a.png"}), "status": "completed",
            "fingerprint": f"{storyboard}{shot}{take}",
        }  # fmt: skip

    rows = [row("SQ1", "SH010", 1), row("SQ1", "SH020", 1), row("SQ1", "SH020", 2), row("SQ2", "SH010", 1)]
    board = make_board([rows], read(PLAYLIST))
    assert [take.fingerprint for shot in board.shots for take in shot.takes if take.is_approved] == ["SQ1SH0101"]
    assert not board.unmatched
    assert "decide nothing" in board.notes[0]
    board = make_board([rows], read(SHOTS))
    assert [take.fingerprint for shot in board.shots for take in shot.takes if take.decision] == ["SQ1SH0101"]
    assert [each.shot_id for each in board.unmatched] == ["SH020"]


def test_an_export_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "kitsu.csv"
    path.write_text(PLAYLIST)
    assert len(read_decisions(str(path)).rows) == 3
    with pytest.raises(LocationError, match="an export of Kitsu is only read"):
        save_decisions(str(path), [Decision("SH010", 1, "1" * 64, "approved")])
    assert path.read_text() == PLAYLIST
