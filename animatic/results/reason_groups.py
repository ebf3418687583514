"""Rows that are not completed, grouped by their reason. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_NAMED = 20
MOST_REASONS = 200
"""So many reasons are kept apart; what comes later goes with those of the same status and code."""

_REASON_CHARS = 200
_ID = re.compile(r"\b(?=[a-z-]*[0-9])[0-9a-f][0-9a-f-]{7,}\b")
"""Names of a prediction, a take or a run in a reason."""


@dataclass(slots=True)
class ReasonGroup:
    """Rows that are not completed for the same reason.

    Attributes:
        status: of the results table, or `not archived` for completed takes without their clip.
        error_code: of WaveSpeed or HTTP; None where there is none.
        reason: the text of `error`, with … for ids where they differ; empty where there are too many different ones.
        count: of rows.
        names: the first of them, as `SHOT take N`.
        fingerprints, shot_ids: of those that have names.
        quoted_microusd: what the last attempts cost together; None where a price is not known.
    """

    status: str
    error_code: int | None
    reason: str
    count: int = 0
    names: list[str] = field(default_factory=list[str])
    fingerprints: list[str] = field(default_factory=list[str])
    shot_ids: list[str] = field(default_factory=list[str])
    quoted_microusd: int | None = 0

    def add(self, row: Mapping[str, Any], quoted_microusd: int | None) -> None:
        """Count one more row."""
        self.count += 1
        if self.quoted_microusd is not None:
            self.quoted_microusd = None if quoted_microusd is None else self.quoted_microusd + quoted_microusd
        if len(self.names) < MOST_NAMED:
            self.names.append(name_of(row))
            self.fingerprints.append(str(row.get("fingerprint") or ""))
            self.shot_ids.append(str(row.get("shot_id") or ""))


def name_of(row: Mapping[str, Any]) -> str:
    """Return how people call a row: `harbour take 1`, or `row 7` where it is no take."""
    take = "" if row.get("take") is None else f" take {row['take']}"
    return f"{row.get('shot_id') or 'row ' + str(row.get('row'))}{take}"


class ReasonGroups:
    """Collects the rows of a table that are not completed, or not archived."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int | None, str], ReasonGroup] = {}

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows with their status, error_code, error, archive_error, quoted_microusd and attempts."""
        for row in rows:
            if row["status"] == "completed":
                said = str(row.get("archive_error") or "").removeprefix(f"clip {name_of(row)}: ")
                self._add("not archived", None, said.removeprefix("not archived: "), row)
            else:
                self._add(str(row["status"]), row.get("error_code"), str(row.get("error") or ""), row)

    def _add(self, status: str, code: int | None, reason: str, row: Mapping[str, Any]) -> None:
        alike = _ID.sub("…", reason)
        key = (status, code, alike[:_REASON_CHARS])
        if key not in self._found and len(self._found) >= MOST_REASONS:
            key, alike, reason = (status, code, ""), "", ""
        attempts, quoted = row.get("attempts") or 0, row.get("quoted_microusd")
        price = None if quoted is None or not attempts else quoted // attempts
        group = self._found.setdefault(key, ReasonGroup(status, code, reason))
        group.reason = reason if group.reason == reason else alike
        group.add(row, price)

    def largest_first(self) -> list[ReasonGroup]:
        """Return the groups, the largest first."""
        return sorted(self._found.values(), key=lambda each: -each.count)
