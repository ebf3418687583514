"""Output to a terminal: nothing of a manifest, an API reply or a file name may steer it.

Everything that is printed goes through `printable`, by way of this module's console or `say`.
"""

import contextlib
import os
import re
import sys
import termios
import textwrap
import threading
import time
from collections.abc import Generator
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console

from animatic.errors.text import PROGRAM, printable

LEAST_COLUMNS, UNTOLD_COLUMNS = 40, 80
_COMMAND = re.compile(rf"\s+({PROGRAM}|mv|export) ")


def folded(text: str, columns: int | None) -> str:
    """Return the text with lines that are longer than the screen broken at blanks; None is no screen.

    A command stands in a line of its own and stays whole, so that it can be copied. So do long words, such as paths.
    """
    if columns is None:
        return text
    return "\n".join(_folded_line(line, max(columns, LEAST_COLUMNS)) for line in text.split("\n"))


def _folded_line(line: str, columns: int) -> str:
    if cell_len(line) <= columns or _COMMAND.match(line):
        return line
    indent = line[: len(line) - len(line.lstrip())]
    if not line.isascii():
        return _folded_by_cells(line, columns, indent)
    return "\n".join(
        textwrap.wrap(line, columns, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)
    )


def _folded_by_cells(line: str, columns: int, indent: str) -> str:
    """Break a line at blanks by the cells that its characters take: two each for many."""
    lines, text = list[str](), indent
    for word in line.split():
        longer = f"{text} {word}" if text.strip() else f"{text}{word}"
        if cell_len(longer) > columns and text.strip():
            lines.append(text)
            longer = f"{indent}  {word}"
        text = longer
    return "\n".join([*lines, text])


def columns_of(stream: TextIO) -> int | None:
    """Return how wide the terminal is behind a stream; None where there is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or UNTOLD_COLUMNS if stream.isatty() else None
    except (OSError, ValueError):
        return None


def without_passwords(text: str) -> str:
    """Return a text in one line, without queries of URLs and without what may be a password in them.

    All up to the last @ counts as a user, since a password may hold a slash or a blank by mistake.
    """
    hidden = re.sub(r"//.*@", "//***@", " ".join(text.split()))
    return re.sub(r"(//[^\s?]*)\?\S*", r"\1", hidden)


def error_line(error: BaseException) -> str:
    """Return an error with its type, as `without_passwords` and of bounded length."""
    text = without_passwords(str(error))
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


class _Beginning:
    """A line that says what is under way, and for how long, until the first line that is printed takes its place."""

    def __init__(self, text: str, columns: int) -> None:
        self._text, self._columns, self._began = printable(text), columns, time.monotonic()
        self._stream = sys.stderr  # the terminal itself: a live display puts something else in its place
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._write(self._text)
        threading.Thread(target=self._tick, name="beginning", daemon=True).start()

    def _tick(self) -> None:
        while not self._ended.wait(1.0):
            self._write(f"{self._text} {time.monotonic() - self._began:.0f} s")

    def _write(self, text: str) -> None:
        with self._lock, _unless_gone(self._stream):
            if not self._ended.is_set():
                self._stream.write(f"\r{text[: self._columns - 1]}")
                self._stream.flush()

    def end(self) -> None:
        """Clear the line."""
        with self._lock, _unless_gone(self._stream):
            self._ended.set()
            self._stream.write("\r\x1b[2K")
            self._stream.flush()


_beginnings: list[_Beginning] = []
"""The one line that stands on the terminal now, if any."""


def begin(text: str) -> None:
    """Show at once what is under way; the first line that is printed takes its place.

    Only on a terminal that can clear a line.
    """
    columns = columns_of(sys.stderr)
    if columns is None or os.environ.get("TERM", "dumb") == "dumb":
        return
    _end_of_beginning()
    _beginnings.append(_Beginning(text, columns))


def _end_of_beginning() -> None:
    while _beginnings:
        _beginnings.pop().end()


def print_nowhere(stream: TextIO) -> None:
    """Send a stream nowhere from now on: the terminal, pager or worker that read it is gone.

    A run that has begun to buy goes on: it must not lose track of what was paid for because its output has no reader.
    """
    with contextlib.suppress(OSError, ValueError):  # no file behind it
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _unless_gone(stream: TextIO) -> Generator[None]:
    try:
        yield
    except OSError:  # EPIPE, or EIO of a terminal that was closed
        print_nowhere(stream)


class PlainConsole(Console):
    """A console that prints text as it is: no markup, no wrapping, nothing that steers."""

    def on_broken_pipe(self) -> None:
        """Go on without a reader; Rich would end the process."""
        print_nowhere(self.file)  # pyright: ignore[reportArgumentType]

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich's, for text or for what Rich renders; text that is inside of that must be `printable` already."""
        _end_of_beginning()
        columns = self.width if self.is_terminal else None
        shown = (folded(printable(each), columns) if isinstance(each, str) else each for each in objects)
        plain: dict[str, Any] = {"markup": False, "soft_wrap": True, "highlight": False}
        with _unless_gone(self.file):  # pyright: ignore[reportArgumentType]
            super().print(*shown, **(plain | options))

    def ask(self, question: str) -> str:
        """Ask a question, and return the answer; nothing at the end of the input.

        What was typed before it was shown is no answer to it.
        """
        with contextlib.suppress(OSError, ValueError, termios.error):  # stdin is no terminal
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        try:
            return self.input(question, markup=False).strip()
        except EOFError:  # Ctrl-D
            self.print()
            return ""


def stderr() -> PlainConsole:
    """Return a console on stderr, for progress and messages."""
    return PlainConsole(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line, or several, on stdout."""
    _end_of_beginning()
    with _unless_gone(sys.stdout):
        sys.stdout.write(folded(printable(text), columns_of(sys.stdout)) + "\n")
        sys.stdout.flush()


def say_json(line: str) -> None:
    """One line of ASCII JSON on stdout."""
    _end_of_beginning()
    with _unless_gone(sys.stdout):
        sys.stdout.write(line.replace("\x7f", "\\u007f") + "\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    """Print a line, or several, on stderr."""
    _end_of_beginning()
    with _unless_gone(sys.stderr):
        sys.stderr.write(folded(printable(text), columns_of(sys.stderr)) + "\n")
