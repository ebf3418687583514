"""Files of decisions, read and written."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from animatic import storage
from animatic.results.decision_table import MAX_BYTES, DecisionTable, read_table
from animatic.results.decisions import Decision, Decisions
from animatic.web.network import DIRECT, Network

NO_FILE = ""
"""Stands for the SHA-256 of a file that is not there."""


@dataclass(frozen=True, slots=True)
class DecisionFile:
    """A file of decisions as it was read.

    Attributes:
        sha256: of its bytes, in hex; NO_FILE where there is none.
    """

    uri: str
    sha256: str
    table: DecisionTable

    @property
    def decisions(self) -> Decisions:
        """The decisions in it. Raises LocationError: one is none of those allowed."""
        return self.table.decisions


@dataclass(frozen=True, slots=True)
class Saved:
    """Changes that were written; `file` is what stands there now."""

    file: DecisionFile


@dataclass(frozen=True, slots=True)
class Stale:
    """Changes that were not written, since the file is another one by now than was read; `file` is that."""

    file: DecisionFile


def load_decisions(uri: str, network: Network = DIRECT) -> DecisionFile:
    """Return a file of decisions as it is now; an empty one where there is none.

    Raises:
        LocationError: it cannot be read, or is no such table.
    """
    if not uri.startswith(("http:", "https:")) and not storage.exists(uri):
        return DecisionFile(uri, NO_FILE, DecisionTable(storage.name_of(uri)))
    return _load(uri, network)


def find_decisions(uri: str, network: Network = DIRECT) -> Decisions:
    """Return the decisions in a file; none where there is no file.

    Raises:
        LocationError: it cannot be read, or is no such table.
    """
    return load_decisions(uri, network).decisions.as_of(datetime.now(UTC))


def read_decisions(uri: str, network: Network = DIRECT) -> Decisions:
    """Return the decisions in a file.

    Raises:
        LocationError: it cannot be read, or is no such table.
    """
    return _load(uri, network).decisions.as_of(datetime.now(UTC))


def save_decisions(uri: str, changes: Sequence[Decision], *, read_sha256: str | None = None) -> Saved | Stale:
    """Put changed decisions into a file as it is now: rows that others have written stay.

    Args:
        uri: of the file; it is made where there is none.
        changes: one for each take, or take and frame, that was decided anew.
        read_sha256: of the file that the changes were made from: nothing is written where it is another one by now.

    Raises:
        LocationError: it cannot be read or written, or is no such table.
    """
    with storage.changing(uri):
        now = load_decisions(uri)
        if read_sha256 is not None and read_sha256 != now.sha256:
            return Stale(now)
        table = now.table.changed(changes)
        _ = table.decisions  # what is written can be read
        data = table.encode()
        storage.replace_bytes(uri, data)
    return Saved(DecisionFile(uri, _digest(data), table))


def _load(uri: str, network: Network) -> DecisionFile:
    data = storage.read_bytes(uri, max_bytes=MAX_BYTES, network=network)
    name = storage.name_of(uri)
    table = read_table(data, name) if data.strip() else DecisionTable(name)
    return DecisionFile(uri, _digest(data), table)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
