"""The demo: the main job on the bundled manifest and the embedded sandbox; then its clips, held to what is meant."""

import os
import sys
import sysconfig
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.table import Table

from animatic import storage
from animatic.errors import AnimaticError, LocationError, SettingsError
from animatic.errors.text import printable
from animatic.machine.privacy import make_folder
from animatic.machine.start_folder import from_start
from animatic.media.clips import probe_clip
from animatic.media.contact_sheet import draw_contact_sheet
from animatic.results import formats, reading
from animatic.takes.inputs import Inputs
from animatic.takes.models import INPUT_NAMES
from animatic.takes.veo2 import length_s_of, size_of
from flows.command import demo_again, launch
from flows.command.commands import UNTOLD
from flows.command.embedded import embedded_sandbox
from flows.command.next_steps import as_dict
from flows.server.prefect_api import Start
from flows.session import Session
from flows.settings import Settings
from flows.terminal import PlainConsole, begin, say, say_json

if TYPE_CHECKING:
    from animatic.results.summary import RunSummary  # pandas, which the start of a run need not wait for

LENGTH_TOLERANCE_S = 0.1
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
AS_MEANT, NOT_AS_MEANT = 0, 3


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of the results, as far as the demo shows it; `clip` is None where there is none."""

    row: int
    shot_id: str
    take: int
    inputs: Inputs
    status: str
    nsfw: bool | None
    inference_ms: int | None
    prediction_id: str | None
    fingerprint: str
    qa: list[str] | None
    clip: Path | None

    @property
    def caption(self) -> str:
        """Caption of its frame on the contact sheet."""
        return f"{self.shot_id} take {self.take}" + (" (NSFW)" if self.nsfw else "")

    @property
    def failing_checks(self) -> str:
        """The checks that its clip fails, in a line; empty where it fails none."""
        if not self.qa:
            return ""
        is_still = "frozen" in self.qa and "locked-off" in self.inputs["prompt"].lower()
        why = " (its prompt asks for a locked-off shot)" if is_still else ""
        return f"{self.shot_id} take {self.take}: {', '.join(self.qa)}{why}"

    @property
    def is_meant_to_fail(self) -> bool:
        """True if its prompt asks the sandbox for a failure."""
        return "[sandbox:fails" in self.inputs["prompt"]

    @property
    def is_meant_to_be_flagged(self) -> bool:
        """True if its prompt asks the sandbox for a flag."""
        return "[sandbox:nsfw" in self.inputs["prompt"]

    def problem(self) -> str | None:
        """Return what is not as the demo means it, if anything: status, flag, or the clip's format, length and size."""
        wanted = "failed" if self.is_meant_to_fail else "completed"
        if self.status != wanted:
            return f"is {self.status}, meant to be {wanted}"
        if bool(self.nsfw) != self.is_meant_to_be_flagged:
            return "is flagged NSFW" if self.nsfw else "is not flagged NSFW"
        if self.clip is None:
            return None if self.is_meant_to_fail else "has no clip"
        facts = probe_clip(self.clip)
        if facts.codec != "h264" or (facts.width, facts.height) != size_of(self.inputs):
            return f"has a clip that is {facts.codec}, {facts.width}x{facts.height}"
        if abs(facts.duration_s - length_s_of(self.inputs)) > LENGTH_TOLERANCE_S:
            return f"has a clip of {facts.duration_s:.2f} s instead of {length_s_of(self.inputs):.0f}s"
        return None


def bundled_manifest() -> Path:
    """Return the demo's manifest: of this checkout, or of the installation.

    Raises:
        LocationError: neither has one.
    """
    places = (Path(__file__).parents[2] / "manifests", Path(sysconfig.get_path("data")) / "share/animatic/manifests")
    for place in places:
        if (place / "demo.csv").is_file():
            return place / "demo.csv"
    raise LocationError(
        f"the demo's manifest: looked for demo.csv in {places[0]} and {places[1]}; install animatic again"
    )


