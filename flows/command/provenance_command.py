"""`animatic archive --provenance`: copies of clips that say where they came from. Asks no ledger and no API."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animatic import storage
from animatic.errors import AnimaticError, LocationError, SettingsError
from animatic.errors.text import counted, one_line
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from animatic.media.processes import Processes
from animatic.media.provenance import COPY_WITHIN_S, SUFFIXES, copy_with, tags_of
from animatic.results import formats, reading
from animatic.results.exit_codes import DONE, INCOMPLETE
from animatic.storage.folder import Folder
from animatic.web.network import Network
from flows.settings import Settings
from flows.terminal import PlainConsole, say_json

MAX_CLIP_BYTES = 8 << 30
_COLUMNS = ("shot_id", "take", "status", "fingerprint", "prompt", "model", "prediction_id", "run_id", "clips")
_CHUNK_BYTES = 1 << 20
_MOST_SHOWN = 20


@dataclass(slots=True)
class Copied:
    """Outcome for the clips.

    Attributes:
        copies: that are in the folder now.
        problems: why others are not, a sentence each.
        unarchived: completed takes that have no clip in an archive.
    """

    copies: int = 0
    unarchived: int = 0
    problems: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class _Source:
    """An archived clip, and the row of its take."""

    row: dict[str, Any]
    uri: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        return storage.name_of(self.uri)


def copy_with_provenance(uris: Sequence[str], to: str, clip_name: str, console: PlainConsole, *, as_json: bool) -> int:
    """Put copies of all archived clips of some results tables into a folder; 3 if one is missing.

    Raises:
        SettingsError: an option does not fit.
        LocationError: a table cannot be read, or the folder is an archive of these clips.
    """
    if clip_name != DEFAULT_CLIP_NAME:
        raise SettingsError("--clip-name: found beside --provenance; allowed: one of them")
    for uri in uris:
        formats.check_suffix(storage.name_of(uri))
    folder, network, end = Folder(to), Settings.from_environment().network, Copied()
    with Processes(1) as processes:
        for uri in uris:
            for source in _sources(uri, network, end):
                if source.uri.startswith(f"{folder.uri}/"):
                    raise LocationError(f"--to {to}: the clips are in it; allowed: another folder")
                try:
                    _copy(source, folder, processes, network)
                    end.copies += 1
                except (AnimaticError, OSError, ValueError) as error:
                    reason = getattr(error, "strerror", None) or str(error)
                    end.problems.append(f"{source.name}: {one_line(reason, 300)}")
    _tell(end, folder, console, as_json=as_json)
    return INCOMPLETE if end.problems or end.unarchived else DONE


def _sources(uri: str, network: Network, end: Copied) -> Iterator[_Source]:
    """Yield the archived clips of a table, and count completed takes without one."""
    with storage.open_copy(uri, max_bytes=reading.MAX_RESULTS_BYTES, network=network) as file:
        for table in reading.read_columns(file, storage.name_of(uri), _COLUMNS):
            for row in table.to_pylist():
                if row["status"] != "completed":
                    continue
                clips = _clips_in(row["clips"])
                end.unarchived += not clips
                yield from (_Source(row, *clip) for clip in clips)


def _clips_in(cell: str | None) -> list[tuple[str, str, int]]:
    """Return URI, SHA-256 and size of each clip in a cell; none of a cell that animatic cannot have written."""
    try:
        found: Any = json.loads(cell or "[]")
        return [(str(each["uri"]), str(each["sha256"]), int(each["size_bytes"])) for each in found]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []


def _copy(source: _Source, folder: Folder, processes: Processes, network: Network) -> None:
    """Put the copy of a clip into the folder, unless it is there.

    Raises:
        AnimaticError, OSError, ValueError: it cannot be done.
    """
    suffix = Path(source.name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"has no place for it; allowed: {', '.join(SUFFIXES)}")
    with tempfile.TemporaryDirectory(prefix="animatic-copy-") as place:
        clip, copy = Path(place) / f"clip{suffix}", Path(place) / f"copy{suffix}"
        _fetch(source, clip, network)
        processes.submit(COPY_WITHIN_S, copy_with, tags_of(source.row, source.sha256), clip, copy).result()
        with copy.open("rb") as made, folder.incoming() as incoming:
            while chunk := made.read(_CHUNK_BYTES):
                incoming.file.write(chunk)
            sha256 = incoming.sha256()
            stem = source.name[: -len(suffix)]
            for name in (source.name, f"{stem}_{str(source.row['fingerprint'])[:8]}{suffix}"):
                try:
                    incoming.put(name)
                except FileExistsError:
                    if not folder.holds(name, sha256, copy.stat().st_size):
                        continue
                folder.sync()
                return
    raise LocationError("other files have its name; move them away")


def _fetch(source: _Source, target: Path, network: Network) -> None:
    """Copy the clip, which must be the one that the results name: a table from elsewhere may name any file."""
    most = min(max(source.size_bytes, 0), MAX_CLIP_BYTES)
    if storage.copy_to(target, source.uri, max_bytes=most, network=network) != source.sha256:
        raise LocationError("is not the clip that the results name (another SHA-256); archive it again")


def _tell(end: Copied, folder: Folder, console: PlainConsole, *, as_json: bool) -> None:
    console.print(f"{counted(end.copies, 'copy').replace('copys', 'copies')} with provenance in {folder.place}")
    for line in end.problems[:_MOST_SHOWN]:
        console.print(line)
    if len(end.problems) > _MOST_SHOWN:
        console.print(f"and {len(end.problems) - _MOST_SHOWN:,} more")
    if end.unarchived:
        takes = counted(end.unarchived, "completed take")
        console.print(f"{takes} without a clip in an archive; fetch them first: animatic archive without --provenance")
    if as_json:
        found = {"to": folder.uri, "copies": end.copies, "failed": len(end.problems), "unarchived": end.unarchived}
        say_json(json.dumps(found))
