"""Log lines as JSON objects: one a line, with the shot, the take and the prediction that it is about.

Neither the prompt of that take, nor what authorises in a URL, nor a password in one gets into such a line.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from animatic.errors.text import one_line
from animatic.takes.logged import LOGGED
from animatic.takes.shots import Take

HIDDEN = "***"
SHORTEST_PART = 12
"""A part of a prompt of so many characters is the prompt: WaveSpeed may repeat it in an error, cut."""

_OF_RUNS = ("flow_run_id", "flow_run_name", "task_run_id", "task_run_name")
_PASSWORD = re.compile(r"(?<=://)[^\s/@\"']+(?=@)")
_QUERY = re.compile(r"(?<=[a-z]://)([^\s?#\"'<>]+)[?#][^\s\"'<>]+")


RUN_ID: ContextVar[str | None] = ContextVar("animatic_run_id", default=None)
"""The run that lines are about, where it is not the one that the process was started for: a manifest of an inbox."""


class JsonLines(logging.Formatter):
    """Form of a log: time, level, logger and message; the run, the shot, the take and the prediction where known."""

    def __init__(self, run_id: str | None = None) -> None:
        super().__init__()
        self._run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the record in one line."""
        known = LOGGED.get()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "run_id": RUN_ID.get() or self._run_id,
            **{name: getattr(record, name, None) for name in _OF_RUNS},
        }
        if known is not None:
            take = known.take
            line |= {"shot_id": take.shot.shot_id, "take": take.number, "fingerprint": take.fingerprint}
            line["prediction_id"] = known.prediction_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        for name in ("message", "exception", "flow_run_name", "task_run_name"):
            if isinstance(line.get(name), str):
                line[name] = without_secrets(line[name], None if known is None else known.take)
        return json.dumps({name: value for name, value in line.items() if value is not None}, default=str)


def write_json(run_id: str | None = None) -> None:
    """Let every handler that writes lines, to a terminal or a file, write JSON from now on."""
    form, names = JsonLines(run_id), list(logging.root.manager.loggerDict)
    for logger in (logging.root, *map(logging.getLogger, names)):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) or hasattr(handler, "console"):
                handler.setFormatter(form)


def without_secrets(text: str, take: Take | None) -> str:
    """Return a text without what authorises in its URLs, and without what a take asks for in words."""
    for hidden in _words_of(take) if take is not None else ():
        text = _without(text, hidden)
    return _QUERY.sub(rf"\1?{HIDDEN}", _PASSWORD.sub(HIDDEN, text))


def _words_of(take: Take) -> Iterator[str]:
    """Yield the inputs of a take that are sentences or URLs, in every spelling that a log may have of them."""
    for name, value in take.shot.inputs.items():
        if isinstance(value, str) and ("prompt" in name or len(value) >= SHORTEST_PART):
            spelled = (value, one_line(value), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
            yield from dict.fromkeys(spelled)


def _without(text: str, hidden: str) -> str:
    """Return a text without any longer part of `hidden`; all of it counts where that is short."""
    if len(hidden) < 2 * SHORTEST_PART:
        return text.replace(hidden, HIDDEN) if hidden else text
    for start in range(0, len(hidden) - SHORTEST_PART + 1, SHORTEST_PART):
        while (at := text.find(hidden[start : start + SHORTEST_PART])) >= 0:
            first, end, last = at, at + SHORTEST_PART, start + SHORTEST_PART
            before = start
            while first and before and text[first - 1] == hidden[before - 1]:
                first, before = first - 1, before - 1
            while end < len(text) and last < len(hidden) and text[end] == hidden[last]:
                end, last = end + 1, last + 1
            text = f"{text[:first]}{HIDDEN}{text[end:]}"
    return text
