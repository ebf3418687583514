"""Files of an inbox as the ledger knows them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class FileState(StrEnum):
    """Progress of a file of an inbox."""

    NEW = "new"
    """Listed, and not worked on yet."""

    FOREIGN = "foreign"
    """No manifest: a table that animatic itself wrote."""

    OPEN = "open"
    """Worked on, with takes left for later runs."""

    REFUSED = "refused"
    """It could not be run; a report says why."""

    DONE = "done"
    """Nothing is left that a later run could do."""


@dataclass(frozen=True, slots=True)
class InboxFile:
    """A file of an inbox, as the ledger knows it.

    Attributes:
        provider: from whom its takes are bought.
        mark: what its place said of it; another one after each change.
        marked_at: when it was first listed so.
        content: SHA-256 of the bytes that `state` is about; None where it was never read.
        results: URI of its results table.
        holder: the run that works on it, or worked on it when it died.
        runs: how often a run has begun to work on it.
        counts: rows of its results by status.
        spent_microusd: what its takes have cost so far, in millionths of a dollar; None where that is not known.
        problem: the first line of why it is not done; empty where nothing went wrong.
    """

    provider: str
    uri: str
    mark: str
    marked_at: datetime
    content: str | None = None
    results: str = ""
    state: FileState = FileState.NEW
    holder: str | None = None
    runs: int = 0
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    spent_microusd: int | None = None
    problem: str = ""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InboxEnd:
    """End of a run's work on a manifest; the fields are those of `InboxFile`."""

    state: FileState
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    spent_microusd: int | None = None
    problem: str = ""
