"""Subcommands of `animatic ledger`. They need no Prefect and buy nothing."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from animatic import storage
from animatic.errors import FixInputError
from animatic.errors.text import command, counted, one_line, reason_of, shell_line
from animatic.ledger import Imported, Ledger, ledger_name, look_into, open_ledger
from animatic.results import reading
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.exit_codes import DONE, UNCLEAR
from animatic.results.reading import MAX_RESULTS_BYTES
from animatic.results.table_files import find_tables
from animatic.takes.canonical import EMBEDDED_SANDBOX
from animatic.takes.money.amounts import as_number, dollars
from animatic.takes.states import PAID, State
from animatic.takes.stills import MAX_STILL_BYTES
from flows.command.embedded import sandbox_settings
from flows.command.next_steps import commands_in, reconcile_argv
from flows.settings import Settings
from flows.terminal import PlainConsole, say, say_json

ROWS_AT_ONCE = 2_000
MOST_NAMED = 10


def show_shot(shot: str, manifest: str | None, *, as_json: bool) -> int:
    """Print every take of a shot over all runs; 0.

    Raises:
        FixInputError: there is no such shot, or several manifests have one.
    """
    settings = Settings.from_environment()
    with look_into(settings.ledger, may_be_restored=True) as ledger:
        if ledger is None:
            raise FixInputError(
                f"ledger {ledger_name(settings.ledger)}: there is none yet, so there is no shot to show"
            )
        takes = asyncio.run(_takes_of(ledger, shot, manifest))
    if as_json:
        say_json(json.dumps({"shot": shot, "takes": takes}, default=str))
    else:
        say("\n".join(_lines_of(takes)))
    return 0


async def _takes_of(ledger: Ledger, shot: str, manifest: str | None) -> list[dict[str, Any]]:
    uris = await ledger.manifests_with(shot)
    if manifest is not None:
        wanted = storage.absolute_uri(manifest)
        if uris and wanted not in uris:
            raise FixInputError(f"--manifest: {wanted} has no shot {shot}; allowed: {', '.join(uris)}")
        uris = [uri for uri in uris if uri == wanted]
    if len(uris) > 1:
        found = [await ledger.takes_of_shot(shot, uri) for uri in uris]
        if _are_of_one_shot(found):
            return await _with_attempts(ledger, _each_once(found))
        raise FixInputError(
            f"{shot}: {len(uris)} manifests have a shot of that name; say which with --manifest: {', '.join(uris)}"
        )
    takes = await ledger.takes_of_shot(shot, uris[0]) if uris else []
    if not takes:
        takes: list[dict[str, Any]] = [{"fingerprint": each} for each in await ledger.takes_beginning(shot)]
    if not takes:
        raise FixInputError(
            f"{shot}: the ledger knows no shot of that name, and no take whose fingerprint begins so; allowed: a "
            "shot_id, or at least the first 8 hex digits of a fingerprint, as the results table shows them"
        )
    return await _with_attempts(ledger, takes)


async def _with_attempts(ledger: Ledger, takes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for take in takes:
        take["attempts"] = [_readable(each) for each in await ledger.attempts_at(take["fingerprint"])]
        following = await ledger.takes_starting_from([take["fingerprint"]])
        names = await ledger.names_of(following)
        take["followed_by"] = [names.get((each, ""), each[:12]) for each in following]
    return takes


def _are_of_one_shot(found: Sequence[Sequence[Mapping[str, Any]]]) -> bool:
    """Tell if manifests ask for one shot: each shares a take with another, or storyboard and folder.

    A manifest of retakes asks for takes of the one that it came from, or for a new version of its shot.
    """
    marks = [
        {each["fingerprint"] for each in takes}
        | {f"{each['manifest'].rpartition('/')[0]}/{each['storyboard']}" for each in takes if each["storyboard"]}
        for takes in found
    ]
    joined, left = marks[0], marks[1:]
    while near := next((each for each in left if each & joined), None):
        left.remove(near)
        joined = joined | near
    return not left


def _each_once(found: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the takes of several manifests, each as that which asked first has it."""
    once: dict[str, dict[str, Any]] = {}
    for take in sorted((take for takes in found for take in takes), key=lambda take: take["planned_at"]):
        once.setdefault(take["fingerprint"], take)
    return list(once.values())


def _readable(attempt: Mapping[str, Any]) -> dict[str, Any]:
    """Return an attempt with its price in dollars, 0 if nothing was bought."""
    price = attempt["quoted_microusd"] if State(attempt["state"]) in PAID | {State.SUBMITTING} else 0
    kept = {name: value for name, value in attempt.items() if name != "quoted_microusd"}
    return {**kept, "quoted_usd": as_number(price), "quoted_microusd": price}


