"""`animatic retake`: write the manifest of what was asked for again."""

import asyncio
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from animatic import storage
from animatic.errors import FixInputError, SettingsError
from animatic.errors.text import PROGRAM, counted, positional
from animatic.ledger import ledger_name, look_into
from animatic.results import retake_table
from animatic.results.board import Row, make_board
from animatic.results.boards import BoardFiles, find_board_files, read_rows
from animatic.results.decision_files import find_decisions
from animatic.results.exit_codes import DONE, INCOMPLETE
from animatic.results.formats import SUFFIXES
from animatic.results.retake_table import Sheet, sheets_of
from animatic.results.retakes import Retakes, answers_in, plan_retakes
from animatic.takes.canonical import is_here
from flows.command.next_steps import NextStep, as_dict
from flows.settings import Settings
from flows.terminal import PlainConsole, say_json

MOST_LINES = 50
MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class RetakeOptions:
    """Options of the command, as typed.

    Attributes:
        stills: folder of files whose own folder no table says.
    """

    results: tuple[str, ...]
    output: str
    decisions: str | None = None
    stills: str | None = None


def write_retakes(options: RetakeOptions, console: PlainConsole, *, as_json: bool) -> int:
    """Write the manifest of the retakes; 0, or 3 where a request can be in none.

    Raises:
        FixInputError: a table cannot be read, the manifest cannot be written, or no request can be in one.
    """
    suffix = retake_table.check_suffix(storage.name_of(options.output))
    settings = Settings.from_environment()
    files = find_board_files(options.results, options.decisions, settings.network)
    tables = read_rows(files, settings.network, with_carried=True)
    board = make_board(tables, find_decisions(files.decisions, settings.network))
    retakes = plan_retakes(board, answers_in(tables))
    notes = [*board.notes, *retakes.notes, *_what_no_run_knows(retakes, settings), *_no_decisions(files)]
    stills = None if options.stills is None else storage.absolute_uri(options.stills)
    sheets, unplaced = sheets_of(retakes, stills)
    refused = [*retakes.refused, *unplaced]
    if refused and not sheets:
        raise FixInputError("\n".join(["no manifest can hold what is asked for again:", *refused[:MOST_LINES]]))
    places = _places(options.output, suffix, len(sheets))
    _require_free(places, suffix, files)
    for place, sheet in zip(places, sheets, strict=True):
        storage.replace_bytes(place, retake_table.encode(sheet.table, suffix))
    _tell(retakes, sheets, places, notes, refused, console)
    steps = _steps(options, sheets, places, is_sandbox=_is_of_sandbox(tables, settings))
    for line in [line for step in steps for line in step.lines()]:
        console.print(line)
    if as_json:
        said = {
            "manifests": [storage.absolute_uri(place) for place in places],
            "takes": sum(sheet.takes for sheet in sheets),
            "answered": retakes.answered,
            "refused": refused,
            "notes": notes,
        }
        say_json(json.dumps(said | as_dict(steps[0] if steps else None)))
    return INCOMPLETE if refused else DONE


def _no_decisions(files: BoardFiles) -> list[str]:
    """Return the line that says where decisions were looked for, where there are none."""
    if storage.exists(files.decisions):
        return []
    return [f"no decisions: looked for {files.decisions}; save them from the page, or name the file with --decisions"]


def _what_no_run_knows(retakes: Retakes, settings: Settings) -> list[str]:
    """Return the line that names takes which a run of the manifest would buy though the tables show them as bought."""
    bought = {take for unit in retakes.units for row in unit for take in row.counted_on}
    if not bought:
        return []
    with look_into(settings.ledger, may_be_restored=True) as ledger:
        known = {} if ledger is None else asyncio.run(ledger.look_up(sorted(bought)))
    unknown = len(bought) - len(known)
    if not unknown:
        return []
    note = (
        f"the ledger {ledger_name(settings.ledger)} does not know {counted(unknown, 'take')} that the "
        "tables show as bought, and a run with it would buy them again; name the ledger that they were bought with in "
        "ANIMATIC_LEDGER, or take over what the tables know with animatic ledger import"
    )
    return [note]


def _places(output: str, suffix: str, count: int) -> list[str]:
    """Return where the manifests go: `retakes.csv`, `retakes-2.csv` and so on."""
    stem = output[: -len(suffix)]
    return [output if number == 1 else f"{stem}-{number}{output[-len(suffix) :]}" for number in range(1, count + 1)]


