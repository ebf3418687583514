"""`animatic archive`: fetch the clips of earlier runs, by their results tables."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from animatic import storage
from animatic.errors.text import command, counted, positional
from animatic.ledger import Ledger, open_ledger
from animatic.media.archive import Archive, Output, outputs_of
from animatic.media.clip_names import ClipIdentity, ClipName
from animatic.media.dataset import describe
from animatic.progress import ArchiveProgress, Progress
from animatic.results import reading
from animatic.results.exit_codes import DONE, INCOMPLETE
from animatic.results.table_files import find_tables
from animatic.storage.folder import Folder
from animatic.takes.states import State
from flows.asking import open_asking
from flows.checking import Checking
from flows.command.clip_checking import check_rest, run_batch
from flows.command.embedded import provider
from flows.command.panel import panel
from flows.session import new_run_id
from flows.settings import Settings
from flows.terminal import PlainConsole, say_json

ROWS_AT_ONCE = 200
_COLUMNS = ("shot_id", "storyboard", "take", "status", "fingerprint")


@dataclass(slots=True)
class Archived:
    """End of the command.

    Attributes:
        unknown: takes of the tables that the ledger does not know.
        problems: why clips are not archived, a sentence each.
        statuses: rows of the tables, by status.
    """

    progress: ArchiveProgress
    unknown: int
    problems: Sequence[str]
    statuses: Counter[str]


def archive_results(  # noqa: PLR0913 - the options of the command
    uris: Sequence[str], to: str, clip_name: str, console: PlainConsole, *, sandbox: bool, as_json: bool
) -> int:
    """Archive the clips of all completed takes of some results tables; 3 if one cannot be had.

    Raises:
        FixInputError: a table cannot be read, or the archive cannot be written to.
    """
    storage.require_lasting(to)
    name, folder, settings, run_id = ClipName(clip_name), Folder(to), Settings.from_environment(), new_run_id()
    uris = find_tables(uris, settings.network)
    progress = Progress()
    with provider(settings, run_id, sandbox=sandbox) as used, panel(console, progress, storage.name_of(uris[0])):
        end = asyncio.run(_archive(uris, folder, name, used, run_id, progress, console))
    _tell(end, folder, uris, console, sandbox=sandbox, as_json=as_json)
    return INCOMPLETE if end.progress.failed or end.unknown else DONE


async def _archive(  # noqa: PLR0913, PLR0917 - what goes where, and who hears of it
    uris: Sequence[str],
    folder: Folder,
    clip_name: ClipName,
    settings: Settings,
    run_id: str,
    progress: Progress,
    console: PlainConsole,
) -> Archived:
    unknown, seen, statuses = 0, set[str](), Counter[str]()
    with open_ledger(settings.ledger) as ledger:
        async with (
            ledger.run(run_id, storage.absolute_uri(uris[0])),
            open_asking(settings) as ask,
            Archive(
                folder, clip_name, ledger,
                run_id=run_id, ask=ask, warn=console.print, progress=progress.archive,
                origin=settings.base_url, network=settings.network,
            ) as archive,
        ):  # fmt: skip
            checking = Checking(ledger, settings, progress.checks, archive=folder.uri, run_batch=run_batch)
            for uri in uris:
                for rows in await asyncio.to_thread(lambda uri=uri: list(_rows_of(uri, settings, statuses))):
                    fresh = [row for row in rows if row["fingerprint"] not in seen]
                    seen.update(row["fingerprint"] for row in fresh)
                    outputs, missing = await _outputs_of(ledger, fresh, archive)
                    unknown += missing
                    progress.archive.total += len(outputs)
                    await archive.add(outputs)
                    checking.archived(list(dict.fromkeys(each.identity.fingerprint for each in outputs)))
            await check_rest(checking, [])
            problems = await _problems(ledger, sorted(seen), folder.uri)
            note = await describe(folder, ledger)
            problems += [] if note is None else [note]
    return Archived(progress.archive, unknown, problems, statuses)


def _rows_of(uri: str, settings: Settings, statuses: Counter[str]) -> Iterator[list[dict[str, Any]]]:
    """Yield the completed takes of a table, some at a time, and count its rows by status. Raises LocationError."""
    with storage.open_copy(uri, max_bytes=reading.MAX_RESULTS_BYTES, network=settings.network) as file:
        for table in reading.read_columns(file, storage.name_of(uri), _COLUMNS):
            found = table.to_pylist()
            statuses.update(str(row["status"]) for row in found)
            rows = [row for row in found if row["status"] == "completed" and row["fingerprint"]]
            for start in range(0, len(rows), ROWS_AT_ONCE):
                yield rows[start : start + ROWS_AT_ONCE]


async def _outputs_of(ledger: Ledger, rows: Sequence[dict[str, Any]], archive: Archive) -> tuple[list[Output], int]:
    """Return the outputs of those takes as the ledger knows them, and how many takes it does not know."""
    now_of = await ledger.takes_of([row["fingerprint"] for row in rows])
    names = [now_of.get(row["fingerprint"]) or row["fingerprint"] for row in rows]
    records = await ledger.look_up(names)
    versions = await ledger.versions_of(None, names) if archive.clip_name.needs_version else {}
    outputs: list[Output] = []
    missing = 0
    for row, name in zip(rows, names, strict=True):
        record = records.get(name)
        if record is None or record.state is not State.COMPLETED:
            missing += 1
            continue
        shown = (row["storyboard"] or "", row["shot_id"] or "", row["take"] or 1)
        identity = ClipIdentity(name, *shown, versions.get(name, 1), "")
        outputs += outputs_of(record, identity, f"{row['shot_id']} take {row['take']}")
    return outputs, missing


async def _problems(ledger: Ledger, fingerprints: Sequence[str], archive: str) -> list[str]:
    found = await ledger.clips_of(fingerprints)
    return [f"{clip.name}: {clip.error}" for _, clip in found if clip.error and clip.archive == archive]


def _tell(  # noqa: PLR0913 - the end, and what was typed
    end: Archived, folder: Folder, uris: Sequence[str], console: PlainConsole, *, sandbox: bool, as_json: bool
) -> None:
    progress = end.progress
    failed = f"; {progress.failed:,} could not be had" if progress.failed else ""
    console.print(f"{progress.kept:,} of {progress.total:,} clips are in {folder.place}{failed}")
    if not end.statuses["completed"]:
        counts = ", ".join(f"{count:,} {status}" for status, count in end.statuses.most_common()) or "none"
        console.print(f"there is no clip to fetch: of the rows of the tables none is completed ({counts})")
    for line in end.problems[:20]:
        console.print(line)
    if len(end.problems) > 20:
        console.print(f"and {len(end.problems) - 20:,} more (column archive_error of the results)")
    if end.unknown:
        console.print(
            f"{counted(end.unknown, 'completed take')} of the tables are not in this ledger; take them over first:\n"
            f"    {command('ledger', 'import', *map(positional, uris), *(['--sandbox'] if sandbox else []))}"
        )
    if as_json:
        say_json(
            json.dumps(
                {
                    "archive": folder.uri,
                    "clips": progress.total,
                    "archived": progress.kept,
                    "failed": progress.failed,
                    "unknown": end.unknown,
                }
            )
        )
