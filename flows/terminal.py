"""What reaches a terminal: nothing of a manifest, an API reply or a file name that would steer it.

Everything that is printed goes through `printable`, by way of this module's console or `say`.
"""

import sys
from typing import Any

from rich.console import Console


def printable(text: str) -> str:
    """The text with its lines kept and every other character that does not print as an escape, such as U+001B."""
    if text.isprintable():
        return text
    return "".join(char if char == "\n" or char.isprintable() else _escaped(char) for char in text)


class PlainConsole(Console):
    """A console that prints text as it is: no markup, no wrapping, nothing that steers."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich's, for text or for what Rich renders; text that is inside of that must be `printable` already."""
        shown = (printable(each) if isinstance(each, str) else each for each in objects)
        plain: dict[str, Any] = {"markup": False, "soft_wrap": True, "highlight": False}
        super().print(*shown, **(plain | options))


def stderr() -> PlainConsole:
    """Where people are told what goes on."""
    return PlainConsole(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line, or several, on stdout."""
    sys.stdout.write(printable(text) + "\n")


def say_json(line: str) -> None:
    """One line of ASCII JSON on stdout."""
    sys.stdout.write(line.replace("\x7f", "\\u007f") + "\n")


def complain(text: str) -> None:
    """A line, or several, on stderr."""
    sys.stderr.write(printable(text) + "\n")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