def run_demo(typed: Path, console: PlainConsole, start: Start, *, as_json: bool, debug: bool) -> int:
    """Run the whole demo; return 0 if every shot did what the demo means it to do.

    Needs `prefect_api` around it. `typed` is the folder of all that it makes.

    Raises:
        AnimaticError: it could not be run.
    """
    manifest, out = bundled_manifest(), Path(from_start(str(typed)))
    try:
        make_folder(out)
    except OSError as error:
        raise SettingsError(f"--out {typed}: cannot be made ({error.strerror}); give a folder that can be") from None
    results = out / "results.parquet"
    ledger = f"sqlite:///{(out / 'ledger.sqlite').resolve()}"
    own = Settings.from_environment(needs_ledger=False).model_copy(update={"ledger": ledger})
    with embedded_sandbox(own, start.run_id, out / "sandbox") as settings:
        session = Session(settings, is_approved=True, run_id=start.run_id)
        parameters = {"manifest": str(manifest), "results": str(results), "archive": str(out / "clips")}
        parameters["review"] = str(out / demo_again.PAGE)
        summary, untold = launch.run_flow(session, start.server, parameters, console, debug=debug)
        table = reading.decode(storage.read_bytes(str(results), max_bytes=1 << 30), results.name)
        storage.replace_bytes(str(out / "results.csv"), formats.encode(table, ".csv"))
        shown = _rows(table)
        if summary.is_interrupted:
            return _tell_interrupted(summary, console, as_json=as_json)
        demo_again.decide(out)
        again = demo_again.buy_again(manifest, out, demo_again.Begun(settings, start), console, debug=debug)
        if again is not None and again.is_interrupted:
            return _tell_interrupted(again, console, as_json=as_json)
        demo_again.show_both(out, settings, console)
        begin("looking at the clips, and drawing the contact sheet …")
    sheet = out / "contact-sheet.jpg"
    storage.replace_bytes(str(sheet), draw_contact_sheet([(row.caption, row.clip) for row in shown if row.clip]))
    if as_json:
        for line in (summary.sentence, summary.money, summary.clips, *([UNTOLD.format(why=untold)] if untold else [])):
            console.print(line)
        say_json(summary.as_json(as_dict(None)))
    else:
        _tell([_as_typed(row, out, typed) for row in shown], summary, console, typed, untold)
    return _judge(shown, console)


def _tell_interrupted(summary: "RunSummary", console: PlainConsole, *, as_json: bool) -> int:
    """Say how far the run came, and that the demo goes on from there; the exit code of an interruption."""
    console.print(f"{summary.sentence}; the same command goes on from here")
    if as_json:
        say_json(summary.as_json(as_dict(None)))
    return summary.exit_code


def open_page(typed: Path) -> None:
    """Open the page of the demo in a browser, where a person sits at a terminal of a desktop."""
    is_desktop = sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in _DISPLAYS)
    page = Path(from_start(str(typed))).resolve() / demo_again.PAGE / "index.html"
    if is_desktop and sys.stdout.isatty() and page.is_file():
        webbrowser.open(page.as_uri())


def _as_typed(row: Shown, out: Path, typed: Path) -> Shown:
    """Return the row with its clip below the folder as it was typed, which is shorter to read."""
    return replace(row, clip=typed / row.clip.relative_to(out.resolve())) if row.clip else row


def _rows(table: pa.Table) -> list[Shown]:
    names = [field.name for field in fields(Shown) if field.name not in {"inputs", "clip"}]
    rows = zip(
        table.select(names).to_pylist(),
        table.select(INPUT_NAMES).to_pylist(),
        table["clip_uri"].to_pylist(),
        strict=True,
    )
    return [
        Shown(**row, inputs=Inputs(inputs), clip=None if uri is None else storage.real_path(uri))
        for row, inputs, uri in rows
    ]


def _tell(rows: Sequence[Shown], summary: "RunSummary", console: PlainConsole, out: Path, untold: str | None) -> None:
    """Print a short table on stdout, and the paths to look at."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("shot", "take", "status", "NSFW", "inference", "clip"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(
            printable(row.shot_id),
            str(row.take),
            row.status,
            "flagged" if row.nsfw else "",
            f"{row.inference_ms / 1_000:.1f} s" if row.inference_ms is not None else "",
            printable(str(row.clip or "")),
        )
    PlainConsole(width=None if sys.stdout.isatty() else 120).print(table, soft_wrap=False)
    failing = [row.failing_checks for row in rows if row.failing_checks]
    if failing:
        console.print(f"checks: {'; '.join(failing)}")
    console.print(f"{summary.sentence} ({summary.submitted} submitted now, {summary.cached} cached)")
    console.print(
        f"{demo_again.AGAIN} was asked for again in {out / 'decisions.csv'}: animatic retake wrote "
        f"{out / demo_again.RETAKES}, and a run of it {out / demo_again.TAKEN_AGAIN}; the page shows both takes"
    )
    if untold is not None:
        console.print(UNTOLD.format(why=untold))
    for name, path in (
        ("results", out / "results.parquet"),
        ("as CSV", out / "results.csv"),
        ("clips", out / "clips"),
        ("contact sheet", out / "contact-sheet.jpg"),
        ("reels", out / demo_again.REELS),
        ("review page", out / demo_again.PAGE / "index.html"),
    ):
        say(f"{name + ':':15}{path}")


def _judge(rows: Sequence[Shown], console: PlainConsole) -> int:
    """Say which shots were meant to fail or be flagged, and what is not as meant."""
    failing = ", ".join(row.shot_id for row in rows if row.is_meant_to_fail)
    flagged = ", ".join(row.shot_id for row in rows if row.is_meant_to_be_flagged)
    console.print(f"meant to fail: {failing}; meant to be flagged NSFW: {flagged}")
    problems = [f"{row.shot_id} take {row.take} {problem}" for row in rows if (problem := _problem_of(row))]
    for problem in problems:
        console.print(f"not as meant: {problem}")
    return NOT_AS_MEANT if problems else AS_MEANT


def _problem_of(row: Shown) -> str | None:
    try:
        return row.problem()
    except (AnimaticError, ValueError, OSError) as error:
        return f"has a clip that cannot be read: {error}"
