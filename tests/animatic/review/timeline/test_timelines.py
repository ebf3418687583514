"""Timelines in every form and at every rate, read back by OpenTimelineIO's own adapters."""

import hashlib
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio
import pytest

from animatic.errors import LocationError, SettingsError
from animatic.results.board import Storyboard, make_board
from animatic.results.decisions import Decision, Decisions
from animatic.review.timeline import write_timeline
from animatic.review.timeline.rates import rate_of
from animatic.storage import absolute_uri

otio: Any = opentimelineio
RATES = (24.0, 25.0, 30.0, 24_000 / 1_001, 30_000 / 1_001)
FORMS = (".otio", ".otioz", ".edl", ".xml")
NAMES = ("wide shot", "é ß Ж", "close-up_of_the_lighthouse", "close-up_of_the_ladder", "never came")
NOTE = 'Süßer Nebel, bitte: <mehr> & "länger"'
STILL = "https://stills.example/a.png"


def row(number: int, name: str, **changes: Any) -> dict[str, Any]:
    """A row of a results table, as far as a cut looks at it."""
    inputs = {"model": "m", "image": STILL, "prompt": f"push in\non {name}", "inputs": None, "duration": "5s"}
    known = {"row": number, "storyboard": "Häfen & Türme", "shot_id": name, "take": 1, "status": "completed"}
    more = {"prediction_id": f"p{number}", "fingerprint": f"{number:064x}", "error": None, "run_id": "r"}
    return {**inputs, **known, **more, **changes}


def archived(folder: Path, number: int, name: str, fps: float, **changes: Any) -> dict[str, Any]:
    """The row of a take whose clip is in a folder: 121 frames, which is what 5 s of Veo 2 are."""
    clip = folder / f"{name}_t01.mp4"
    clip.write_bytes(name.encode())
    digest, size = hashlib.sha256(clip.read_bytes()).hexdigest(), clip.stat().st_size
    probed = {"clip_fps": fps, "clip_frames": 121, "sha256": digest, "size_bytes": size}
    return row(number, name, clip_uri=absolute_uri(str(clip)), **probed, **changes)


def board_of(folder: Path, fps: float, *, others: float | None = None) -> Storyboard:
    """Four shots with clips and notes, and one that failed; `others` is the rate of every second clip."""
    folder.mkdir(exist_ok=True)
    rows = [
        archived(folder, number, name, others if others and number % 2 else fps)
        for number, name in enumerate(NAMES[:-1])
    ]
    rows.append(row(9, NAMES[-1], status="failed", error="it burned"))
    decided = [
        Decision("wide shot", 1, "", "approved", note=NOTE, rating="5"),
        Decision("wide shot", 1, "", note="Too DARK here", frame=48),
        Decision("é ß Ж", 1, "", note="behind the end", frame=100_000),
    ]
    return make_board([rows], Decisions(decided)).storyboards[0]


def read_back(path: Path, fps: float) -> Any:
    more = {"rate": fps} if path.suffix == ".edl" else {}
    return otio.adapters.read_from_file(str(path), **more)


def shown(timeline: Any, fps: float) -> list[tuple[Any, ...]]:
    """Name, record frame, length, media and notes of each clip; the record frame from 00:00:00:00 on."""
    (track,) = timeline.video_tracks()
    start = timeline.global_start_time or otio.opentime.RationalTime(0, fps)
    found: list[tuple[Any, ...]] = []
    for clip in track:
        at = clip.transformed_time_range(clip.trimmed_range(), timeline.tracks).start_time + start
        notes = [(round(marker.marked_range.start_time.rescaled_to(fps).value), marker.name) for marker in clip.markers]
        media = getattr(clip.media_reference, "target_url", None) or None
        length = round(clip.duration().rescaled_to(fps).value)
        found.append((clip.name, round(at.rescaled_to(fps).value), length, media, notes))
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fps", RATES, ids=lambda fps: f"{fps:.3f}")
def test_every_form_keeps_order_lengths_times_and_notes(tmp_path: Path, form: str, fps: float) -> None:
    target = tmp_path / f"the cut é{form}"
    write_timeline(board_of(tmp_path / "my clips", fps), str(target))
    found = shown(read_back(target, fps), fps)
    hour, missing = 3_600 * round(fps), round(5 * fps)
    assert [(name, length) for name, _, length, _, _ in found] == [
        ("wide shot t01", 121),
        ("é ß Ж t01", 121),
        ("close-up_of_the_lighthouse t01", 121),
        ("close-up_of_the_ladder t01", 121),
        ("never came (failed)", missing),
    ]
    assert [at for _, at, *_ in found] == [hour + 121 * number for number in range(5)]
    assert [notes for *_, notes in found] == [[(0, NOTE), (48, "Too DARK here")], [(120, "behind the end")], [], [], []]
    assert [media is None for *_, media, _ in found] == [False] * 4 + [True]
    assert len({media for *_, media, _ in found}) == 5


