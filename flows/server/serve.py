"""`animatic serve [FILE]`: serve the deployments of a prefect.yaml until this process ends.

On the server that PREFECT_API_URL names; without it, on one of our own, with its UI and its scheduler, that ends when
we do. Runs are child processes with our environment. It needs no work pool and no worker, and reads none of the file's.
"""

import asyncio
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from animatic.errors import AnimaticError, SettingsError
from animatic.errors.text import did_you_mean, nearest, one_line
from animatic.machine.home import data_folder, prefect_home
from animatic.machine.own_packages import require_free_folder
from animatic.machine.privacy import keep_private
from animatic.results.exit_codes import DONE, REFUSED, UNEXPECTED
from flows.process import own_folder, reach_loopback_directly, use_own_folders
from flows.server.pages import UI_PORT, pages_settings
from flows.server.prefect_api import prefect_api
from flows.session import new_run_id
from flows.terminal import complain, error_line, say

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

DEPLOYMENTS = Path(__file__).parents[2] / "deployments/prefect.yaml"
"""That of a checkout."""

_LASTING = {
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "true",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "true",
    # In memory, as by default, a restart of the server would leave a limit taken by a run that is no more, for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": "true",
}
"""Settings that a server which outlives a run needs, and the embedded one of a single run does without."""

_PASSED_ON = {"name", "entrypoint", "parameters", "description", "tags", "version", "paused"}
_OF_WORK_POOLS = {"work_pool", "build", "push", "pull"}


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Options of `animatic serve`: the deployments, the port and the number of runs.

    Attributes:
        file: the prefect.yaml.
        only: names of the deployments to serve; all where it is empty.
        port: where a server of our own listens; any other port if that is taken.
        limit: the most runs at once; None is one more than there are deployments.
    """

    file: Path
    only: Sequence[str] = ()
    port: int = UI_PORT
    limit: int | None = None


def main(options: ServeOptions, *, debug: bool = False) -> int:
    """Serve until SIGINT or SIGTERM; the exit code."""
    keep_private()
    try:
        require_free_folder(Path.cwd())
        entries = chosen_deployments(options)
        home = own_folder(prefect_home(os.environ))
        os.environ |= {"PREFECT_HOME": str(home), "PYTHONSAFEPATH": "1"}
        os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")  # automations take silent runs for dead
        reach_loopback_directly()
        use_own_folders()
        lasting = {**pages_settings(), **_LASTING}
        with prefect_api(f"{new_run_id()}-serve", port=options.port, settings=lasting) as server:
            os.environ.setdefault("DO_NOT_TRACK", "1")
            # Imports Prefect, which reads the server's address from the environment.
            asyncio.run(serve(entries, is_ours=server is not None, limit=options.limit))
    except AnimaticError as error:
        complain(f"animatic: {error}")
        return REFUSED
    except KeyboardInterrupt:
        pass
    except Exception as error:
        if debug:
            raise
        complain(f"animatic: {type(error).__name__}: {one_line(str(error), 500)}")
        return UNEXPECTED
    return DONE


def chosen_deployments(options: ServeOptions) -> list[dict[str, Any]]:
    """Return the entries to serve.

    Raises:
        SettingsError: as `read_deployments`, or there is none of a name.
    """
    entries = read_deployments(options.file)
    names = [str(entry["name"]) for entry in entries]
    for name in options.only:
        if name not in names:
            near = nearest(name, names, 0.6)
            hint = "" if near is None else f"; {did_you_mean(near)}"
            raise SettingsError(f"--only: found {name}; allowed: {', '.join(sorted(set(names)))}{hint}")
    return [entry for entry in entries if not options.only or entry["name"] in options.only]


def read_deployments(path: Path) -> list[dict[str, Any]]:
    """Return the entries under `deployments`, as they are in the file.

    Raises:
        SettingsError: the file cannot be read as one of ours, or asks for something that only a work pool can do.
    """
    if not path.is_file():
        raise SettingsError(
            f"{path}: found no such file; allowed: a prefect.yaml with deployments; animatic init writes one"
        )
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries: list[dict[str, Any]] = [dict(entry) for entry in content["deployments"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: cannot be read as a prefect.yaml with deployments: {reason}") from None
    if not entries:
        raise SettingsError(f"{path}: has no deployments; add one, as docs/deploying.md says")
    known = _PASSED_ON | _OF_WORK_POOLS | {"schedules", "concurrency_limit"}
    for entry in entries:
        if missing := sorted({"name", "entrypoint"} - entry.keys()):
            raise SettingsError(f"{path}: deployment {entry.get('name')}: has no {' and no '.join(missing)}; add it")
        if unknown := sorted(entry.keys() - known):
            raise SettingsError(
                f"{path}: deployment {entry.get('name')}: found {', '.join(unknown)}; "
                f"what can be served has {', '.join(sorted(known - _OF_WORK_POOLS))}; `prefect deploy` can do more"
            )
    return entries


def served(entry: Mapping[str, Any]) -> "RunnerDeployment":
    """Return an entry of the file as Prefect serves it."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig  # noqa: PLC0415 - see `main`
    from prefect.deployments.runner import RunnerDeployment  # noqa: PLC0415 - the same
    from prefect.schedules import Schedule  # noqa: PLC0415 - the same

    limit = entry.get("concurrency_limit")
    schedules: list[dict[str, Any]] = [dict(schedule) for schedule in entry.get("schedules") or ()]
    for schedule in schedules:
        if isinstance(schedule.get("interval"), int | float):
            schedule["interval"] = timedelta(seconds=schedule["interval"])
    return RunnerDeployment.from_entrypoint(
        **{name: value for name, value in entry.items() if name in _PASSED_ON},
        concurrency_limit=ConcurrencyLimitConfig(**limit) if isinstance(limit, Mapping) else limit,
        schedules=[Schedule(**schedule) for schedule in schedules],
    )


