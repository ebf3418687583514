"""A PostgreSQL server of the proof's own: on a free port, in a folder of its own, to be killed and started again."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import psycopg
from ports import free_port

from torture.studio import fast_folder

READY_WITHIN_S = 60.0
USER = "postgres"


class Cluster:
    """A server whose folder is made when it is first started.

    Args:
        folder: an empty folder that the user postgres may enter.
        options: of `initdb`.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder, self.port = folder, free_port()
        self.started_at_s = 0.0
        """Moment of the last start, by the monotonic clock."""
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def start(self) -> None:
        """Start the server, and wait until it answers: crash recovery is over then."""
        data = self.folder / "data"
        if not (data / "PG_VERSION").is_file():
            made = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
            _run([program("initdb"), f"-D{data}", *made, *self._options])
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": 300,
            "shared_buffers": "16MB", "logging_collector": "off",
            "dynamic_shared_memory_type": "mmap",  # in its folder: what a server that was killed has left goes with it
        }  # fmt: skip
        command = [program("postgres"), f"-D{data}", *(f"-c{name}={value}" for name, value in settings.items())]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                as_postgres(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError(f"the server did not start: {self.log()[-600:]}")
            time.sleep(0.02)
        self.started_at_s = time.monotonic()

    def wait_until_up(self) -> None:
        """Wait until it was started again, by another thread."""
        until = time.monotonic() + READY_WITHIN_S
        while not self._answers() and time.monotonic() < until:
            time.sleep(0.02)

    def log(self) -> str:
        """Return what the server has written."""
        return (self.folder / "server.log").read_text(errors="replace")

    def pids(self) -> list[int]:
        """Return the server's processes, the first one first."""
        first = self._process
        if first is None or first.poll() is not None:
            return []
        found: list[int] = []
        for each in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(each.read_text().rpartition(")")[2].split()[1]) == first.pid:
                    found.append(int(each.parent.name))
        return [first.pid, *found]

    def kill(self) -> None:
        """Send SIGKILL to each of the server's processes at once."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        while any(_is_alive(pid) for pid in pids):
            time.sleep(0.005)

    def kill_session(self, application: str = "animatic") -> int:
        """Send SIGKILL to the server's process of one session; the server then ends all others. Return its pid, or 0."""
        with psycopg.connect(self.url, autocommit=True) as db:
            sql = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY backend_start DESC LIMIT 1"
            row = db.execute(sql, (application,)).fetchone()
        if row is None:
            return 0
        os.kill(row[0], signal.SIGKILL)
        return int(row[0])

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it in order: SIGINT ends its sessions, SIGTERM waits for them, SIGQUIT leaves recovery to the next start."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def cluster(*options: str, folder: Path | None = None) -> Generator[Cluster]:
    """A server that runs, in a folder of memory unless another one is given; both are gone in the end."""
    own = Path(tempfile.mkdtemp(prefix="animatic-postgres-", dir=fast_folder())) if folder is None else folder
    if os.geteuid() == 0:
        shutil.chown(own, USER)
    made = Cluster(own, options)
    try:
        made.start()
        yield made
    finally:
        made.kill()
        if folder is None:
            shutil.rmtree(own, ignore_errors=True)


def program(name: str) -> str:
    """Return a program of the newest PostgreSQL here; Debian keeps them off the path.

    Raises:
        LookupError: there is none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        raise LookupError(f"found no {name}; install PostgreSQL: apt-get install postgresql")
    return path


def as_postgres(command: list[str]) -> list[str]:
    """Return a command that root runs as the user postgres: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", *command]


def _run(command: list[str]) -> None:
    done = subprocess.run(as_postgres(command), cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-400:]}")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
