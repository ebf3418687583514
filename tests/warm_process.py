"""The process that commands are forked from; see `warm`. A script; the children are its own, and it has no threads."""

import array
import gc
import importlib
import marshal
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

WITHOUT_PREFECT = (
    *("animatic.__main__", "animatic.results", "flows.command.cli", "flows.command.commands", "flows.command.preview"),
    *("flows.command.launch", "flows.command.plan_in_words", "flows.server.prefect_api", "pandas", "av", "PIL.Image"),
)
WITH_PREFECT = (
    *("flows.animate", "flows.command.prefect_end", "prefect.flow_engine", "prefect.task_engine"),
    *("fastapi.encoders", "encodings.idna"),
)
OURS = ("animatic", "flows", "tasks", "prefect")


class Kept(MetaPathFinder, Loader):
    """Prefect, and all that came with it: imported, but out of sight until a command imports one of the modules.

    Then all of them are there, and Prefect has read its settings as they are by then, as if it were imported anew.
    """

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self._modules = modules
        self._specs = {name: module.__spec__ for name, module in modules.items()}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname not in self._modules:
            return None
        if fullname.partition(".")[0] in OURS:
            sys.meta_path.remove(self)
            sys.modules.update(self._modules)
            importlib.import_module("prefect.context").refresh_global_settings_context()
        else:
            sys.modules.update({name: each for name, each in self._modules.items() if not name.startswith(OURS)})
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._specs[module.__name__]


def import_all() -> None:
    for name in WITHOUT_PREFECT:
        importlib.import_module(name)
    assert "prefect" not in sys.modules
    before = set(sys.modules)
    for name in WITH_PREFECT:
        importlib.import_module(name)
    sys.meta_path.insert(0, Kept({name: sys.modules.pop(name) for name in set(sys.modules) - before}))
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Order:
    """Arguments, folder and variables that a command was started with."""

    arguments: list[str]
    environment: dict[bytes, bytes]
    folder: bytes
    umask: int
    streams: list[int]

    def become(self, program: str) -> None:
        """Make this process that of a command just started."""
        os.setsid()
        for number, stream in enumerate(self.streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(self.folder)
        os.umask(self.umask)
        os.environb.clear()
        os.environb.update(self.environment)
        time.tzset()
        tempfile.tempdir = None
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
        sys.argv[:] = [program, *self.arguments]


def received(line: socket.socket) -> Order | None:
    head, given, _, _ = line.recvmsg(4, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    if not given:
        return None
    streams, text = array.array("i", given[0][2]), bytearray()
    while len(text) < int.from_bytes(head, "big"):
        text += line.recv(65_536)
    return Order(*marshal.loads(bytes(text)), list(streams))


@dataclass(frozen=True)
class Child:
    """A command that runs: its process, a descriptor that is readable once it ended, and the line to its program."""

    pid: int
    ended: int
    line: socket.socket

    def close(self) -> None:
        os.close(self.ended)
        self.line.close()


class Commands:
    """Forks a child for each command, tells its program how it ended, and ends it where the program is gone."""

    def __init__(self, place: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(place)
        self._listening.listen(64)
        self._waiting = selectors.DefaultSelector()
        for each in (self._listening, sys.stdin):
            self._waiting.register(each, selectors.EVENT_READ)
        self._children: set[Child] = set()

    def next(self) -> Order:
        """Return the order of a command, in its process only."""
        while True:
            for key, _ in self._waiting.select():
                if key.fileobj is sys.stdin:  # pytest has ended, in whatever way
                    self.end_all()
                elif key.data is None:
                    line, _ = self._listening.accept()
                    if (order := received(line)) is not None and self._forks(order, line):
                        return order
                elif key.data in self._children:
                    self._end(key.data, is_abandoned=key.fileobj is key.data.line)

    def _forks(self, order: Order, line: socket.socket) -> bool:
        """Fork; True in the child."""
        pid = os.fork()
        if pid == 0:
            self._waiting.close()
            for each in (self._listening, line, *self._children):
                each.close()
            return True
        for stream in order.streams:
            os.close(stream)
        child = Child(pid, os.pidfd_open(pid), line)
        self._children.add(child)
        for each in (child.ended, line):
            self._waiting.register(each, selectors.EVENT_READ, child)
        with suppress(BrokenPipeError):
            line.sendall(pid.to_bytes(4, "big"))
        return False

    def _end(self, child: Child, *, is_abandoned: bool) -> None:
        if is_abandoned:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        for each in (child.ended, child.line):
            self._waiting.unregister(each)
        with suppress(OSError):
            child.line.sendall(status.to_bytes(4, "big"))
        child.close()
        self._children.remove(child)

    def end_all(self) -> NoReturn:
        """End all of them, and this process."""
        for child in self._children:
            os.kill(child.pid, signal.SIGKILL)
        os._exit(0)


def main() -> NoReturn:
    """Serve until stdin ends; in a child, run the command."""
    place, program = sys.argv[1:]
    import_all()
    assert threads() == 1, "a thread would be missing in the children"
    commands = Commands(place)
    os.write(1, b"warm\n")
    commands.next().become(program)
    sys.exit(importlib.import_module("animatic.__main__").main())


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


if __name__ == "__main__":
    main()
