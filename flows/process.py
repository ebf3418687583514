"""This process and those that it starts: their folder, their environment, their limits.

A command works in an empty folder of ours, and so do its children: nothing beside a manifest is imported, or read as
the settings of Prefect or of any other library. Children get a closed list of variables, never the API key.
"""

import contextlib
import os
import resource
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from animatic.errors import SettingsError
from animatic.machine import home
from animatic.machine.own_packages import may_be_imported_from
from animatic.machine.start_folder import from_start, leave
from flows.terminal import print_nowhere
from flows.traces import send_traces

MOST_FILES = 16_384
"""As many open files as we ask for; the kernel's own tables are sized for more."""

FEWEST_FILES = 128
"""Below this a run cannot hold its ledger, its receipts, Prefect's connections and a handful of its own."""

_FILES_IN_USE = 96
"""Open files that a run needs beside its connections to the API: ledger, receipts, Prefect, logs, tables."""

HOLDS_UP_S = 50.0
"""Longest that Prefect may hold up a process whose flow run is over; with what the run itself grants it, a minute."""

_OF_PATHS = (
    "PREFECT_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
)

_PASSED_ON = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "SYSTEMROOT", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8",
    "PYTHONWARNINGS", "COVERAGE_PROCESS_START", "DO_NOT_TRACK",
})  # fmt: skip
"""Variables that a child needs to run at all; those of the locale (`LC_*`) go with them."""

_LOOPBACK = "127.0.0.1,localhost,::1"


def settle_in() -> None:
    """Make this process ready for a command. To be called once, before Prefect is imported.

    Raises:
        SettingsError: a folder that is needed cannot be had; the message names the variable that says where it is.
    """
    if not os.environ.get("HOME", "").strip():
        os.environ.pop("HOME", None)  # the password file says where it is then
    elif not os.path.isabs(os.environ["HOME"]):  # noqa: PTH117
        raise SettingsError(f'HOME: found "{os.environ["HOME"]}"; allowed: an absolute path')
    for name in _OF_PATHS:
        if os.environ.get(name):
            os.environ[name] = from_start(os.environ[name])
    _raise_file_limit()
    reach_loopback_directly()
    use_own_folders()
    leave(child_folder())


def use_own_folders() -> None:
    """Keep temporary files in `ANIMATIC_HOME`, and have a home where the user has none: Prefect needs both.

    Raises:
        SettingsError: there is no folder for temporary files.
    """
    _use_temporary_folder()
    # Path raises where a user has no home, and Prefect cannot be imported then.
    if not os.path.isabs(os.path.expanduser("~")):  # noqa: PTH111, PTH117
        os.environ["HOME"] = str(home.data_folder(os.environ))


def exit_with(code: int) -> NoReturn:
    """End the process at once, with all that was printed: threads of Prefect could wait for a server that is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            print_nowhere(stream)
    send_traces()
    os._exit(code)


def end_within(seconds: float) -> None:
    """End this process after some time at the latest, if all that it is for is one flow run of a deployment.

    Its results are written; Prefect's engine could wait many minutes for a server that is gone.
    """
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if main is not None and main.name in {"prefect.engine", "prefect.flow_engine"}:
        timer = threading.Timer(seconds, os._exit, (0,))
        timer.daemon = True
        timer.start()


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child: what it needs to run, and `more`."""
    passed = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}
    if "PYTHONPATH" in passed:
        folders = passed["PYTHONPATH"].split(os.pathsep)
        safe = [each for each in folders if os.path.isabs(each) and may_be_imported_from(each)]  # noqa: PTH117
        passed["PYTHONPATH"] = os.pathsep.join(safe)
    return passed | {"NO_PROXY": "*", "no_proxy": "*", "PYTHONSAFEPATH": "1"} | dict(more or {})


def child_folder() -> Path:
    """Return the folder that we and our children work in. Raises SettingsError where it cannot be made."""
    return own_folder(home.empty_folder(os.environ))


def reach_loopback_directly() -> None:
    """Keep calls to our own servers away from proxies, in this process and in its children."""
    for name in ("NO_PROXY", "no_proxy"):
        before = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        if before.strip() != "*" and _LOOPBACK not in before:
            os.environ[name] = f"{before},{_LOOPBACK}".strip(",")


def connections_that_fit() -> int:
    """Return how many connections to the API may be open at once, submissions and polls each."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return max((files - _FILES_IN_USE) // 2, 4)


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a run: SIGHUP too, unless it is ignored, as `nohup` has it."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM) if is_ignored else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _raise_file_limit() -> None:
    """Allow this process as many open files as the system lets it have.

    Raises:
        SettingsError: too few for any run.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a sandbox of the system may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FEWEST_FILES:
        raise SettingsError(
            f"open files: this process may have {soft} at once; allowed: {FEWEST_FILES} or more. "
            "Raise it with ulimit -n, or the limit of the service or container"
        )


def _use_temporary_folder() -> None:
    """Keep temporary files in `ANIMATIC_HOME`, where that is set and TMPDIR is not.

    Raises:
        SettingsError: there is no folder for temporary files.
    """
    folder = home.temporary_folder(os.environ)
    if folder is not None:
        os.environ["TMPDIR"] = str(own_folder(folder))
        tempfile.tempdir = None
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise SettingsError(
            "TMPDIR: no folder for temporary files can be written to (/tmp, /var/tmp and the current folder were "
            f"tried); set {home.HOME}, which holds one, or TMPDIR"
        ) from None


def own_folder(folder: Path) -> Path:
    """Make a folder for ourselves alone, and return it. Raises SettingsError where that is not possible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise SettingsError(
            f"{folder}: cannot be used as a folder of ours ({error.strerror}); set {home.HOME} to a folder that can be "
            "written to"
        ) from None
    return folder