@pytest.mark.parametrize("form", FORMS)
def test_clips_of_another_rate_move_no_note_and_no_cut(tmp_path: Path, form: str) -> None:
    target = tmp_path / f"cut{form}"
    written = write_timeline(board_of(tmp_path / "clips", 24.0, others=30.0), str(target), fps=24)
    found = shown(read_back(target, 24.0), 24.0)
    assert [length for _, _, length, _, _ in found] == [121, 96, 121, 96, 120]
    assert found[0][-1] == [(0, NOTE), (48, "Too DARK here")]
    assert found[1][-1] == [(95, "behind the end")], "30 frames a second are 24 of the cut, and the clip has 96 of them"
    assert written.notes == ("2 clips of another rate than 24: cut to whole frames of that",)


def test_the_rate_is_that_of_most_clips(tmp_path: Path) -> None:
    board = board_of(tmp_path / "clips", 25.0)
    assert write_timeline(board, str(tmp_path / "a.otio")).cut.rate == 25
    assert write_timeline(board, str(tmp_path / "b.otio"), fps=23.98).cut.rate == Fraction(24_000, 1_001)


@pytest.mark.parametrize(("fps", "rate"), [(29.97, Fraction(30_000, 1_001)), (30.0, 30), (12.5, Fraction(25, 2))])
def test_a_rate_is_exact(fps: float, rate: Fraction) -> None:
    assert rate_of(fps) == rate


@pytest.mark.parametrize("fps", [0.0, -24.0, float("nan"), float("inf"), 1e9])
def test_no_film_has_such_a_rate(tmp_path: Path, fps: float) -> None:
    with pytest.raises(SettingsError, match=r"--fps: found .*; allowed: 1 to 240"):
        write_timeline(board_of(tmp_path / "clips", 24.0), str(tmp_path / "a.otio"), fps=fps)


@pytest.mark.parametrize(("form", "says"), [(".edl", "an EDL has timecodes of 23.976"), (".xml", "write .otio")])
def test_a_rate_that_a_form_cannot_hold_is_refused(tmp_path: Path, form: str, says: str) -> None:
    board, target = board_of(tmp_path / "clips", 16.0), tmp_path / f"cut{form}"
    with pytest.raises((LocationError, SettingsError), match=says):
        write_timeline(board, str(target))
    assert not target.exists()
    write_timeline(board, str(tmp_path / "cut.otio"))
    assert shown(read_back(tmp_path / "cut.otio", 16.0), 16.0)[0][2] == 121


def test_an_edl_longer_than_a_day_is_refused(tmp_path: Path) -> None:
    rows = [row(number, f"s{number}", status="failed", duration="3600s") for number in range(24)]
    (board,) = make_board([rows], Decisions()).storyboards
    with pytest.raises(LocationError, match=r"cut\.edl: not written at 24 frames a second: .*write \.otio"):
        write_timeline(board, str(tmp_path / "cut.edl"))
    assert not (tmp_path / "cut.edl").exists()


def test_an_edl_has_what_editors_expect(tmp_path: Path) -> None:
    target = tmp_path / "cut.edl"
    write_timeline(board_of(tmp_path / "clips", 30_000 / 1_001), str(target))
    lines = target.read_text().splitlines()
    assert lines[:2] == ["TITLE: Häfen & Türme", "FCM: NON-DROP FRAME"]
    events = [line.split() for line in lines if line[:3].isdigit()]
    assert events[0] == ["001", "WIDESHOT", "V", "C", "00:00:00:00", "00:00:04:01", "01:00:00:00", "01:00:04:01"]
    assert [event[1] for event in events] == ["WIDESHOT", "ESST01", "CLOSEUPO", "CLOSEUP2", "BL"]
    assert not any(line.startswith("* FROM CLIP: ") for line in lines), "Premiere calls such clips UNKNOWN"
    assert "* LOC: 00:00:01:18 CYAN    Too DARK here" in lines
    assert f"* ANIMATIC FINGERPRINT: {0:064x}" in lines


def test_final_cut_gets_ranges_times_and_what_is_known(tmp_path: Path) -> None:
    target = tmp_path / "cut.xml"
    write_timeline(board_of(tmp_path / "my clips", 30_000 / 1_001), str(target))
    text = target.read_text()
    assert "<pathurl>file://localhost/" in text
    assert "my%20clips/wide%20shot_t01.mp4</pathurl>" in text
    timeline = read_back(target, 30.0)
    clip = timeline.video_tracks()[0][0]
    assert clip.media_reference.available_range.duration.value == 121
    assert "<string>01:00:00:00</string>" in text
    assert clip.metadata["fcp_xml"]["logginginfo"]["description"] == "push in\non wide shot"
    assert f"fingerprint {0:064x}" in clip.metadata["fcp_xml"]["logginginfo"]["lognote"]


def test_a_timeline_says_what_is_known_of_each_take(tmp_path: Path) -> None:
    write_timeline(board_of(tmp_path / "clips", 24.0), str(tmp_path / "cut.otio"))
    track = read_back(tmp_path / "cut.otio", 24.0).video_tracks()[0]
    about = dict(track[0].metadata["animatic"])
    assert about["prompt"] == "push in\non wide shot"
    assert [about[name] for name in ("status", "shot", "take", "decision", "rating", "prediction", "fingerprint")] == [
        *("completed", "wide shot", "1", "approved", "5", "p0"),
        f"{0:064x}",
    ]
    assert dict(track[4].metadata["animatic"])["error"] == "it burned"


