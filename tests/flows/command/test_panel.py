"""Lines of the panel for a progress: pure, given the seconds that have passed."""

import io
from collections import Counter

import pytest

from animatic.ledger.records import Reserved
from animatic.progress import ArchiveProgress, Progress
from animatic.takes.states import State
from flows.command.panel import archive_in_words, eta, line, panel, per_minute
from flows.terminal import PlainConsole


def progress_of(total: int, settled: dict[str, State] | None = None, **more: object) -> Progress:
    """Return the progress after these takes, each counted as the shoot counts it."""
    progress = Progress(total=total, **more)  # pyright: ignore[reportArgumentType]
    for name, state in (settled or {}).items():
        finish(progress, name.encode().hex(), state)
    return progress


def finish(progress: Progress, fingerprint: str, state: State, **more: bool) -> None:
    """Count a take: only one that the API accepted has been submitted and in flight."""
    if state in {State.REJECTED, State.UNKNOWN}:
        progress.settled(fingerprint, state)
        return
    progress.submitted(fingerprint)
    progress.entered_flight(fingerprint)
    progress.settled(fingerprint, state, **more)
    progress.left_flight(fingerprint)


def test_the_line_says_everything_once() -> None:
    progress = progress_of(
        1_200,
        {"a": State.COMPLETED, "b": State.FAILED, "c": State.REJECTED},
        cached=Counter({State.COMPLETED: 7, State.FAILED: 1}),
        cached_flagged=1,
    )
    progress.submitted("d")
    progress.reserved = Reserved(11_500_000)
    progress.entered_flight("d")
    assert line(progress, 60.0) == (
        "11/1,200 done, 1 in flight, 8 cached, 3 failed, 1 NSFW, $11.50, 3.0/min, ETA 6.6 h"
    )


def test_clips_that_were_not_judged_are_not_called_clean() -> None:
    progress = progress_of(2)
    finish(progress, "aa", State.COMPLETED, is_judged=False)
    assert "0 NSFW, 1 not judged, " in line(progress, 1.0)


def test_unknown_takes_are_only_named_where_there_are_any() -> None:
    assert "UNKNOWN" not in line(progress_of(2, {"a": State.COMPLETED}), 1.0)
    assert ", 1 UNKNOWN, " in line(progress_of(2, {"a": State.UNKNOWN}), 1.0)


@pytest.mark.parametrize(
    ("total", "settled", "elapsed_s", "reported"),
    [
        (0, 0, 0.0, "0 s"),
        (5, 5, 10.0, "0 s"),
        (5, 0, 10.0, "-"),
        (5, 1, 0.0, "-"),
        (2, 1, 10.0, "10 s"),
        (11, 1, 9.9, "99 s"),
        (11, 1, 10.0, "2 min"),
        (601, 1, 9.9, "99 min"),
        (601, 1, 10.0, "1.7 h"),
    ],
)
def test_the_rest_is_estimated_at_the_rate_so_far(total: int, settled: int, elapsed_s: float, reported: str) -> None:
    progress = progress_of(total, {str(number): State.COMPLETED for number in range(settled)})
    assert eta(progress, elapsed_s) == reported


def test_cached_takes_are_done_but_count_for_no_rate() -> None:
    progress = progress_of(10, {"a": State.COMPLETED}, cached=Counter({State.COMPLETED: 8}))
    assert per_minute(progress, 30.0) == 2.0
    assert eta(progress, 30.0) == "30 s"


def test_a_live_panel_shows_the_numbers_and_cleans_up_after_itself() -> None:
    screen = io.StringIO()
    console = PlainConsole(file=screen, force_terminal=True, width=120)
    progress = progress_of(3, {"a": State.COMPLETED, "b": State.UNKNOWN}, reserved=Reserved(5_000_000))
    with panel(console, progress, "[bold]shots.csv"):
        pass
    shown = screen.getvalue()
    for part in ("[bold]shots.csv", "2/3", "completed 1", "unknown 1", "$5.00"):
        assert part in shown
    erased = shown.rpartition("$5.00")[2]
    assert erased.count("\x1b[2K") >= 2


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
