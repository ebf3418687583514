"""Lines for Prefect's log of a run."""

from collections.abc import Callable

from prefect import get_run_logger

from animatic.errors.text import one_line


def line_logger(level: int) -> Callable[[str], None]:
    """Return a function that logs a text for this flow or task run, in one line, whatever stands in it."""
    log = get_run_logger().log
    return lambda text: log(level, "%s", one_line(text))