def test_a_bundle_holds_each_clip_once_and_says_its_size_first(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    rows = [archived(one, 1, "a", 24.0), archived(other, 2, "a", 24.0, shot_id="A"), archived(one, 3, "a", 24.0)]
    (other / "a_t01.mp4").write_bytes(b"other")
    rows[1] |= {"sha256": hashlib.sha256(b"other").hexdigest(), "size_bytes": 5}
    rows[2] |= {"shot_id": "again"}
    (board,) = make_board([rows], Decisions()).storyboards
    said: list[str] = []
    write_timeline(board, str(tmp_path / "cut.otioz"), say=said.append)
    assert said == ["cut.otioz: bundling 2 clips, 6 bytes"]
    with zipfile.ZipFile(tmp_path / "cut.otioz") as bundle:
        media = {name: bundle.read(name) for name in bundle.namelist() if name.startswith("media/")}
    assert sorted(media.values()) == [b"a", b"other"]
    assert len({name.casefold() for name in media}) == 2


def test_a_bundle_takes_no_file_that_is_not_the_clip(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    rows = [archived(tmp_path, 1, "a", 24.0) | {"clip_uri": absolute_uri(str(secret)), "size_bytes": 6}]
    (board,) = make_board([rows], Decisions()).storyboards
    with pytest.raises(LocationError, match="is not the clip that the results name"):
        write_timeline(board, str(tmp_path / "cut.otioz"))
    assert not (tmp_path / "cut.otioz").exists()


def test_a_discarded_take_is_in_no_cut(tmp_path: Path) -> None:
    rows = [archived(tmp_path, 1, "s1", 24.0), archived(tmp_path, 2, "s1", 24.0, take=2)]
    for decisions, name in (
        ([], "s1 t02"),
        ([Decision("s1", 2, "", "discarded")], "s1 t01"),
        ([Decision("s1", 1, "", "approved")], "s1 t01"),
        ([Decision("s1", 1, "", "discarded"), Decision("s1", 2, "", "discarded")], "s1 (discarded)"),
    ):
        (board,) = make_board([rows], Decisions(decisions)).storyboards
        (shot,) = write_timeline(board, str(tmp_path / "cut.edl")).cut.shots
        assert shot.name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_uri": None},
        {"clip_uri": "javascript:alert(1)"},
        {"clip_uri": "file:///a\n* FROM CLIP: b"},
        {"clip_fps": 0.0},
        {"clip_fps": float("nan")},
        {"clip_frames": -3},
        {"clip_frames": 2**31 - 1},
    ],
    ids=str,
)
def test_a_clip_that_cannot_be_placed_is_a_gap_with_a_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    rows = [archived(tmp_path, 1, "s1", 24.0) | changes | {"duration": "8s"}]
    (board,) = make_board([rows], Decisions()).storyboards
    (shot,) = write_timeline(board, str(tmp_path / "cut.edl")).cut.shots
    assert (shot.media, shot.length) == (None, 192)
    assert shot.name in {"s1 (not archived)", "s1 (no playable clip)"}


@pytest.mark.parametrize("form", FORMS)
def test_hostile_names_and_notes_stay_text(tmp_path: Path, form: str) -> None:
    hostile = "001  AX V C\n* FROM CLIP: x\x00\x1b[31m\u202e</name>\ufffe" + "x" * 5_000
    rows = [archived(tmp_path, 1, "s1", 24.0, storyboard=hostile, prompt=hostile) | {"shot_id": hostile}]
    decided = [Decision(hostile, 1, "", note=hostile, frame=3)]
    (board,) = make_board([rows], Decisions(decided)).storyboards
    write_timeline(board, str(tmp_path / f"cut{form}"))
    ((_, _, _, _, notes),) = shown(read_back(tmp_path / f"cut{form}", 24.0), 24.0)
    assert notes[0][1].startswith("001 AX V C * FROM CLIP: x")


@pytest.mark.parametrize(("name", "hint"), [("cut.mov", ""), ("cut.otiox", "did you mean"), ("cut", "")])
def test_another_suffix_is_refused(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(LocationError, match=r"allowed suffixes: \.otio, \.otioz, \.edl, \.xml") as refused:
        write_timeline(board_of(tmp_path / "clips", 24.0), str(tmp_path / name))
    assert hint in str(refused.value)


@pytest.mark.sandbox
def test_two_thousand_shots_are_all_written_with_a_note_on_their_number(tmp_path: Path) -> None:
    one = archived(tmp_path, 0, "s", 24.0)
    rows = [one | {"row": number, "shot_id": f"s{number}", "fingerprint": f"{number:064x}"} for number in range(2_000)]
    (board,) = make_board([rows], Decisions()).storyboards
    written = write_timeline(board, str(tmp_path / "cut.edl"))
    assert written.notes == ("2,000 events: CMX 3600 counts to 999, and some programs read no more",)
    assert len(shown_lines(tmp_path / "cut.edl")) == 2_000


def shown_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line[:3].isdigit()]
