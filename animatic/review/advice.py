"""Advice for takes that are not completed: one sentence that says what to do. Pure."""

from collections.abc import Mapping
from typing import Any

from animatic.takes.states import WAVESPEEDS_OWN_FAILURES

_ADVICE = {
    "rejected": "WaveSpeed refused it and nothing was bought: correct the row, then run with --retry-failed.",
    "unknown": "It may have been bought: run `animatic reconcile`, which searches WaveSpeed's list for it.",
    "held": "The list does not settle whether it was bought: see `animatic ledger show`, then decide with "
    "`animatic reconcile`.",
    "pending": "Run the same command again; it goes on where the last run stopped.",
    "invalid": "Correct the row of the manifest, then run again.",
}


def advice_on(row: Mapping[str, Any]) -> str:
    """Return what to do about a row of the results; empty where nothing is to be done."""
    status = row["status"]
    if status == "completed":
        return "" if not row.get("archive_error") else "Fetch the clip again with `animatic archive` before it expires."
    if status != "failed":
        return _ADVICE.get(status, "")
    if row.get("error_code") in WAVESPEEDS_OWN_FAILURES:
        return "A failure of WaveSpeed's own, which refunds it: buy it again with --retry-failed."
    return "It does not succeed unchanged: ask for a retake with another prompt, or change the still."