def _lines_of(takes: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    total, unpriced = 0, 0
    for take in takes:
        manifest = storage.name_of(take["manifest"]) if "take" in take else ""
        where = f"{take['shot_id']} take {take['take']} (row {take['row']} of {manifest}), " if manifest else "take "
        lines.append(f"{one_line(where, 500)}{take['fingerprint'][:12]}")
        for each in take["attempts"]:
            price = each["quoted_microusd"]
            total, unpriced = total + (price or 0), unpriced + (price is None)
            is_sent = State(each["state"]) in PAID | {State.SUBMITTING}
            unsent = "sent, no reply" if is_sent else "not submitted"
            when = f"{each['submitted_at']:%Y-%m-%d %H:%M:%S} UTC" if each["submitted_at"] else unsent
            cost = "price not known" if price is None else dollars(price)
            said = f": {reason_of(each['error'])}" if each["error"] else ""
            lines.append(
                f"  {each['state']}, {cost}, {when}, run {each['run_id']}, "
                f"prediction {each['prediction_id'] or '-'}{said}"
            )
            lines += _steps_of(each, take["fingerprint"])
        if not take["attempts"]:
            lines.append("  never bought")
        if take["followed_by"]:
            more = (
                f" and {len(take['followed_by']) - MOST_NAMED:,} more" if len(take["followed_by"]) > MOST_NAMED else ""
            )
            lines.append(f"  its last frame begins {one_line(', '.join(take['followed_by'][:MOST_NAMED]), 500)}{more}")
    more = f", and {unpriced:,} at a price that is not known" if unpriced else ""
    return [*lines, f"in all {dollars(total)}{more}"]


def _steps_of(attempt: Mapping[str, Any], fingerprint: str) -> list[str]:
    """Return the commands that settle an attempt which is open."""
    state, is_of_sandbox = State(attempt["state"]), attempt["provider"] == EMBEDDED_SANDBOX
    looking = reconcile_argv(is_of_sandbox=is_of_sandbox)
    if state is State.UNKNOWN:
        by_hand = shell_line([*looking, "--absent", fingerprint[:12]])
        return [
            *("    settle it by WaveSpeed's list:", f"        {shell_line(looking)}"),
            *("    or, if you know that it was not bought:", f"        {by_hand}"),
        ]
    if state is State.SUBMITTING:
        return ["    if no run is submitting it now, settle it:", f"        {shell_line(looking)}"]
    return [f"    {line}" for line in commands_in(attempt["error"] or "")] if state is State.HELD else []


def import_results(uris: Sequence[str], console: PlainConsole, *, sandbox: bool, as_json: bool) -> int:
    """Take over what results tables know; 0 unless a row contradicts the ledger, then 4.

    Raises:
        LocationError: a table cannot be read; what came before it was taken over.
    """
    settings = Settings.from_environment()
    settings = sandbox_settings(settings) if sandbox else settings
    whole = Imported()
    with open_ledger(settings.ledger, may_be_restored=True) as ledger:
        for uri in find_tables(uris, settings.network):
            done = asyncio.run(_import_one(ledger, settings, uri))
            console.print(f"{uri}: {_counts_in_words(done)}")
            for line in done.conflicts[:20]:
                console.print(line)
            whole.add(done)
    if as_json:
        say_json(json.dumps({"counts": dict(whole.counts), "conflicts": whole.conflicts[:100]}))
    return UNCLEAR if whole.conflicts else DONE


async def _import_one(ledger: Ledger, settings: Settings, uri: str) -> Imported:
    name = storage.name_of(uri)
    where, done = storage.absolute_uri(uri), Imported()
    hash_of = lru_cache(maxsize=None)(_hash_of_still)
    with storage.open_copy(uri, max_bytes=MAX_RESULTS_BYTES, network=settings.network) as file:
        for _ in reading.read_columns(file, name, RESULTS_SCHEMA.names):
            pass  # the whole table is read once before anything of it is taken over
        chained = ["start_from"] if "start_from" in reading.read_head(file, name).names else []
        for table in reading.read_cells(file, name, RESULTS_SCHEMA.names, chained):
            for start in range(0, table.num_rows, ROWS_AT_ONCE):
                found = [_with_plain_name(row) for row in table.slice(start, ROWS_AT_ONCE).to_pylist()]
                rows = [row | {"still": hash_of(row.get("still_uri"))} for row in found]
                part = await ledger.take_over(settings.origin, settings.written_origin, where, rows)
                ledger.note_intents(ledger.noted_intents() + part.counts["taken over"])
                done.add(part)
    return done


def _with_plain_name(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the name of the shot that it starts from as text: JSON Lines have it as JSON."""
    name = str(row.get("start_from") or "")
    return {**row, "start_from": json.loads(name)} if name.startswith('"') and name.endswith('"') else row


def _hash_of_still(uri: str | None) -> str | None:
    """Hash a local still, if it is there and can be one; nothing else is opened for a table."""
    path = Path(unquote((uri or "").removeprefix("file://")))
    try:
        if not (uri or "").startswith("file:///") or not path.is_file() or path.stat().st_size > MAX_STILL_BYTES:
            return None
        return f"sha256:{sha256(path.read_bytes()).hexdigest()}"
    except (OSError, ValueError):
        return None


def _counts_in_words(done: Imported) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in done.counts.most_common() if count) or "no rows"


def accept_ledger(console: PlainConsole) -> int:
    """Declare a restored ledger complete; 0.

    Raises:
        FixInputError: there is no ledger, or its missing submissions were not searched for.
    """
    settings = Settings.from_environment()
    path = ledger_name(settings.ledger)
    with look_into(settings.ledger, may_be_restored=True) as ledger:
        if ledger is None:
            raise FixInputError(f"ledger {path}: there is none, so there is nothing to accept")
        lacks, was_looked_for = asyncio.run(ledger.lacking(ledger.noted_intents()))
        if lacks and not was_looked_for:
            raise FixInputError(
                f"ledger {path}: it lacks {counted(lacks, 'submission')}, which were not searched for. Nothing was "
                "changed. Take over what results tables (RESULTS) know, look through the account, and accept it then:\n"
                f"    {command('ledger', 'import', 'RESULTS')}\n    {command('reconcile')}\n"
                f"    {command('ledger', 'accept')}"
            )
        more = asyncio.run(ledger.declare_complete(ledger.noted_intents()))
    console.print(
        f"ledger {path}: declared complete, though {more:,} submissions were not in it when it was restored; runs of "
        "the next 7 days say which takes the account has made that belong to no take"
        if more
        else f"ledger {path}: it was complete already"
    )
    return 0
