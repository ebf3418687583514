"""Text made safe to show, commands that can be typed, and near misses. Pure.

Nothing of a cell or a reply reaches a terminal as it is: it is cut, and characters that do not print are escaped.
"""

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MAX_SHOWN_CHARS = 60
PROGRAM = "animatic"


def escaped(text: str, max_chars: int = MAX_SHOWN_CHARS) -> str:
    """`text` cut at `max_chars`; quotes, backslashes, control and bidirectional characters as escapes."""
    cut = "".join(_escaped_char(char) for char in text[:max_chars])
    return cut if len(text) <= max_chars else f"{cut}…"


def one_line(text: str, max_chars: int = 2_000) -> str:
    """`text` for a log: one line, cut at `max_chars`; what does not print, line ends included, as escapes."""
    cut = "".join(char if char.isprintable() else _escaped_char(char) for char in text[:max_chars])
    return cut if len(text) <= max_chars else f"{cut}…"


def printable(text: str) -> str:
    """Return the text with its line ends kept, and other characters that do not print as escapes, such as U+001B."""
    if text.isprintable():
        return text
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def quoted(text: str) -> str:
    """`text` in double quotes, escaped and cut."""
    return f'"{escaped(text)}"'


def short_name(place: str) -> str:
    """Return the last part of a path or URI; of a URI without query and fragment, which may hold a secret."""
    bare = re.split("[?#]", place, maxsplit=1)[0] if "://" in place else place
    return bare.rstrip("/").rpartition("/")[2]


def _escaped_char(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")


def command(*arguments: str) -> str:
    """Return a command of ours as people type it in any POSIX shell: in one line, and only of characters that print."""
    return shell_line([PROGRAM, *arguments])


def shell_line(words: Iterable[str]) -> str:
    """Return words as a POSIX shell takes them: by shlex, and by printf where a word holds what does not print."""
    return " ".join(shlex.quote(word) if word.isprintable() else _printed(word) for word in words)


def _printed(word: str) -> str:
    """Return a word as the output of printf. A shell drops line ends at the end of an output, so they stay as they are.

    Bytes that are no UTF-8, which file names may hold, come as Python keeps them, and go out as they were.
    """
    head = word.rstrip("\n")
    octal = re.sub(r"^-|[^ -~]+|[%\\']", lambda found: _octal(found[0]), head)
    line_ends = word[len(head) :]
    return (f"\"$(printf '{octal}')\"" if octal else "") + (f"'{line_ends}'" if line_ends else "")


def _octal(text: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in text.encode("utf-8", "surrogateescape"))


def positional(text: str) -> str:
    """Return a file's name so that no command takes it for an option."""
    return f"./{text}" if text.startswith("-") else text


_REQUEST = re.compile(r"(?:(?:GET|POST|PUT|DELETE) /\S*|[a-z]+(?=: (?:WaveSpeed|cannot) )): ")
ADVICE = re.compile(r"[;.] (?:settle it with|every run polls it once more).*", re.DOTALL)
"""The part of an error in the ledger that says what to do."""


def reason_of(error: str) -> str:
    """Return an error for people who do not ask which request it was; without what is to be done about it."""
    return ADVICE.sub("", _REQUEST.sub("", error, count=1) if _REQUEST.match(error) else error)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 take`, `2,000 takes`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shortened(lines: Sequence[str], most: int) -> list[str]:
    """Return the first `most` lines, and one that counts the others."""
    more = len(lines) - most
    return [*lines[:most], *([f"and {more:,} more"] if more > 0 else [])]


def did_you_mean(text: str) -> str:
    """Return the question of a hint."""
    return f"did you mean {quoted(text)}?"


def nearest(text: str, known: Iterable[str], min_ratio: float) -> str | None:
    """Return the one of `known` that `text` is most like, if at least `min_ratio` (0 to 1) of it is the same."""
    return next(iter(get_close_matches(text[:MAX_SHOWN_CHARS], known, 1, min_ratio)), None)


def duration_in_words(seconds: float) -> str:
    """Return a duration as people say it: `40 s`, `12 min`, `1.7 h`, `3.2 days`."""
    if seconds < 100:
        return f"{math.ceil(seconds) if seconds < 1 else round(seconds)} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
