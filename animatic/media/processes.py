"""Processes that decode and encode media: bounded in number, memory and time, and apart from the process that waits.

A job is a function of a module, with plain arguments and a plain result. A decoder that crashes or hangs takes its own
process along and nothing else. The processes see no key: they get a closed list of environment variables.
"""

import asyncio
import os
import pickle  # between us and our own children only
import queue
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, ParamSpec, Self, TypeVar

MOST_PROCESSES = 8
MOST_MEMORY_BYTES = 4 << 30
"""Address space of one process; a job that wants more fails."""

NICENESS = 5
"""Media never take a processor from a run that buys."""

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT",
              "PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START")  # fmt: skip
_LENGTH = struct.Struct("!Q")

P = ParamSpec("P")
T = TypeVar("T")


def processes_here() -> int:
    """Return how many media processes this machine has processors for, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(usable, 1), MOST_PROCESSES)


class Processes:
    """A pool of media processes; each is started by its first job, and kept for the next.

    Used as a context manager, sync or async: at its end all jobs are given up and all processes are gone.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self._threads = ThreadPoolExecutor(at_once or processes_here(), "media")
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._busy: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    async def run(self, within_s: float, function: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        """Return what a job returns; as `submit`. A job whose waiter is cancelled is given up if it did not begin."""
        return await asyncio.wrap_future(self.submit(within_s, function, *args, **more))

    def submit(self, within_s: float, function: Callable[P, T], *args: P.args, **more: P.kwargs) -> Future[T]:
        """Queue a job, and return its future.

        The future raises ValueError and OSError as the job raised them, ValueError also for a job that took longer
        than `within_s`, crashed, or wanted too much memory; RuntimeError for anything else that the job raised.
        """
        request = pickle.dumps((function, args, more))
        return self._threads.submit(self._do, request, within_s)

    def close(self) -> None:
        """Give all jobs up, and end all processes."""
        with self._lock:
            self._is_closed = True
            children = [*self._idle, *self._busy]
        for child in children:
            child.kill()
        self._threads.shutdown(cancel_futures=True)
        for child in children:
            child.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _do(self, request: bytes, within_s: float) -> Any:
        """Let one process do a job; the process is kept unless it died."""
        child = self._take()
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            child.kill()

        timer = threading.Timer(within_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            reply = _ask(child, request)
        finally:
            timer.cancel()
        if reply is None or is_late.is_set():
            self._drop(child)
            if is_late.is_set():
                raise ValueError(f"it took longer than {within_s:g} s")
            raise ValueError(f"the process that read it {_death(child.wait())}")
        self._give_back(child)
        is_done, result = pickle.loads(reply)  # noqa: S301 - our own child
        if is_done:
            return result
        raise result

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise ValueError("media are no longer read: the pool is closed")
            child = self._idle.pop() if self._idle else _start()
            self._busy.add(child)
            return child

    def _give_back(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._busy.discard(child)
            self._idle.append(child)

    def _drop(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._busy.discard(child)
        child.kill()
        child.communicate()


def _start() -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "animatic.media.processes"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


def _ask(child: subprocess.Popen[bytes], request: bytes) -> bytes | None:
    """Send a request, and return the reply; None if the process died over it."""
    if child.stdin is None or child.stdout is None:
        return None
    try:
        child.stdin.write(_LENGTH.pack(len(request)) + request)
        child.stdin.flush()
        return _read(child.stdout)
    except OSError:
        return None


def _read(file: BinaryIO | Any) -> bytes | None:
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = file.read(length)
    return body if len(body) == length else None


def _death(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with {code}"


def _result_of(request: bytes) -> tuple[bool, Any]:
    """Return the job's result, or the error to raise for it."""
    try:
        function, args, more = pickle.loads(request)  # noqa: S301 - our own parent
        return True, function(*args, **more)
    except (ValueError, OSError) as error:
        return False, error
    except MemoryError:
        return False, ValueError(f"it takes more than {MOST_MEMORY_BYTES >> 30} GiB of memory")
    except Exception as error:  # noqa: BLE001 - any other is a fault of ours, and the parent's to report
        return False, RuntimeError(f"{type(error).__name__}: {error}")


def _pickled(result: tuple[bool, Any]) -> bytes:
    """Return a reply; errors that do not survive pickling, such as FFmpeg's, keep their words."""
    if not result[0]:
        error = result[1]
        plain = OSError if isinstance(error, OSError) and type(error).__module__ == "builtins" else type(error)
        is_known = plain in {OSError, RuntimeError} or type(error) is ValueError
        result = (False, error if is_known else ValueError(str(error)))
    return pickle.dumps(result)


def serve() -> None:
    """Do jobs from standard input until it ends. The process ends with it, in the middle of a job too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies, requests = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.nice(NICENESS)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def hear() -> None:
        while (request := _read(requests)) is not None:
            waiting.put(request)
        os._exit(0)

    threading.Thread(target=hear, daemon=True).start()
    while True:
        reply = _pickled(_result_of(waiting.get()))
        replies.write(_LENGTH.pack(len(reply)) + reply)
        replies.flush()


if __name__ == "__main__":
    serve()
