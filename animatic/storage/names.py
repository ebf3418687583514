"""Names of files on disk that are nearly the one that was asked for.

macOS writes accents apart from their letters (NFD), people and Windows type them as one (NFC): the same text is the
same file, where just one has it. Another case, or a slip of the pen, is only named.
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize

from animatic.errors.text import nearest

MOST_COMPARED = 5_000
"""In a folder with more names, a slip of the pen is not looked for."""

_LEAST_ALIKE = 0.8


def unicode_forms(path: str) -> list[str]:
    """Return the other forms that a path may be written in."""
    return [form for form in (normalize("NFC", path), normalize("NFD", path)) if form != path]


def as_spelled(root: Path, path: str) -> str:
    """Return a path as its files are spelled, if they differ in their Unicode form only; else the path itself."""
    if path.isascii():
        return path
    here = root
    for segment in path.split("/"):
        if not (here / segment).exists():
            same = _names_in(here).get(normalize("NFC", segment), ())
            if len(same) != 1:
                return path
            here /= same[0]
        else:
            here /= segment
    return here.relative_to(root).as_posix()


def find_near(folder: str, path: str) -> str | None:
    """Return the path of a file that may be meant by one that is not there; None where none is near. Raises OSError."""
    root = Path(folder)
    here = root
    for segment in path.split("/"):
        near = segment if (here / segment).exists() else _near(here, segment)
        if near is None:
            name = path.rpartition("/")[2]
            return name if (root / name).is_file() else None
        here /= near
    return here.relative_to(root).as_posix() if here.is_file() else None


def _near(folder: Path, name: str) -> str | None:
    """Return the one name in a folder that differs in case, else the one that is most alike."""
    names = [each for alike in _names_in(folder).values() for each in alike]
    wanted = normalize("NFC", name).casefold()
    same = [each for each in names if normalize("NFC", each).casefold() == wanted]
    if len(same) == 1:
        return same[0]
    return nearest(name, names, _LEAST_ALIKE) if len(names) <= MOST_COMPARED else None


def _names_in(folder: Path) -> Mapping[str, Sequence[str]]:
    """Return the names in a folder by their text; none where there is no folder."""
    try:
        return _read_names(str(folder), folder.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return {}


@lru_cache(maxsize=32)
def _read_names(folder: str, _changed_at: int) -> Mapping[str, Sequence[str]]:
    names: dict[str, list[str]] = {}
    for name in os.listdir(folder):  # noqa: PTH208 - names, not paths
        names.setdefault(normalize("NFC", name), []).append(name)
    return names
