"""Commands forked from a process that has imported what they need: each starts in milliseconds, not in seconds.

Imports are most of the work of a short command, and tests start hundreds. The program `animatic` of a `Warm` hands all
that it was started with to the warm process: arguments, environment, folder, streams, umask. That forks, and the child
runs the command as the installed program does, in a session of its own. The program ends as the child does, passes
signals on to it, and takes it along when it is killed. With a variable in the environment that imports may heed, it is
the installed program, which starts cold.
"""

import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

COLD = Path(sys.executable).with_name("animatic")
"""The program as it is installed."""

HEEDED_LATE = frozenset({
    *("PATH", "HOME", "LANG", "TMPDIR", "TERM", "COLUMNS", "PWD", "OLDPWD", "SHLVL", "_", "PS1", "DO_NOT_TRACK"),
    *("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "MPLBACKEND", "PREFECT_HOME", "PREFECT_SERVER_API_PORT"),
    *("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"),
    *(form for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY") for form in (name, name.lower())),
})  # fmt: skip
"""Variables that no import heeds; those of our own (`OURS`) come on top."""

WITHOUT_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Settings by which libraries start no threads when they are imported: a fork would lose them."""

OURS = ("ANIMATIC_", "WAVESPEED_")

_PROGRAM = """#!{python} -IS
import array, marshal, os, signal, sys, time, _socket

if not all(name in {heeded_late!r} or name.startswith({ours!r}) for name in os.environ):
    os.execv({cold!r}, [{cold!r}, *sys.argv[1:]])
line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
line.connect({place!r})
umask = os.umask(0)
order = marshal.dumps((sys.argv[1:], dict(os.environb), os.getcwdb(), umask))
streams = array.array("i", [0, 1, 2])
line.sendmsg([len(order).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
line.sendall(order)
child = int.from_bytes(line.recv(4), "big")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(child, number))
status = line.recv(4)
if not status:
    sys.exit("the warm process is gone")
if os.isatty(1):
    time.sleep(0.3)  # the terminal of a session goes with it, and all that was not read of it yet
code = os.waitstatus_to_exitcode(int.from_bytes(status, "big"))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@dataclass
class Warm:
    """A warm process, started when its program is first asked for."""

    _process: "subprocess.Popen[bytes] | None" = None
    _folder: "tempfile.TemporaryDirectory[str] | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def programs(self) -> Path:
        """The folder, for PATH, of a program `animatic` that is forked."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="warm-")
                self._process = self._started(Path(self._folder.name))
            return Path(self._folder.name) / "programs"

    @property
    def animatic(self) -> str:
        """The program itself."""
        return str(self.programs / "animatic")

    def _started(self, folder: Path) -> "subprocess.Popen[bytes]":
        place, program = str(folder / "socket"), folder / "programs/animatic"
        program.parent.mkdir()
        text = _PROGRAM.format(python=sys.executable, heeded_late=HEEDED_LATE, ours=OURS, cold=str(COLD), place=place)
        program.write_text(text)
        program.chmod(0o755)
        environment = {"HOME": str(folder), "PREFECT_HOME": str(folder / "prefect")} | WITHOUT_THREADS
        process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("warm_process.py")), place, str(COLD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | {"LANG": "C.UTF-8", "DO_NOT_TRACK": "1"},
            cwd=folder,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"warm\n"
        return process

    def close(self) -> None:
        """End the process, and the commands that it still runs."""
        if self._process is not None and self._folder is not None:
            self._process.communicate()  # which closes its stdin
            self._folder.cleanup()
        self._process = self._folder = None
