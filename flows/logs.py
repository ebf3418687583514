"""Where everything that is not for the user's eyes goes: a log file for each run, and Prefect's UI. Never stderr."""

import logging
from pathlib import Path

import platformdirs

MOST_LOG_FILES = 60


def log_path(name: str) -> Path:
    """A new log file in the user's log folder, readable by its owner only; the oldest are removed."""
    folder = platformdirs.user_log_path("animatic")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)[:-MOST_LOG_FILES]:
        old.unlink(missing_ok=True)
    path = folder / f"{name}.log"
    path.touch(mode=0o600)
    return path


def quieten(path: Path, *, debug: bool) -> None:
    """Send what would be printed on stderr, by Prefect or a library, to the file; with `debug` to both.

    Call it after `import prefect`, which sets its console handlers up.
    """
    to_file = logging.FileHandler(path)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.captureWarnings(True)
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


def _prints(handler: logging.Handler) -> bool:
    """Whether a handler writes to the terminal: a stream of any kind that is not a file."""
    is_stream = isinstance(handler, logging.StreamHandler) or hasattr(handler, "console")
    return is_stream and not isinstance(handler, logging.FileHandler)
