"""Check that an existing results table was made with the ledger at hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute

from animatic import storage
from animatic.errors import LocationError, SettingsError
from animatic.ledger import ledger_name
from animatic.results import reading
from animatic.results.reading import MAX_RESULTS_BYTES
from animatic.takes.fingerprints import Digests, FingerprintSet, digests_of
from animatic.text import command, counted, positional

pc: Any = pyarrow.compute  # its functions are made at import, where a type checker cannot see them


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
    """
    try:
        if not len(takes) or not storage.exists(results):
            return 0
        is_bought, is_old_bought = np.zeros(len(takes), np.bool_), np.zeros(len(old), np.bool_)
        with storage.open_copy(results, max_bytes=MAX_RESULTS_BYTES) as file:
            for table in reading.read_columns(file, storage.name_of(results), ("fingerprint", "attempts")):
                bought = table.filter(pc.greater(table["attempts"], 0))["fingerprint"]
                named = digests_of(bought.filter(pc.match_substring_regex(bought, "^[0-9a-f]{64}$")).to_pylist())
                for known, flags in ((takes, is_bought), (old, is_old_bought)):
                    at = known.positions(named)
                    flags[at[at >= 0]] = True
    except LocationError:
        return 0
    return int(np.count_nonzero(is_bought)) + int(np.count_nonzero(is_old_bought))
