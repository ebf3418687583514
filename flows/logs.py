"""Log files: one for each run and for each process that it starts, all of them bounded. Never stderr."""

import functools
import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, BinaryIO

from animatic.machine.home import log_folder
from flows.process import own_folder
from flows.terminal import print_nowhere

MOST_LOG_FILES = 60
MOST_LOG_BYTES = 8 << 20
"""Of one log file; what came before is kept once more, as `….log.1`, and what came before that is dropped."""


def log_path(name: str) -> Path:
    """Return a new log file in the log folder, readable by its owner only; the oldest are removed.

    Raises:
        SettingsError: it cannot be made.
    """
    folder = own_folder(log_folder(os.environ))
    for old in sorted(folder.glob("*.log"), key=_age)[:-MOST_LOG_FILES]:
        old.unlink(missing_ok=True)
        old.with_name(f"{old.name}.1").unlink(missing_ok=True)
    path = folder / f"{name}.log"
    path.touch(mode=0o600)
    return path


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another run has just removed it
        return 0.0


def copy_bounded(source: BinaryIO, path: Path) -> None:
    """Copy what a process prints to a log file until it ends, in bounded space; a full disk loses lines, no more."""
    written = path.stat().st_size if path.exists() else 0
    while chunk := source.read1(1 << 16):  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        try:
            if written + len(chunk) > MOST_LOG_BYTES:
                path.replace(path.with_name(f"{path.name}.1"))
                written = 0
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                written += os.write(descriptor, chunk)
            finally:
                os.close(descriptor)
        except OSError:
            continue


def redirect_logs(path: Path, *, debug: bool) -> None:
    """Send what would be printed on stderr, by Prefect or a library, to the file; with `debug` to both.

    Call it after `import prefect`, which sets its console handlers up.
    """
    to_file = RotatingFileHandler(path, maxBytes=MOST_LOG_BYTES, backupCount=1)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.captureWarnings(True)
    logging.raiseExceptions = debug  # or a log that cannot be sent is printed, by Prefect and by logging itself
    names = list(logging.root.manager.loggerDict)
    for logger in (logging.root, *map(logging.getLogger, names)):
        printing = [handler for handler in logger.handlers if _prints(handler)]
        if printing and not debug:
            for handler in printing:
                logger.removeHandler(handler)
        if printing:
            logger.addHandler(to_file)
    if to_file not in logging.root.handlers:
        logging.root.addHandler(to_file)


def outlive_console() -> None:
    """Let Prefect's console handlers go on without a reader: by default the first line to a broken pipe ends a run."""
    loggers = [logging.root, *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        console: Any = getattr(handler, "console", None)
        if console is not None:
            console.on_broken_pipe = functools.partial(print_nowhere, console.file)


def _prints(handler: logging.Handler) -> bool:
    """Tell if a handler writes to the terminal: a stream of any kind that is not a file."""
    is_stream = isinstance(handler, logging.StreamHandler) or hasattr(handler, "console")
    return is_stream and not isinstance(handler, logging.FileHandler)