def _require_free(places: Sequence[str], suffix: str, files: BoardFiles) -> None:
    """Refuse places that hold anything but an earlier manifest of retakes. Raises FixInputError."""
    for place in places:
        for other in (*files.results, files.decisions):
            if storage.kind_of(place) is not None and storage.is_same_file(place, other):
                raise SettingsError(f"-o {place}: found a file that is read ({other}); give another name")
        with storage.open_existing(place, max_bytes=MAX_BYTES) as old:
            if old is None:
                storage.require_writable(place)
            elif not retake_table.is_ours(retake_table.names_in(old.read(), suffix)):
                raise SettingsError(
                    f"-o {place}: found a file that no retake has written, and it would be written over; give another "
                    "name, or move it away"
                )


def _tell(  # noqa: PLR0913, PLR0917 - all that is to be said
    retakes: Retakes,
    sheets: Sequence[Sheet],
    places: Sequence[str],
    notes: Sequence[str],
    refused: Sequence[str],
    console: PlainConsole,
) -> None:
    for place, sheet in zip(places, sheets, strict=True):
        asked = [line for line in sheet.lines.values() if line.row.bought]
        beside = len(sheet.lines) - len(asked)
        more = f"; {counted(beside, 'more shot')} that they start from, as bought" if beside else ""
        console.print(
            f"{storage.name_of(place)}: {counted(sheet.takes, 'take')} of {counted(len(asked), 'shot')} to buy{more}"
        )
    if len(sheets) > 1:
        console.print("a manifest has each shot once, and files of one place: run all of them")
    if not sheets:
        console.print("nothing is asked for again that was not bought yet; no manifest was written")
    if retakes.answered:
        were = "was" if retakes.answered == 1 else "were"
        console.print(f"{counted(retakes.answered, 'request')} {were} answered before, and not asked again")
    for line in notes[:MOST_LINES]:
        console.print(f"note: {line}")
    for line in refused[:MOST_LINES]:
        console.print(f"not asked again: {line}")
    if len(refused) > MOST_LINES:
        console.print(f"and {len(refused) - MOST_LINES:,} more")


def _steps(
    options: RetakeOptions, sheets: Sequence[Sheet], places: Sequence[str], *, is_sandbox: bool
) -> list[NextStep]:
    steps: list[NextStep] = []
    new: list[str] = []
    for place, sheet in zip(places, sheets, strict=True):
        results = _free_results(place, options.results[0], new)
        new.append(results)
        more = [*_stills_option(sheet, place), *(["--sandbox"] if is_sandbox else [])]
        more += [] if options.decisions is None else ["--decisions", options.decisions]
        steps.append(NextStep("buy them", (PROGRAM, "run", positional(place), "--results", results, *more)))
    if steps:
        tables = [positional(each) for each in (*options.results, *new)]
        decisions = [] if options.decisions is None else ["--decisions", options.decisions]
        steps.append(NextStep("then look at all takes on one page", (PROGRAM, "review", *tables, *decisions)))
    return steps


def _stills_option(sheet: Sheet, place: str) -> list[str]:
    """Return the option that names the folder of stills; none where they are in the manifest's own folder, or below."""
    folder, own = sheet.stills, storage.absolute_uri(place).rpartition("/")[0]
    if folder is None or folder == own or folder.startswith(f"{own}/"):
        return []
    return ["--stills", unquote(folder.removeprefix("file://")) if folder.startswith("file:") else folder]


def _free_results(place: str, first: str, taken: Sequence[str]) -> str:
    """Return a name beside a manifest that no file has: a table that is replaced would take its answers with it."""
    suffix = next((each for each in SUFFIXES if first.lower().endswith(each)), ".parquet")
    stem = f"{place.rpartition('.')[0]}{'-results' if place.lower().endswith(suffix) else ''}"
    marks = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    names = (f"{stem}{mark}{suffix}" for mark in marks)
    return next(name for name in names if name not in taken and storage.kind_of(name) is None)


def _is_of_sandbox(tables: Iterable[Iterable[Row]], settings: Settings) -> bool:
    """Tell if takes came from the embedded sandbox: from this machine, though settings name a provider elsewhere."""
    if is_here(settings.base_url):
        return False
    urls = (str(row.get("output_url") or "") for rows in tables for row in rows)
    return any(url.startswith(("http://127.0.0.1:", "http://localhost:")) for url in urls)
