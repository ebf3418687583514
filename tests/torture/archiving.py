"""kill -9 while clips are archived: nothing half, nothing lost, nothing fetched twice that the ledger knew.

A dry run lists the lines that archiving executes, in all of its threads. For each of them a forked child archives the
clips of some takes and kills itself when it gets there; then another archives the rest, and a third must fetch nothing.
The sandbox counts downloads.
"""

import asyncio
import json
import os
import random
import shutil
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from asked import takes_in

from animatic.ledger import open_ledger
from animatic.media.archive import Archive, Output, outputs_of
from animatic.media.clip_names import ClipIdentity, ClipName
from animatic.planning.manifests import ManifestFile
from animatic.progress import ArchiveProgress
from animatic.storage.folder import Folder
from torture import ledgers
from torture.canary import search
from torture.lines import Line, dies_at, lines_of
from torture.modules import ROOT, find_modules
from torture.part import Part
from torture.studio import Served, fast_folder, in_child, served
from torture.subject import PROVIDER, Setup, run_subject, write_manifest

CLIPS = 6
TRACED = find_modules("media.archive", "media.downloads", "media.clips", "storage.folder", "ledger.clips", "durability")


@dataclass(frozen=True)
class Place:
    """The folder of one point, with a ledger that knows bought takes and no clips."""

    folder: Path

    @property
    def clips(self) -> Path:
        return self.folder / "clips"

    @property
    def ledger(self) -> ledgers.Place:
        return ledgers.Place(self.folder)

    def known(self) -> dict[str, tuple[str, str]]:
        """Return file and hash of each clip that the ledger has as archived, by `PREDICTION/OUTPUT`."""
        sql = (
            "SELECT prediction_id || '/' || output, file, sha256 FROM clip JOIN attempt USING (attempt_id) "
            "WHERE file IS NOT NULL"
        )
        return {name: (file, found) for name, file, found in self.ledger.rows(sql)}


async def archive_all(place: Place, setup: Setup, url: str, run_id: str) -> ArchiveProgress:
    """Archive the clips of all takes of the manifest, as a run does."""
    manifest = ManifestFile(str(setup.manifest), PROVIDER).load()
    with open_ledger(place.ledger.url) as ledger:
        takes = list(takes_in(manifest))
        records = await ledger.look_up([take.fingerprint for take in takes])
        outputs: list[Output] = []
        for take in takes:
            identity = ClipIdentity(take.fingerprint, "board", take.shot.shot_id, take.number, 1, "")
            outputs += outputs_of(records[take.fingerprint], identity, take.name)

        async def ask(_: str) -> Sequence[str]:
            return ()

        async with (
            ledger.run(run_id, "shots.csv") as run,
            Archive(
                Folder(str(place.clips)), ClipName(), ledger, run_id=run.run_id, ask=ask, warn=lambda _: None,
                progress=ArchiveProgress(), origin=url,
            ) as archive,
        ):  # fmt: skip
            await archive.add(outputs)
            return archive.progress


