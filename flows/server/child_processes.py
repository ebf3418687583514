"""Processes that live as long as we do: Prefect's embedded server, and the embedded sandbox.

Each gets our end of a pipe as its stdin, which the kernel closes when we die, however we die; each ends itself then.
What they print goes to a log file.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from animatic.errors import AnimaticError
from animatic.machine.home import drawn_folder, prefect_home
from animatic.sandbox.folder import served_at, using
from flows.logs import copy_bounded
from flows.process import child_environment, child_folder

STOPS_WITHIN_S = 10.0
ENDS_UNUSED_WITHIN_S = 2.0
FOLDER_IS_SERVED = 3


class ServerProcessError(AnimaticError):
    """A process that the run needs did not come up."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server: its address, and its process where that is ours."""

    url: str
    process: subprocess.Popen[bytes] | None

    @property
    def is_dead(self) -> bool:
        """Tell that its process has ended; never true of one that is not ours."""
        return self.process is not None and self.process.poll() is not None


@contextmanager
def prefect_server(log: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> Generator[ServerProcess]:
    """Prefect's server on loopback, in a process of its own. `settings` replace those that suit a single run.

    Its socket listens before the process is up, so that clients wait in line instead of being refused. Faster to the
    first line of a flow than Prefect's own ephemeral mode, and its tracebacks stay in the log. Where `port` is taken,
    any other serves.
    """
    with _listening(port) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        arguments = ["-m", "flows.server.prefect_server", str(listening.fileno())]
        pages = {"PREFECT_SERVER_UI_API_URL": url, "PREFECT_UI_URL": url.removesuffix("/api")}  # links in notifications
        where = {"PREFECT_HOME": str(prefect_home(os.environ)), **pages}
        environment = {**where, **(settings or {})}
        with _started(arguments, log, pass_fds=[listening.fileno()], environment=environment) as process:
            listening.close()
            yield ServerProcess(url, process)


@contextmanager
def sandbox(
    folder: Path, log: Path, models: Path | None = None, *, renders_ahead: bool = True
) -> Generator[ServerProcess]:
    """Serve the sandbox on loopback, with its state in `folder`, or use the one that serves this folder already.

    `models` is a folder with more models on sale. Where no clips are fetched, none need be rendered ahead.

    Runs share it: it ends with the last one that uses it, whichever of them started it.

    Raises:
        ServerProcessError: it did not come up; the message has its own words.
        SettingsError: the one that serves this folder sells other models than `models`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    arguments = ["-m", "animatic.sandbox", "--folder", str(folder), "--own-port", "--die-with-parent"]
    arguments += ["--drawn", str(drawn_folder(os.environ))]
    arguments += [] if models is None else ["--models", str(models)]
    arguments += [] if renders_ahead else ["--render-late"]
    with ExitStack() as stack, ExitStack() as use:
        use.enter_context(using(folder))
        process = stack.enter_context(_started(arguments, log, is_shared=True))
        stack.callback(use.close)  # before it is asked to end, which it does once no run uses it
        assert process.stdout is not None  # noqa: S101 - we asked for a pipe
        line = process.stdout.readline()
        if line:
            yield ServerProcess(json.loads(line)["url"], process)
        elif process.wait(STOPS_WITHIN_S) == FOLDER_IS_SERVED:
            yield ServerProcess(served_at(folder, models), None)
        else:
            time.sleep(0.1)  # its last words are on their way to the log
            said = log.read_text(errors="replace").strip().splitlines()
            raise ServerProcessError(
                f"the embedded sandbox did not start: {said[-1] if said else 'it said nothing'} (log: {log})"
            )


def _listening(preferred: int) -> socket.socket:
    """Return a socket that listens on the preferred port, or on any where that one is taken."""
    try:
        return socket.create_server(("127.0.0.1", preferred), backlog=512)
    except OSError:
        return socket.create_server(("127.0.0.1", 0), backlog=512)


@contextmanager
def _started(
    arguments: Sequence[str],
    log: Path,
    *,
    is_shared: bool = False,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Generator[subprocess.Popen[bytes]]:
    """Start a Python process that ends when its stdin does.

    `is_shared`: it answers on its stdout, which does not go to the log, and stays where others use it after us.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if is_shared else subprocess.STDOUT,
        cwd=child_folder(),
        env=child_environment(environment),
        pass_fds=pass_fds,
        start_new_session=True,  # a Ctrl-C is for us; we end them when we are done
    )
    printed = process.stderr if is_shared else process.stdout
    copying = threading.Thread(target=copy_bounded, args=(printed, log), daemon=True)
    copying.start()
    try:
        yield process
    finally:
        _stop(process, is_shared=is_shared)
        copying.join(1.0)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None and (pipe is not printed or not copying.is_alive()):
                pipe.close()


def _stop(process: subprocess.Popen[bytes], *, is_shared: bool) -> None:
    """Close its stdin, wait, then insist; what is shared is left to those who use it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(ENDS_UNUSED_WITHIN_S if is_shared else STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        if not is_shared:
            process.kill()
            process.wait()
