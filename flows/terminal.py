"""Output to a terminal: nothing of a manifest, an API reply or a file name may steer it.

Everything that is printed goes through `printable`, by way of this module's console or `say`.
"""

import contextlib
import os
import re
import sys
import termios
from collections.abc import Generator
from typing import Any, TextIO

from rich.console import Console


def printable(text: str) -> str:
    """Return the text with its line ends kept, and other characters that do not print as escapes, such as U+001B."""
    if text.isprintable():
        return text
    return "".join(char if char == "\n" or char.isprintable() else _escaped(char) for char in text)


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
        shown = (printable(each) if isinstance(each, str) else each for each in objects)
        plain: dict[str, Any] = {"markup": False, "soft_wrap": True, "highlight": False}
        with _unless_gone(self.file):  # pyright: ignore[reportArgumentType]
            super().print(*shown, **(plain | options))

    def ask(self, question: str) -> str:
        """Ask a question, and return the answer. What was typed before it was shown is no answer to it."""
        with contextlib.suppress(OSError, ValueError, termios.error):  # stdin is no terminal
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        return self.input(question, markup=False).strip()


def stderr() -> PlainConsole:
    """Return a console on stderr, for progress and messages."""
    return PlainConsole(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line, or several, on stdout."""
    with _unless_gone(sys.stdout):
        sys.stdout.write(printable(text) + "\n")
        sys.stdout.flush()


def say_json(line: str) -> None:
    """One line of ASCII JSON on stdout."""
    with _unless_gone(sys.stdout):
        sys.stdout.write(line.replace("\x7f", "\\u007f") + "\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    """Print a line, or several, on stderr."""
    with _unless_gone(sys.stderr):
        sys.stderr.write(printable(text) + "\n")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
