"""Check that an existing results table was made with the ledger at hand."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute

from animatic import storage
from animatic.errors import LocationError, SettingsError
from animatic.errors.text import command, counted, positional
from animatic.ledger import ledger_name
from animatic.results import reading
from animatic.results.reading import MAX_RESULTS_BYTES
from animatic.takes.fingerprints import Digests, FingerprintSet, digests_of

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them

_SAID = ("fingerprint", "attempts", "status")
_NEVER_PAID = ("pending", "invalid", "rejected")


def require_that_the_ledger_knows(
    ledger: str, results: str, takes: FingerprintSet, old: Digests, options: Sequence[str] = ()
) -> None:
    """Refuse to go on with a ledger that has never heard of takes which the existing results table shows as bought.

    Args:
        ledger: where the ledger is.
        results: where the table is.
        takes: those that the ledger does not know.
        old: fingerprints that they had before there was a canonical form.
        options: `--sandbox`, where the takes are the embedded sandbox's.

    Raises:
        SettingsError: it is the wrong ledger.
    """
    bought = _bought_according_to(results, takes, FingerprintSet(old))
    if bought:
        taking_over = command("ledger", "import", positional(results), *options)
        raise SettingsError(
            f"ANIMATIC_LEDGER: {results} shows {counted(bought, 'take')} as bought that the ledger "
            f"{ledger_name(ledger)} has never heard of. Nothing was bought. Give the ledger that the table was made "
            "with; or another place for the results, to buy them again; or take over what the table knows:\n"
            f"    {taking_over}"
        )


def _bought_according_to(results: str, takes: FingerprintSet, old: FingerprintSet) -> int:
    """Count those of these takes that an existing results table shows as bought; 0 if there is no table.

    `old` are their fingerprints from before there was a canonical form. A file that is no results table says nothing.

    Raises:
        LocationError: it is a results table, and cannot be read to its end.
    """
    if not len(takes):
        return 0
    is_bought, is_old_bought = np.zeros(len(takes), np.bool_), np.zeros(len(old), np.bool_)
    with _open_table(results) as file:
        tables = () if file is None else reading.read_cells(file, storage.name_of(results), _SAID, ())
        for table in tables:
            bought = table.filter(_is_bought(table))["fingerprint"]
            named = digests_of(bought.filter(pc.match_substring_regex(bought, "^[0-9a-f]{64}$")).to_pylist())
            for known, flags in ((takes, is_bought), (old, is_old_bought)):
                at = known.positions(named)
                flags[at[at >= 0]] = True
    return int(np.count_nonzero(is_bought)) + int(np.count_nonzero(is_old_bought))


@contextmanager
def _open_table(results: str) -> Generator[BinaryIO | None]:
    """Open a results table; None where there is none, or another file."""
    with ExitStack() as stack:
        try:
            is_there = storage.exists(results)
            file = stack.enter_context(storage.open_copy(results, max_bytes=MAX_RESULTS_BYTES)) if is_there else None
            is_ours = file is not None and reading.read_head(file, storage.name_of(results)).is_ours
        except LocationError:
            yield None
            return
        yield file if is_ours else None


def _is_bought(table: pa.Table) -> Any:
    """Tell which rows show paid submissions; by their status where people took the number of them away."""
    by_status = pc.invert(pc.is_in(table["status"], pa.array(_NEVER_PAID)))
    return pc.coalesce(pc.greater(table["attempts"], 0), by_status)
