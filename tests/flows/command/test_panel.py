"""Lines of the panel for a progress: pure, given the seconds that have passed."""

import io
import re
import time
from collections import Counter

import pytest
from counted import finish, progress_of

from animatic.pace.limits import LEVELS
from animatic.progress import ArchiveProgress
from animatic.takes.money.budgets import Reserved
from animatic.takes.states import State
from flows.command.panel import panel
from flows.progress_words import Shown, archive_in_words, line, per_minute, waits_for
from flows.terminal import PlainConsole


def test_the_counts_add_up_to_the_total() -> None:
    progress = progress_of(
        1_200,
        {"a": State.COMPLETED, "b": State.FAILED, "c": State.REJECTED, "e": State.UNKNOWN},
        cached=Counter({State.COMPLETED: 7, State.FAILED: 1}),
        cached_flagged=1,
    )
    progress.submitted("d")
    progress.reserved = Reserved(11_500_000)
    progress.began_polling("d")
    assert line(progress, Shown(60.0, 400.0)) == (
        "12/1,200 done, 8 from earlier runs, 1 made, 2 failed, 1 unknown, 1 in flight, 1,187 waiting, 1 NSFW, "
        "$11.50, 4.0/min, about 7 min left"
    )
    assert 8 + 1 + 2 + 1 + 1 + 1_187 == 1_200


def test_takes_that_wait_at_wavespeed_are_told_from_those_being_made() -> None:
    progress = progress_of(2)
    for name in ("aa", "bb"):
        progress.began_polling(name, name, 0.0)
    progress.polled("aa", "created")
    progress.polled("bb", "processing")
    assert "2 in flight (1 queued at WaveSpeed)" in line(progress, Shown(1.0))


def test_clips_that_were_not_judged_are_not_called_clean() -> None:
    progress = progress_of(2)
    finish(progress, "aa", State.COMPLETED, is_judged=False)
    assert "1 not judged" in line(progress, Shown(1.0))


def test_cached_takes_are_done_but_count_for_no_rate() -> None:
    progress = progress_of(10, {"a": State.COMPLETED}, cached=Counter({State.COMPLETED: 8}))
    assert per_minute(progress, 30.0) == 2.0


def test_a_run_that_waits_for_the_account_says_until_when() -> None:
    progress = progress_of(6, limits=LEVELS["bronze"])
    for number in range(2):
        finish(progress, f"a{number}", State.COMPLETED, submitted_at=100.0)
    assert waits_for(progress, progress.work(139.0), 139.0) == ["the account's next start is in 21 s (2 a minute)"]
    assert waits_for(progress, progress.work(161.0), 161.0) == []


def test_full_slots_and_a_late_take_are_named() -> None:
    progress = progress_of(6, limits=LEVELS["bronze"])
    progress.began_polling("aa", "harbour-1 take 1", 0.0)
    progress.began_polling("bb", "harbour-2 take 1", 590.0)
    slots, late = waits_for(progress, progress.work(600.0), 600.0)
    assert slots == "all 2 slots of the account are in use"
    assert late.startswith("harbour-1 take 1 is late: submitted 10 min ago, usual are ")


def test_a_network_that_is_away_is_named_until_an_answer_comes() -> None:
    progress = progress_of(6, limits=LEVELS["ultra"])
    progress.began_polling("aa", "one", 0.0)
    progress.unreached(10.0, "result: cannot connect to api.wavespeed.ai (no name)")
    assert waits_for(progress, progress.work(12.0), 12.0) == []
    progress.unreached(20.0, "result: cannot connect to api.wavespeed.ai (no name)")
    (said,) = waits_for(progress, progress.work(22.0), 22.0)
    why = "cannot connect to api.wavespeed.ai (no name)"
    assert said == f"cannot reach WaveSpeed for 12 s; trying again, nothing is lost ({why})"
    progress.polled("aa", "processing")
    assert waits_for(progress, progress.work(23.0), 23.0) == []


def test_an_account_that_starts_fewer_than_its_level_says_so() -> None:
    progress = progress_of(60, limits=LEVELS["silver"])
    for number in range(2):
        progress.submitted(f"a{number}", 0.0)
    progress.pace.refused(1.0)
    (said,) = waits_for(progress, progress.work(2.0), 2.0)
    assert said == "WaveSpeed allows about 2 starts a minute (429), not the 60 of ANIMATIC_ACCOUNT_LEVEL"


def test_a_take_that_is_left_to_the_next_run_waits_no_more() -> None:
    progress = progress_of(2, {"a": State.COMPLETED})
    progress.passed_on += 1
    shown = line(progress, Shown(60.0))
    assert "2/2 done" in shown
    assert "1 left to the next run" in shown
    assert "waiting" not in shown


def test_nothing_that_a_run_waits_for_is_cut_off_at_the_edge() -> None:
    screen = io.StringIO()
    console = PlainConsole(file=screen, force_terminal=True, width=60, color_system=None)
    progress = progress_of(30, limits=LEVELS["bronze"], cached=Counter({State.COMPLETED: 10}), reserved=Reserved(1, 1))
    progress.began_polling("aa", "harbour with a long name take 1", time.monotonic() - 900, None, time.monotonic() + 99)
    progress.unreached(time.monotonic() - 60, "result: cannot connect to api.wavespeed.ai (connection refused)")
    with panel(console, progress, "shots.csv"):
        pass
    shown = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).split())
    for part in ("(cannot connect to api.wavespeed.ai (connection refused))", "left to the next run in", "not known"):
        assert part in shown


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("is_begun", [False, True])
def test_a_live_panel_fits_its_width_and_cleans_up_after_itself(width: int, *, is_begun: bool) -> None:
    screen = io.StringIO()
    console = PlainConsole(file=screen, force_terminal=True, width=width, color_system=None)
    progress = progress_of(3, {"a": State.COMPLETED, "b": State.UNKNOWN}, reserved=Reserved(5_000_000))
    progress.limits = LEVELS["bronze"]
    with panel(console, progress if is_begun else progress_of(0), "[bold]shots.csv"):
        pass
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert all(len(row) <= width for row in shown.splitlines())
    for part in ("2/3", "1 made", "1 unknown", "$5.00") if is_begun else ("[bold]shots.csv: starting",):
        assert part in shown
    assert screen.getvalue().count("\x1b[2K") >= 1


def test_where_there_is_no_terminal_a_short_run_prints_nothing() -> None:
    screen = io.StringIO()
    with panel(PlainConsole(file=screen), progress_of(3), "shots.csv"):
        pass
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("archive", "shown"),
    [
        (ArchiveProgress(40, 12), "12/40 clips archived"),
        (ArchiveProgress(40, 12, 3, 60_000_000), "12/40 clips archived (60 MB), 3 failed"),
        (ArchiveProgress(2, 1, 1, 0, "nothing more is archived: full"),
         "1/2 clips archived, 1 failed; nothing more is archived: full"),
    ],
)  # fmt: skip
def test_the_archive_in_words(archive: ArchiveProgress, shown: str) -> None:
    assert archive_in_words(archive) == shown