class Killer:
    """Points of one sandbox, one after the other."""

    def __init__(self, sandbox: Served, folder: Path, part: Part) -> None:
        self._url, self._folder, self._part = sandbox.url, folder, part
        self._setup = write_manifest(folder / "bought", [f"pan {number} archived" for number in range(CLIPS)])
        asyncio.run(run_subject(self._setup, self._url, "bought"))
        self._backup = self._setup.ledger.save()
        self._whole: dict[str, str] = {}
        for name in self._names():
            with urllib.request.urlopen(f"{self._url}/outputs/{name}.mp4") as reply:
                self._whole[name] = sha256(reply.read()).hexdigest()

    def _names(self) -> list[str]:
        return [f"{found}/1" for (found,) in self._setup.ledger.rows("SELECT prediction_id FROM attempt")]

    def _downloads(self) -> Counter[str]:
        with urllib.request.urlopen(f"{self._url}/sandbox/downloads") as reply:
            return Counter(json.load(reply))

    def place(self, name: str) -> Place:
        folder = self._folder / name
        folder.mkdir()
        ledgers.live_at(folder)
        Place(folder).ledger.restore(self._backup, self._setup.ledger)
        return Place(folder)

    def lines(self) -> dict[Line, int]:
        """Return the lines that archiving executes, and how often."""
        place = self.place("dry")
        return lines_of(lambda: archive_all(place, self._setup, self._url, "dry"), self._folder, TRACED)

    def kill(self, number: int, line: Line, occurrence: int) -> None:
        """Kill archiving at one execution of a line, recover, and count."""
        place, what = self.place(f"p{number}"), f"{Path(line[0]).relative_to(ROOT)}:{line[1]}, time {occurrence}"
        part = self._part
        part.points += 1
        part.faults_fired += dies_at(line, occurrence, lambda: archive_all(place, self._setup, self._url, "killed"))
        place.ledger.wait_for_the_dead()
        self._require_whole_files(place, what)
        known, before = place.known(), self._downloads()
        self._archive(place, "after", what)
        between = self._downloads()
        twice = sum(between[name] - before[name] for name in known)
        self._archive(place, "again", what)
        twice += sum((self._downloads() - between).values())
        found = {name for name, (file, _) in place.known().items() if (place.clips / file).is_file()}
        lost = len(set(self._whole) - found)
        part.duplicates += twice
        part.lost += lost
        self._require_whole_files(place, what)
        if twice or lost:
            part.problems.append(f"{what}: {twice} fetched twice, {lost} lost")
        search(place.folder, part)
        place.ledger.remove()
        shutil.rmtree(place.folder)

    def _archive(self, place: Place, run_id: str, what: str) -> None:
        def work() -> None:
            progress = asyncio.run(archive_all(place, self._setup, self._url, run_id))
            os._exit(0 if (progress.kept, progress.failed) == (CLIPS, 0) else 3)

        if in_child(work) != 0:
            self._part.problems.append(f"{what}: archiving afterwards did not keep all clips")

    def _require_whole_files(self, place: Place, what: str) -> None:
        """Files under a name that people see hold a whole clip, and the clip that the ledger says."""
        if not place.clips.exists():
            return
        hashes = {
            path.name: sha256(path.read_bytes()).hexdigest()
            for path in place.clips.iterdir()
            if not path.name.startswith(".") and path.name != "metadata.parquet"
        }
        half = [name for name, found in hashes.items() if found not in self._whole.values()]
        wrong = [
            file for name, (file, found) in place.known().items() if not found == self._whole[name] == hashes.get(file)
        ]
        if half or wrong or len(set(hashes.values())) < len(hashes):
            self._part.problems.append(f"{what}: half files {half}, not as the ledger says {wrong}")


def run(seed: int = 1, limit: int | None = None) -> Part:
    """Every line at its first execution and at a later one; `limit` takes a sample of them."""
    began, chance = time.monotonic(), random.Random(seed)
    part = Part("kill -9 while clips are archived")
    folder = Path(tempfile.mkdtemp(prefix="animatic-archiving-", dir=fast_folder()))
    ledgers.take_database_of_own()
    ledgers.live_at(folder)
    try:
        with served(folder / "sandbox", "--clip-bytes", "600000") as sandbox:
            killer = Killer(sandbox, folder, part)
            lines = killer.lines()
            points = [(line, 1) for line in lines]
            points += [(line, chance.randint(2, count)) for line, count in lines.items() if count > 1]
            part.details = {"lines": len(lines), "files": len({file for file, _ in lines}), "seed": seed}
            if limit is not None:
                points = chance.sample(points, min(limit, len(points)))
            for number, (line, occurrence) in enumerate(points):
                killer.kill(number, line, occurrence)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    part.seconds = time.monotonic() - began
    return part
