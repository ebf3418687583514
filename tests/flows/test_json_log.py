"""Log lines as JSON: shot, take and prediction in fields; no prompt, no signature, no password."""

import json
import logging
from contextvars import copy_context

import pytest
from asked import shot_of, takes_of

from animatic.takes.logged import logged, note_prediction
from flows.json_log import JsonLines, without_secrets

PROMPT = 'Die Möwe fliegt langsam über das Meer,\nthen turns "left"'
STILL = "https://stills.example/a.png?X-Amz-Signature=canary"
(TAKE,) = takes_of(shot_of(1, prompt=PROMPT, image=STILL), "sandbox")


def line_of(message: str, *, with_error: bool = False) -> dict[str, object]:
    """Return the line of a message about the take, as a handler would write it."""

    def write() -> str:
        logged(TAKE)
        note_prediction("pred-1")
        error = (ValueError, ValueError(f"found {PROMPT}"), None) if with_error else None
        return JsonLines("run-1").format(logging.LogRecord("prefect", 20, __file__, 1, "%s", (message,), error))

    return json.loads(copy_context().run(write))


def test_a_line_has_the_shot_the_take_and_the_prediction() -> None:
    line = line_of("submitted")
    assert line["message"] == "submitted"
    assert (line["shot_id"], line["take"], line["prediction_id"]) == (TAKE.shot.shot_id, 1, "pred-1")
    assert (line["run_id"], line["level"], line["fingerprint"]) == ("run-1", "INFO", TAKE.fingerprint)


def test_a_line_about_no_take_names_none() -> None:
    line = json.loads(JsonLines().format(logging.LogRecord("prefect", 20, __file__, 1, "begun", (), None)))
    assert line.keys() == {"time", "level", "logger", "message"}


@pytest.mark.parametrize(
    "message",
    [
        f"rejected: {PROMPT}",
        f"rejected: {json.dumps(PROMPT)}",
        f"rejected: {json.dumps(PROMPT[:40])}",
        f"rejected: {PROMPT[5:38]}",
        f"cannot fetch {STILL}",
    ],
)
def test_a_prompt_or_still_that_is_repeated_is_not_logged(message: str) -> None:
    said = str(line_of(message)["message"])
    assert "***" in said
    assert not any(part in said for part in ("fliegt", "langsam", "canary", "X-Amz"))


def test_the_prompt_is_in_no_traceback() -> None:
    said = str(line_of("failed", with_error=True)["exception"])
    assert "ValueError: found ***" in said
    assert "fliegt" not in said


def test_what_authorises_in_a_url_is_cut_off() -> None:
    text = without_secrets("GET https://me:pw@host.example/x.png?sig=1&a=2#f failed; see http://a.example/b?c", None)
    assert text == "GET https://***@host.example/x.png?*** failed; see http://a.example/b?***"
