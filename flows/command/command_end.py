"""The end of a command: its exit code, and an error as one line."""

import contextlib
import json
import re
import signal
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import typer

from animatic.errors import AnimaticError, FixInputError, LocationError, ManifestError
from animatic.results.exit_codes import INTERRUPTED, REFUSED, UNEXPECTED
from flows import process
from flows.terminal import complain, say_json

if TYPE_CHECKING:
    from flows.server.prefect_api import Start


@contextlib.contextmanager
def prefect_started() -> Generator["Start"]:
    """Begin a new run, with Prefect's API around it. First of all, for its server takes longest to come up."""
    from flows.server.prefect_api import Start, prefect_api  # noqa: PLC0415 - keeps --help quick
    from flows.session import new_run_id  # noqa: PLC0415 - the same

    run_id = new_run_id()
    with prefect_api(run_id) as server:
        yield Start(run_id, server)


def end(command: Callable[[], int], *, debug: bool, as_json: bool = False) -> None:
    """Run a command and end with its exit code: 2 for bad input, 130 when interrupted, 1 for an unexpected error.

    With `as_json` an error is the last line of stdout too, as one JSON object.
    """
    with _one_line_errors(debug=debug, as_json=as_json):
        raise typer.Exit(command())


@contextlib.contextmanager
def _one_line_errors(*, debug: bool, as_json: bool) -> Generator[None]:
    """Tell an error as a sentence (a manifest's as its report), never as a traceback unless asked for."""
    for number in process.ending_signals():
        signal.signal(number, _as_interrupt)
    try:
        process.settle_in()
        yield
    except FixInputError as error:
        _tell(error, REFUSED, debug=debug, as_json=as_json)
        raise typer.Exit(REFUSED) from None
    except AnimaticError as error:
        _tell(error, UNEXPECTED, debug=debug, as_json=as_json)
        raise typer.Exit(UNEXPECTED) from None
    except KeyboardInterrupt:
        complain("animatic: interrupted")
        if as_json:
            say_error("interrupted", INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, people get one line
        _tell(error, UNEXPECTED, debug=debug, as_json=as_json)
        raise typer.Exit(UNEXPECTED) from None


def _as_interrupt(_number: int, _frame: object) -> None:
    """Before and after the flow, which has a handler of its own, SIGTERM and SIGHUP end us as Ctrl-C does."""
    raise KeyboardInterrupt


def say_error(text: str, exit_code: int) -> None:
    """Print an error as the last line of stdout, with the command that its text gives, if there is just one to type."""
    from flows.command.next_steps import as_dict, step_in  # noqa: PLC0415 - keeps --help quick

    say_json(json.dumps({"error": text, "exit_code": exit_code} | as_dict(step_in(text))))


_LINE_END = r"\s*\n(?! {4})\s*"
"""A line end, unless a command follows, which stands in a line of its own."""


def _tell(error: Exception, exit_code: int, *, debug: bool, as_json: bool) -> None:
    if debug:
        import traceback  # noqa: PLC0415 - only where asked for

        complain(traceback.format_exc())
    text: Any = str(error) if isinstance(error, AnimaticError) else f"{type(error).__name__}: {error}"
    why, _, _ = text.partition("\n    ")  # commands stand in lines of their own below it
    is_report = isinstance(error, ManifestError) or (
        isinstance(error, FixInputError) and not isinstance(error, LocationError) and "\n" in why
    )
    complain(text if is_report else f"animatic: {re.sub(_LINE_END, ' ', text)}")
    if as_json:
        say_error(text, exit_code)
