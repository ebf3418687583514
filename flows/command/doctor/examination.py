"""The examination: each part is looked at in turn, and printed as soon as it is known."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Generator
from dataclasses import asdict, dataclass
from pathlib import Path

from animatic.errors import SettingsError
from animatic.machine.start_folder import from_start
from flows.command.doctor.findings import Finding, FindingLevel, summary_line
from flows.command.doctor.machine import (
    look_at_disks,
    look_at_files,
    look_at_key,
    look_at_ledger,
    look_at_limits,
    look_at_network,
    look_at_versions,
    read_settings,
)
from flows.command.embedded import provider
from flows.command.next_steps import as_dict
from flows.server.prefect_api import Start
from flows.settings import Settings
from flows.terminal import PlainConsole, say, say_json

ALL_WELL, SOMETHING_IN_THE_WAY = 0, 2
FOLDER = "animatic-doctor"


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """The options of `doctor`, as typed."""

    sandbox: bool = False
    buy_one: bool = False
    max_usd: float | None = None
    out: Path = Path(FOLDER)
    as_json: bool = False
    debug: bool = False

    def check(self) -> None:
        """Raise SettingsError where they do not fit together."""
        if self.buy_one and self.max_usd is None:
            raise SettingsError("--buy-one: buys one take; give --max-usd N too, the most dollars that it may cost")
        if self.max_usd is not None and not self.buy_one:
            raise SettingsError("--max-usd: nothing is bought without --buy-one; give both or neither")


def run_doctor(options: DoctorOptions, console: PlainConsole, start: Start) -> int:
    """Look at everything that a run would use; 0 if nothing is in the way of one, else 2.

    Needs `prefect_api` around it.
    With `--buy-one`, buy a take once nothing is in the way, and return the exit code of that run.

    Raises:
        SettingsError: the options do not fit together.
        FixInputError: the take cannot be bought.
    """
    options.check()
    found, code = list[Finding](), ALL_WELL
    settings, about_settings = read_settings(os.environ)
    _tell(found, [look_at_versions(), *about_settings], options)
    if settings is not None:
        with provider(settings, start.run_id, sandbox=options.sandbox) as account:
            _tell(found, _findings(account, start), options)
            code = _code(found)
            if options.buy_one and code == ALL_WELL:
                code = _buy_one(account, found, options, console, start)
    code = code or _code(found)
    if options.as_json:
        rows = [asdict(each) for each in found]
        say_json(json.dumps({"findings": rows, "exit_code": code} | as_dict(None)))
    else:
        say(summary_line(found))
    return code


def _findings(settings: Settings, start: Start) -> Generator[Finding]:
    yield look_at_key(settings)
    yield look_at_network(settings)
    yield from _asked(settings)
    yield look_at_limits(settings)
    yield from asyncio.run(look_at_ledger(settings))
    yield from look_at_disks(settings)
    yield look_at_files()

    from flows.command.doctor.prefect import look_at_prefect  # noqa: PLC0415 - imports Prefect, last of all

    yield from look_at_prefect(start.server)


def _asked(settings: Settings) -> list[Finding]:
    """Return what the API answers; nothing is asked with a key that cannot be one."""
    from flows.command.doctor.account import look_at_account  # noqa: PLC0415 - the settings come first

    try:
        return asyncio.run(_collected(look_at_account(settings)))
    except SettingsError:
        return []  # the finding on the key says why


async def _collected(findings: AsyncGenerator[Finding]) -> list[Finding]:
    return [each async for each in findings]


def _tell(found: list[Finding], more: "Generator[Finding] | list[Finding]", options: DoctorOptions) -> None:
    """Print findings as they come, and keep them."""
    for each in more:
        found.append(each)
        if not options.as_json:
            say(each.wrapped(_columns()))


def _columns() -> int | None:
    """Return the width of the terminal; None where stdout is none, and each finding stays in one line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _code(found: list[Finding]) -> int:
    return SOMETHING_IN_THE_WAY if any(each.verdict is FindingLevel.FAULT for each in found) else ALL_WELL


def _buy_one(
    settings: Settings, found: list[Finding], options: DoctorOptions, console: PlainConsole, start: Start
) -> int:
    from flows.command.doctor.one_take import OneTake, buy_one  # noqa: PLC0415 - only where one is bought

    assert options.max_usd is not None  # noqa: S101 - see `check`
    order = OneTake(Path(from_start(str(options.out))), options.max_usd, options.sandbox, options.debug)
    code, learned = buy_one(order, settings, console, start)
    _tell(found, learned, options)
    return code
