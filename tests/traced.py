"""Files that a command and all that it starts open or execute: seen by strace, whatever code opens them."""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

STRACE = shutil.which("strace")
NOT_TRACED = "needs strace (apt-get install strace, as .ci/run does): nothing else sees every file that is opened"

_CALLS = "open,openat,openat2,creat,execve,execveat,readlink,readlinkat,chdir"
_NAMED = re.compile(r"(?P<call>\w+)\((?:(?:AT_FDCWD|\d+)<(?P<base>[^>]*)>, )?\"(?P<path>(?:[^\"\\]|\\.)*)\"")
_OPENED = re.compile(r"= \d+<(?P<path>/[^>]*)>$")


class Touched(NamedTuple):
    """A file that a system call named, even if it was not there."""

    call: str
    path: str


def tracing(output: Path) -> list[str]:
    """The beginning of a command line that has the rest of it traced into this file."""
    assert STRACE is not None
    return [STRACE, "-f", "--seccomp-bpf", "-y", "-s", "4096", "-e", f"trace={_CALLS}", "-o", str(output), "--"]


def touched(output: Path, start: Path) -> set[Touched]:
    """Each file that was named, absolute: as it was asked for, and as it is once links are followed.

    A call that does not tell the folder which a relative path begins in is counted from the one that its process was
    last seen in, and from `start`, where the command began, if it was seen in none.
    """
    folders: dict[str, str] = {}
    found: set[Touched] = set()
    for line in output.read_text(errors="replace").splitlines():
        process, _, what = line.partition(" ")
        named, opened = _NAMED.match(what.lstrip()), _OPENED.search(what)
        call = named["call"] if named else "openat"
        if named:
            base = named["base"] or folders.get(process, str(start))
            path = os.path.normpath(os.path.join(base, named["path"]))  # noqa: PTH118 - text
            if "(AT_FDCWD<" in what:
                folders[process] = base
            elif call == "chdir" and "= -1" not in what:
                folders[process] = path
            found.add(Touched(call, path))
        if opened:
            found.add(Touched(call, opened["path"]))
    return found
