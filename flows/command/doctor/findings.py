"""Findings of the doctor, as values. Pure."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from animatic.errors.text import one_line, printable

_INDENT = 18


class FindingLevel(StrEnum):
    """Level of a finding for a run: nothing, something to know, or something in its way."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: such as `key` or `ledger`.
        text: what was found, and where something is wrong what to do about it.
    """

    subject: str
    text: str
    verdict: FindingLevel = FindingLevel.OK

    @property
    def line(self) -> str:
        """The finding in one line of plain text."""
        return f"{self.verdict:<6}{self.subject:<{_INDENT - 6}}{printable(one_line(self.text, 600))}"

    def wrapped(self, columns: int | None) -> str:
        """Return the finding in lines of that width, all but the first indented; in one line where there is none."""
        if columns is None:
            return self.line
        return "\n".join(textwrap.wrap(self.line, max(columns - 1, 40), subsequent_indent=" " * _INDENT))


def ok(subject: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(subject, text)


def note(subject: str, text: str) -> Finding:
    """Return a finding to know of, which stops no run."""
    return Finding(subject, text, FindingLevel.NOTE)


def fault(subject: str, text: str) -> Finding:
    """Return a finding that stops every run, or every real one."""
    return Finding(subject, text, FindingLevel.FAULT)


def summary_line(findings: Sequence[Finding]) -> str:
    """Return the last line: how many things are in the way of a run."""
    faults = sum(each.verdict is FindingLevel.FAULT for each in findings)
    notes = sum(each.verdict is FindingLevel.NOTE for each in findings)
    noted = f"; {notes} to know of" if notes else ""
    if not faults:
        return f"nothing is in the way of a run{noted}"
    return f"{faults} {'thing is' if faults == 1 else 'things are'} in the way of a run{noted}"
