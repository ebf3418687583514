"""The folder that relative paths start from.

A command works in an empty folder of its own (see `flows.process`), so that no file beside a manifest is taken for
code or settings. Relative paths still mean the folder in which it was typed. A process that never called `leave`, such
as a deployment's, has just its current folder.
"""

import os
from pathlib import Path

_left: list[str] = []


def start_folder() -> str:
    """Return the folder that relative paths start from."""
    return _left[-1] if _left else os.getcwd()  # noqa: PTH109 - text, as callers join it


def from_start(path: str) -> str:
    """Return the path, absolute; links in it are not followed."""
    return os.path.normpath(os.path.join(start_folder(), path))  # noqa: PTH118 - the same


def leave(folder: Path) -> None:
    """Work in `folder` from now on. Raises OSError where it cannot be entered."""
    start = start_folder()
    os.chdir(folder)
    _left.append(start)
