"""The `timeline` command: storyboards of results tables as files for editing programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from animatic import storage
from animatic.errors import SettingsError
from animatic.errors.text import counted
from animatic.manifest.selection import read_only
from animatic.results.board import Storyboard
from animatic.results.boards import find_board_files, read_board
from animatic.review.timeline import TimelineWritten, check_suffix, write_timeline
from animatic.review.timeline.library import opentimelineio
from animatic.review.timeline.rates import shown
from flows.command.next_steps import as_dict
from flows.settings import Settings
from flows.storyboards import chosen_storyboards, names_of, with_file_names
from flows.terminal import PlainConsole, say_json

FIELD = "{storyboard}"


@dataclass(frozen=True, slots=True)
class TimelineOptions:
    """The options of `timeline`, as typed."""

    results: tuple[str, ...]
    output: str
    fps: float | None = None
    only: tuple[str, ...] = ()
    decisions: str | None = None


def write_timelines(options: TimelineOptions, console: PlainConsole, *, as_json: bool) -> int:
    """Write one timeline for each storyboard; 0.

    Raises:
        FixInputError: a table cannot be read, a file cannot be written, or would not keep what it should hold.
    """
    check_suffix(storage.name_of(options.output))
    opentimelineio()
    network = Settings.from_environment().network
    board = read_board(find_board_files(options.results, options.decisions, network), network)
    storyboards = chosen_storyboards(board, read_only(options.only))
    written = [
        write_timeline(storyboard, place, options.fps, console.print, network)
        for storyboard, place in _places(storyboards, options.output)
    ]
    for each in written:
        _tell(each, console)
    for note in board.notes:
        console.print(f"note: {note}")
    if as_json:
        say_json(json.dumps({"timelines": [_as_dict(each) for each in written]} | as_dict(None)))
    return 0


def _places(storyboards: Sequence[Storyboard], output: str) -> list[tuple[Storyboard, str]]:
    """Return each storyboard with the file that it is written to.

    Raises:
        SettingsError: several would have one file.
    """
    if FIELD in output:
        return [(each, output.replace(FIELD, name)) for each, name in with_file_names(storyboards)]
    if len(storyboards) == 1:
        return [(storyboards[0], output)]
    suffix = check_suffix(storage.name_of(output))
    raise SettingsError(
        f"-o {output}: found {len(storyboards)} storyboards ({names_of(storyboards)}); allowed: one in a file; give "
        f"-o '{FIELD}{suffix}' for a file each, or one of them as --only storyboard=NAME"
    )


def _tell(written: TimelineWritten, console: PlainConsole) -> None:
    cut = written.cut
    missing = f", {cut.missing:,} without a clip" if cut.missing else ""
    seconds = float(cut.frames / cut.rate)
    console.print(
        f"{storage.name_of(written.uri)}: {counted(len(cut.shots), 'shot')}{missing}, {counted(cut.notes, 'note')}, "
        f"{seconds:,.1f} s at {shown(cut.rate)} frames a second"
    )
    for note in written.notes:
        console.print(note)


def _as_dict(written: TimelineWritten) -> dict[str, object]:
    cut = written.cut
    return {
        "storyboard": cut.name,
        "uri": written.uri,
        "shots": len(cut.shots),
        "missing": cut.missing,
        "notes": cut.notes,
        "fps": float(cut.rate),
        "duration_s": round(float(cut.frames / cut.rate), 3),
    }
