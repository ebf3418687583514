"""`animatic init`: a commented prefect.yaml for a folder of one's own. It needs no key and no network."""

import json
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from animatic import storage
from animatic.errors import SettingsError
from animatic.errors.text import PROGRAM
from animatic.machine.own_packages import require_free_folder
from animatic.machine.start_folder import from_start
from flows.command.next_steps import NextStep
from flows.terminal import PlainConsole

NAME = "prefect.yaml"
_MANIFEST, _RESULTS = "manifests/demo.csv", "animatic-demo/scheduled.parquet"
"""As the project's own file has them."""


@dataclass(frozen=True, slots=True)
class InitOptions:
    """The options of `init`, as typed."""

    folder: str
    manifest: str
    results: str
    force: bool


def write_deployments(options: InitOptions, console: PlainConsole) -> int:
    """Write the file; 0.

    Raises:
        SettingsError: there is no such folder, a file already, or another project's code.
        LocationError: it cannot be written.
    """
    folder = Path(from_start(options.folder))
    if not folder.is_dir():
        raise SettingsError(
            f"{options.folder}: found no folder; allowed: the folder that runs will work in; make it first"
        )
    require_free_folder(folder)
    target = folder / NAME
    was_there = target.exists()
    if was_there and not options.force:
        raise SettingsError(f"{target}: found one already; nothing was changed. Replace it with --force")
    text = starting_text(options.manifest, options.results)
    storage.replace_bytes(str(target), text.encode())
    console.print(f"{target}: {'replaced' if was_there else 'written'}; say in it what runs when, and up to what cost")
    steps = [
        NextStep("then serve it from one process", (PROGRAM, "serve", str(Path(options.folder) / NAME))),
        NextStep(
            "or make its work pools, animatic and animatic-media, on a Prefect server, and deploy it from that folder",
            (_prefect(), "--no-prompt", "deploy", "--all"),
        ),
    ]
    for line in [line for step in steps for line in step.lines()]:
        console.print(line)
    return 0


def starting_text(manifest: str, results: str) -> str:
    """Return the project's own deployments, of another manifest."""
    text = _own_file().read_text(encoding="utf-8")
    text = text.replace(_MANIFEST, json.dumps(manifest, ensure_ascii=False)).replace(
        _RESULTS, json.dumps(results, ensure_ascii=False)
    )
    text = text.replace("name: demo\n", "name: shots\n").replace(" --prefect-file deployments/prefect.yaml", "")
    return text.replace("deployments/prefect.yaml", NAME)


def _prefect() -> str:
    """Return Prefect's command as it can be typed: `uv tool install` leaves it off the path."""
    ours, found = Path(sys.executable).with_name("prefect"), shutil.which("prefect")
    return "prefect" if found is not None and Path(found).resolve() == ours.resolve() else str(ours)


def _own_file() -> Path:
    """Return the file of the checkout, or of the installation.

    Raises:
        SettingsError: neither is there.
    """
    root, installed = Path(__file__).parents[2], Path(sysconfig.get_path("data")) / "share/animatic"
    places = [each / "deployments/prefect.yaml" for each in (root, installed)]
    for place in places:
        if place.is_file():
            return place
    raise SettingsError(f"{NAME}: looked for ours in {places[0]} and {places[1]}; install animatic again")
