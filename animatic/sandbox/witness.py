"""The witness: which submissions the sandbox accepted, on disk before the reply.

`accepted.jsonl` in the sandbox's folder, one line each, append-only. Tests count it; a sandbox that starts again on
the folder rebuilds everything from it. What is deleted later stays in it: `deleted.jsonl` beside it holds a record of
each deletion.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from animatic.errors import SettingsError
from animatic.sandbox.journal import Journal, read_lines

_Record = TypeVar("_Record")
_NAME = "accepted.jsonl"
_DELETED = "deleted.jsonl"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted submission. Fields with a default are written only where they differ from it.

    Attributes:
        id: of the prediction, 32 hex digits.
        accepted_at: ISO 8601, UTC, to the millisecond.
        model: as in the path of the request.
        inputs: the body, with its defaults filled in; an image that came as a data: URI is the URL of its upload.
        scenario: as asked for, `NAME` or `NAME=VALUE`.
        started_at: when it gets its place among those in flight.
        latency_s: how long it works then.
        seed: of its clip.
        price_usd: what the account was charged.
        wants_base64: whether its outputs are base64 text instead of URLs.
        webhook_url: called when it is final; empty: none.
    """

    id: str
    accepted_at: str
    model: str
    inputs: Mapping[str, Any]
    scenario: str
    started_at: str
    latency_s: float
    seed: int
    price_usd: float
    wants_base64: bool = False
    webhook_url: str = ""


@dataclass(frozen=True, slots=True)
class Deleted:
    """One prediction that its owner deleted; `deleted_at` as `accepted_at` above."""

    id: str
    deleted_at: str


_ALWAYS = tuple(each.name for each in fields(Accepted) if each.default is MISSING)
_SOMETIMES = tuple((each.name, each.default) for each in fields(Accepted) if each.default is not MISSING)


class Witness:
    """The open files. One writer at a time: the folder's lock sees to that."""

    def __init__(self, folder: Path, *, syncs: bool) -> None:
        self._accepted = Journal(folder / _NAME, syncs=syncs)
        self._deleted = Journal(folder / _DELETED, syncs=syncs)

    def write(self, accepted: Accepted) -> None:
        """Append one line, durable when this returns. On a failure (OSError) the file is as before."""
        record = {name: getattr(accepted, name) for name in _ALWAYS}
        for name, default in _SOMETIMES:
            value = getattr(accepted, name)
            if value != default:
                record[name] = value
        self._accepted.write(record)

    def write_deleted(self, deleted: list[Deleted]) -> None:
        """Append a line for each, durable when this returns. On a failure (OSError) none was deleted."""
        self._deleted.write(*({"id": each.id, "deleted_at": each.deleted_at} for each in deleted))

    def close(self) -> None:
        """Close the files; nothing may be written any more."""
        self._accepted.close()
        self._deleted.close()


def read_witness(folder: Path) -> list[Accepted]:
    """Every accepted submission, oldest first; none if nothing was ever served there. Safe while a sandbox writes.

    Raises SettingsError for a finished line that is not one of ours.
    """
    return list(_records_in(folder / _NAME, Accepted))


def read_deleted(folder: Path) -> list[Deleted]:
    """Every deletion, oldest first, as above."""
    return list(_records_in(folder / _DELETED, Deleted))


def _records_in(path: Path, form: Callable[..., _Record]) -> Iterator[_Record]:
    for number, line in read_lines(path):
        try:
            yield form(**json.loads(line))
        except (ValueError, TypeError):
            raise SettingsError(
                f"{path}:{number}: not a line of a sandbox's witness; use another folder, or move the file away"
            ) from None
