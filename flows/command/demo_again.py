"""The demo's second act: a shot is asked for again by decision and command, and a page and reels show both takes."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from animatic.results.decision_files import save_decisions
from animatic.results.decisions import APPROVED, RETAKE, Decision
from flows.command import launch
from flows.command.retake_command import RetakeOptions, write_retakes
from flows.reel import ReelOrder, make_reels
from flows.review import ReviewOrder, write_review
from flows.server.prefect_api import Start
from flows.session import Session, new_run_id
from flows.settings import Settings
from flows.terminal import PlainConsole, begin

if TYPE_CHECKING:
    from animatic.results.summary import RunSummary  # pandas, which the start of a run need not wait for

AGAIN = "lighthouse-02"
DECISIONS = (
    Decision("lighthouse-01", 1, "", APPROVED, rating="5"),
    Decision("last-train-03", 1, "", APPROVED, rating="4"),
    Decision(
        AGAIN, 1, "", RETAKE, "Interior, last blue light. The keeper stands at the window. Very slow push in.",
        "again, but slower",
    ),
    Decision(AGAIN, 1, "", note="the curtain is in the way", frame=36),
)  # fmt: skip
"""Decisions that the demo makes in the place of a person, where there are none yet."""

SIZES = {"lighthouse": "640x360", "last-train": "360x640"}
"""Small reels of the demo's storyboards, which are soon encoded."""

RESULTS, RETAKES, TAKEN_AGAIN, REELS = "results.parquet", "retakes.csv", "retakes.parquet", "reels"
PAGE = "results.review"
"""The place in which `animatic review animatic-demo/results.parquet` writes the page too."""


class Begun(NamedTuple):
    """Settings and processes that the demo has started."""

    settings: Settings
    start: Start


def decide(out: Path) -> None:
    """Write decisions on the demo's takes, unless a person has."""
    if not (out / "decisions.csv").exists():
        save_decisions(str(out / "decisions.csv"), DECISIONS)


def buy_again(manifest: Path, out: Path, begun: Begun, console: PlainConsole, *, debug: bool) -> "RunSummary | None":
    """Buy what is asked for again, as `animatic retake` and `animatic run` do; None where that is nothing.

    Raises:
        AnimaticError: the manifest could not be written, or the run was not carried out.
    """
    options = RetakeOptions((str(out / RESULTS),), str(out / RETAKES))
    if (out / TAKEN_AGAIN).exists():
        options = RetakeOptions((str(out / RESULTS), str(out / TAKEN_AGAIN)), str(out / RETAKES))
    write_retakes(options, PlainConsole(quiet=True), as_json=False)
    if not (out / RETAKES).exists():
        return None
    session = Session(begun.settings, is_approved=True, run_id=new_run_id())
    parameters = {"manifest": str(out / RETAKES), "results": str(out / TAKEN_AGAIN), "archive": str(out / "clips")}
    parameters["stills"] = str(manifest.parent)
    return launch.run_flow(session, begun.start.server, parameters, console, debug=debug)[0]


def show_both(out: Path, settings: Settings, console: PlainConsole) -> None:
    """Make page and reels of all takes; note media that the page lacks.

    Raises:
        AnimaticError: they could not be written.
    """
    tables = tuple(str(out / name) for name in (RESULTS, TAKEN_AGAIN) if (out / name).exists())
    begin("making the page …")
    order = ReviewOrder.read(tables, str(out / PAGE), None, (), settings.network)
    problem = asyncio.run(write_review(settings, order)).problems.summary
    if problem:
        console.print(f"note: the review page {out / PAGE}: {problem}")
    begin("cutting the reels …")
    for storyboard, size in SIZES.items():
        only, film = [f"storyboard={storyboard}"], str(out / REELS / f"{storyboard}.mp4")
        asyncio.run(make_reels(settings, ReelOrder.read(tables, film, only=only, size=size, burn_in=True)))