async def serve(entries: Sequence[Mapping[str, Any]], *, is_ours: bool = False, limit: int | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Runs that are under way are then stopped, and write what they have.

    One run more than there are deployments may be here at once: each has a limit of its own, and a run that overlaps is
    turned away by the server only when a process is there to start it.
    """
    from prefect.runner import Runner  # noqa: PLC0415 - see `main`
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_UI_URL  # noqa: PLC0415 - the same

    for module in {str(entry["entrypoint"]).rpartition(".")[0] for entry in entries}:
        if module.startswith("flows."):  # ours, before Prefect puts the current folder on the path of imports
            importlib.import_module(module)
    deployments = [served(entry) for entry in entries]
    runner = Runner(name="animatic", limit=limit or len(deployments) + 1)
    for deployment in deployments:
        await runner.aadd_deployment(deployment)
    await _set_up_automations()
    serving = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # its first step sets a handler for SIGTERM that leaves runs behind; ours replace it
    signalled = asyncio.create_task(_first_signal().wait())
    names = (f"{each.full_name} ({_when(entry)})" for each, entry in zip(deployments, entries, strict=True))
    say(f"Prefect's UI: {PREFECT_UI_URL.value()}")
    if is_ours and (password := PREFECT_API_AUTH_STRING.value()):
        _tell_password(str(password))
    say(f"serving until Ctrl-C: {', '.join(names)}")
    sys.stdout.flush()
    await asyncio.wait((serving, signalled), return_when=asyncio.FIRST_COMPLETED)
    if runner.started:
        await runner.astop()
    else:
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _set_up_automations() -> None:
    """Put the automations on the server that start dead runs again, where it has none; say so where it takes none."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - see `main`

    from flows.server.automations import Watch, automations, put  # noqa: PLC0415 - the same

    try:
        async with get_client() as client:
            await put(client, automations(Watch()), only_missing=True)
    except Exception as error:  # noqa: BLE001 - runs go on without them
        complain(f"animatic: Prefect takes no automations ({error_line(error)}); dead runs are not started again")


def _tell_password(password: str) -> None:
    """Show the password on a terminal; elsewhere what we print may be kept for many to read, so it goes to a file."""
    if sys.stdout.isatty():
        say(f"sign in with, and in other terminals:\n    export PREFECT_API_AUTH_STRING={password}")
        return
    if password == os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        say("sign in with the password in PREFECT_SERVER_API_AUTH_STRING")
        return
    path = own_folder(data_folder(os.environ)) / "prefect-password"
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(f"{password}\n")
    except OSError as error:
        raise SettingsError(
            f"{path}: the server's password cannot be kept there ({error.strerror}); make room for it, or set one in "
            "PREFECT_SERVER_API_AUTH_STRING"
        ) from None
    say(f'sign in with, and in other terminals:\n    export PREFECT_API_AUTH_STRING="$(cat {path})"')


def _first_signal() -> asyncio.Event:
    """Return an event that SIGINT or SIGTERM sets, once: the next one ends the process."""
    signalled, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell() -> None:
        signalled.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tell)
    return signalled


def _when(entry: Mapping[str, Any]) -> str:
    """Return the schedules of an entry, in a few words."""
    whens: list[str] = []
    for schedule in entry.get("schedules") or ():
        if "interval" in schedule:
            when = f"every {schedule['interval']} s"
        else:
            when = f"{schedule.get('cron') or schedule.get('rrule')} {schedule.get('timezone') or 'UTC'}"
        whens.append(f"{when}, switched off" if schedule.get("active") is False else when)
    return "; ".join(whens) or "no schedule"


if __name__ == "__main__":
    sys.exit(main(ServeOptions(Path(sys.argv[1]) if sys.argv[1:] else DEPLOYMENTS)))
