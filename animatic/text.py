"""Text made safe to show, and near misses. Pure.

Nothing of a cell or a reply reaches a terminal as it is: it is cut, and characters that do not print are escaped.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_SHOWN_CHARS = 60


def escaped(text: str, max_chars: int = MAX_SHOWN_CHARS) -> str:
    """`text` cut at `max_chars`; quotes, backslashes, control and bidirectional characters as escapes."""
    cut = "".join(_escaped_char(char) for char in text[:max_chars])
    return cut if len(text) <= max_chars else f"{cut}…"


def one_line(text: str, max_chars: int = 2_000) -> str:
    """`text` for a log: one line, cut at `max_chars`; what does not print, line ends included, as escapes."""
    cut = "".join(char if char.isprintable() else _escaped_char(char) for char in text[:max_chars])
    return cut if len(text) <= max_chars else f"{cut}…"


def quoted(text: str) -> str:
    """`text` in double quotes, escaped and cut."""
    return f'"{escaped(text)}"'


def _escaped_char(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")


def did_you_mean(text: str) -> str:
    """Return the question of a hint."""
    return f"did you mean {quoted(text)}?"


def nearest(text: str, known: Iterable[str], min_ratio: float) -> str | None:
    """Return the one of `known` that `text` is most like, if at least `min_ratio` (0 to 1) of it is the same."""
    return next(iter(get_close_matches(text[:MAX_SHOWN_CHARS], known, 1, min_ratio)), None)
