"""The list of messages: where each stands, and that those which end a command say what to do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENDING = {
    "SettingsError", "LocationError", "FixInputError", "BudgetError", "LedgerUnusableError", "LedgerVersionError",
    "LedgerRestoredError", "ResultsUnwrittenError",
}  # fmt: skip
FOR_US = {
    "it has been closed",
    "the ledger refused a change",
    "{said_by(error)}",
    "{error}",
    "not in the ledger; begin",
    "so there is no",
    "so there is nothing",
}
"""Parts of messages of which nothing can be done but to run again, or that only code of ours meets."""


@pytest.fixture(scope="module")
def listed() -> list[tuple[str, str, str]]:
    found = subprocess.run(
        [sys.executable, "tools/messages.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [(place, shown_by, text) for place, shown_by, text in (line.split(": ", 2) for line in found.splitlines())]


def test_every_message_has_a_place(listed: list[tuple[str, str, str]]) -> None:
    assert len(listed) > 300
    assert all(re.fullmatch(r"(animatic|flows|tasks)/[\w/]+\.py:\d+", place) for place, _, _ in listed)
    assert any("--results: {results} is the manifest itself" in text for _, _, text in listed)


def test_errors_ending_a_command_say_what_is_allowed_or_what_to_do(listed: list[tuple[str, str, str]]) -> None:
    mute = [
        f"{place}: {text}"
        for place, shown_by, text in listed
        if shown_by in ENDING and not re.search(r"[;.|?]|allowed|\{\w*(advice|hint|_WAY_OUT)", text)
        if not any(part in text for part in FOR_US)
    ]
    assert mute == []
