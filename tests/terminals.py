"""Commands in a pseudo-terminal, and the screens that a person sees there."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pyte

LINES = 50
LONGEST_LINES = 400
"""So many lines stand on our screen, which does not scroll: what a person scrolls back to is there too."""

WITHIN_S = 90.0
CTRL_C = "\x03"

_WITH_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the session's own, so that a typed Ctrl-C is a signal."""


class Terminal:
    """A terminal with one command in it. Use as `with`: at its end the command is killed if it still runs."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, columns: int, term: str
    ) -> None:
        self.raw = b""
        self._screen = pyte.Screen(columns, LONGEST_LINES)
        self._stream, self._lock = pyte.ByteStream(self._screen), threading.Lock()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WITH_TERMINAL, *command],
            env={**environment, "TERM": term},
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
        self._process.wait()
        self._reading.join(5)
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                ready = select.select([self._ours], [], [], 0.2)[0]
                chunk = os.read(self._ours, 65_536) if ready else None
            except OSError:  # the other end is closed
                return
            if chunk == b"" or (chunk is None and self._process.poll() is not None):
                return
            if chunk:
                with self._lock:
                    self.raw += chunk
                    self._stream.feed(chunk)

    @property
    def text(self) -> str:
        """Text on the screen, without blanks at the ends of lines and blank lines at its end."""
        with self._lock:
            lines = [line.rstrip() for line in self._screen.display]
        return "\n".join(lines).rstrip("\n")

    @property
    def screen(self) -> pyte.Screen:
        """The screen itself, with its colours."""
        return self._screen

    def when(self, pattern: str, within_s: float = WITHIN_S) -> str:
        """Wait until the pattern is on the screen; the screen then."""
        ends = time.monotonic() + within_s
        while time.monotonic() < ends:
            is_over, text = self._process.poll() is not None, self.text
            if re.search(pattern, text):
                return text
            if is_over and not self._reading.is_alive():
                break
            time.sleep(0.05)
        raise AssertionError(f"never on the screen: {pattern}\n{self.text}")

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._ours, text.encode())

    def end(self, within_s: float = WITHIN_S) -> tuple[int, str]:
        """Wait for the command's end: its exit code, and the last screen."""
        code = self._process.wait(within_s)
        self._reading.join(10)
        return code, self.text
