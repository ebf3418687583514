"""A manifest with far fewer rows than when it was last run: most likely a sheet that is half loaded, or filtered."""

from typing import NamedTuple

from animatic.errors.text import counted, escaped
from animatic.ledger import Ledger

LEAST_MISSING = 10
"""So few rows are taken for removed on purpose, whatever share of the manifest they were."""


class FewerRows(NamedTuple):
    """Row counts of a manifest that has lost more than half of its rows since it was last planned."""

    name: str
    now: int
    before: int

    @property
    def note(self) -> str:
        """Return the counts, and what may be the cause."""
        return (
            f"{escaped(self.name, 200)}: found {counted(self.now, 'row')}; the last run of it had {self.before:,}. "
            "Is it half loaded, cut off or filtered?"
        )

    @property
    def refusal(self) -> str:
        """Return the same, and the way to go on, for a run at which no one can be asked."""
        return (
            f"{self.note} Nothing was bought, and the results are as they were. If rows were removed on purpose, "
            "run it once with --fewer-rows (fewer_rows in a deployment), or at a terminal"
        )


def has_fewer_rows(now: int, before: int | None) -> bool:
    """Tell if so many rows are missing that a person should say that it is meant."""
    return before is not None and now * 2 < before and before - now >= LEAST_MISSING


async def find_fewer_rows(ledger: Ledger | None, name: str, now: int, uri: str) -> FewerRows | None:
    """Return the counts if a manifest has lost more than half of its rows since it was last planned, else None."""
    before = None if ledger is None else await ledger.rows_of(uri)
    return FewerRows(name, now, before) if before is not None and has_fewer_rows(now, before) else None
