"""`animatic new FOLDER`: a starter manifest from a folder of stills. It needs no key and no network."""

import csv
import io
import os
from pathlib import Path

from animatic import storage
from animatic.errors import SettingsError
from animatic.errors.text import PROGRAM, counted, escaped, positional
from animatic.machine.start_folder import from_start
from animatic.manifest.images import STILL_SUFFIXES, relative_path
from animatic.media.stills import probe
from animatic.takes.stills import Still
from animatic.takes.veo2 import ASPECT_RATIO, ratio_of
from flows.command.next_steps import NextStep
from flows.terminal import PlainConsole

MOST_STILLS = 10_000
MANIFEST = "shots.csv"
COLUMNS = ("shot_id", "image", "prompt", ASPECT_RATIO.name)


def make_starter(folder: str, console: PlainConsole) -> int:
    """Write `shots.csv` into the folder, one row for each still in it and in the folders below; 0.

    The prompts are left empty: `plan` names each that is missing.

    Raises:
        SettingsError: there is no such folder, no still in it, or a manifest already.
        LocationError: the manifest cannot be written.
    """
    root = Path(from_start(folder))
    if not root.is_dir():
        raise SettingsError(f"{folder}: found no folder; allowed: a folder with stills ({', '.join(STILL_SUFFIXES)})")
    target = root / MANIFEST
    if target.exists():
        raise SettingsError(f"{target}: found a manifest already; nothing was changed. Move it away to make another")
    stills = _stills_in(root)
    if not stills:
        raise SettingsError(
            f"{folder}: found no still in it; allowed: {', '.join(STILL_SUFFIXES)}, also in folders below"
        )
    text, unreadable = io.StringIO(newline=""), list[str]()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    shots = 0
    for path in stills:
        name = path.relative_to(root)
        cell = _cell_of(name)
        if cell is None:
            unreadable.append(f"{escaped(str(name), 200)}: left out; a manifest cannot name it, so rename it first")
            continue
        ratio, problem = _ratio_of(path)
        if problem:
            unreadable.append(f"{name}: {problem}")
        writer.writerow([_shot_id(name), cell, "", ratio])
        shots += 1
    storage.replace_bytes(str(target), text.getvalue().encode())
    console.print(f"{target}: {counted(shots, 'shot')}; write a prompt for each: how the still should move")
    for line in unreadable[:20]:
        console.print(f"note: {line}")
    made = positional(str(Path(folder) / MANIFEST))
    steps = [NextStep("then see what it costs", (PROGRAM, "plan", made))]
    results = str(Path(folder) / "results.csv")
    steps.append(NextStep("and buy the takes", (PROGRAM, "run", made, "--results", results)))
    for line in [line for step in steps for line in step.lines()]:
        console.print(line)
    return 0


def _cell_of(name: Path) -> str | None:
    """Return the cell that names a still; None where none can. One that would begin a formula starts with `./`."""
    text = name.as_posix()
    if relative_path(text) is None or not all(map(str.isprintable, text)):
        return None
    return f"./{text}" if text[0] in "=+-@" else text


def _stills_in(root: Path) -> list[Path]:
    """Return the stills below a folder, in the order of their paths; hidden files and folders are passed over."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(STILL_SUFFIXES):
                found.append(Path(folder) / name)
            if len(found) > MOST_STILLS:
                raise SettingsError(f"{root}: found more than {MOST_STILLS:,} stills; allowed: up to that")
    return sorted(found)


def _ratio_of(path: Path) -> tuple[str, str]:
    """Return the ratio that suits a still, and why it cannot be used, if so."""
    try:
        with path.open("rb") as file:
            found = probe(file)
    except OSError as error:
        return "", f"cannot be read ({error.strerror})"
    if not isinstance(found, Still):
        return "", found
    return ratio_of(found), ""


def _shot_id(name: Path) -> str:
    """Return a still's path as a shot's name: `act1/01A.png` is `act1-01A`."""
    return "-".join(name.with_suffix("").parts).lstrip("=+-@ ")[:200]
