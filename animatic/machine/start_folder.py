"""The folder that relative paths start from.

A command works in an empty folder of its own (see `flows.process`), so that no file beside a manifest is taken for
code or settings. Relative paths still mean the folder in which it was typed. A process that never called `leave`, such
as a deployment's, has just its current folder.
"""

import os
from pathlib import Path

_starts: dict[str, str] = {}
"""The folder that was left, by the folder that is worked in."""


def start_folder() -> str:
    """Return the folder that relative paths start from."""
    here = os.getcwd()  # noqa: PTH109 - text, as callers join it
    return _starts.get(here, here)


def from_start(path: str) -> str:
    """Return the path, absolute; links in it are not followed."""
    return os.path.normpath(os.path.join(start_folder(), path))  # noqa: PTH118 - the same


def leave(folder: Path) -> None:
    """Work in `folder` from now on. Raises OSError where it cannot be entered."""
    start = start_folder()
    os.chdir(folder)
    _starts[os.getcwd()] = start  # noqa: PTH109 - the same
