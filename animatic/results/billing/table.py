"""The bill as a table: one row for each prediction, for CSV and for Prefect."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from animatic import storage
from animatic.errors import SettingsError
from animatic.results.billing.comparison import Line
from animatic.results.billing.words import sentence
from animatic.results.formulas import neutralise
from animatic.takes.money.amounts import usd
from animatic.takes.states import status_of

COLUMNS = {
    "prediction_id": "WaveSpeed's own",
    "shot_id": "name of the shot; empty where the prediction belongs to no take of the ledger",
    "storyboard": "of the shot",
    "take": "number of the take",
    "attempt": "number of the attempt at this take",
    "model": "as sent; of no take, as the bill has it",
    "status": "as in the results table",
    "quoted_usd": "the price that was reserved",
    "charged_usd": "all charges of the prediction that the bill has ever shown",
    "refunded_usd": "all refunds of it",
    "difference": "kinds of differences, separated by semicolons; empty where there is none",
    "difference_usd": "dollars that differ, positive where more was paid than the ledger explains",
    "pending": "why it is not settled yet; empty where it is",
    "text": "the difference in words",
    "charged_at": "by WaveSpeed's clock",
    "order_state": "`pre` while WaveSpeed may still change the charge, else `done`",
    "manifest": "of the shot",
    "run_id": "the run that bought it",
    "fingerprint": "of the take",
}
"""Names and meanings of the columns, in order."""

_BEGINS = ",".join(list(COLUMNS)[:5])
"""Beginning of every such file, by which it is known."""

MOST_BYTES = 4 << 30


def rows_of(lines: Iterable[Line]) -> Iterator[dict[str, str]]:
    """Yield the lines as rows of text."""
    for line in lines:
        bought = line.bought
        amounts = {
            "quoted_usd": bought.quoted_microusd if bought else None,
            "charged_usd": line.charged,
            "refunded_usd": line.refunded,
            "difference_usd": line.difference_microusd,
        }
        yield {
            **dict.fromkeys(COLUMNS, ""),
            "prediction_id": line.prediction_id or "",
            "model": line.model,
            "difference": ";".join(line.differences),
            "pending": line.pending or "",
            "text": sentence(line) if line.differences else "",
            "charged_at": line.items[0].charged_at.isoformat() if line.items and line.items[0].charged_at else "",
            "order_state": next((each.order_state for each in line.items if each.order_state), ""),
            **{name: "" if amount is None else f"{usd(amount):f}" for name, amount in amounts.items()},
            **(_of_ledger(line) if bought else {}),
        }


def _of_ledger(line: Line) -> dict[str, str]:
    bought = line.bought
    assert bought is not None  # noqa: S101 - its caller looked
    return {
        "shot_id": bought.shot_id,
        "storyboard": bought.storyboard,
        "take": str(bought.take),
        "attempt": str(bought.attempt),
        "status": status_of(bought.state),
        "manifest": bought.manifest,
        "run_id": bought.run_id,
        "fingerprint": bought.fingerprint,
    }


def require_replaceable(uri: str) -> None:
    """Refuse to write the table over a file that is none.

    Raises:
        SettingsError: the name does not end in .csv, or the file that is there is no bill.
        LocationError: it cannot be read.
    """
    if not storage.name_of(uri).lower().endswith(".csv"):
        raise SettingsError(f'--csv: found "{uri}"; allowed: a name that ends in .csv')
    with storage.open_existing(uri, max_bytes=MOST_BYTES) as file:
        begins = "" if file is None else file.read(len(_BEGINS) + 3).decode("utf-8-sig", "replace")
        if file is not None and not begins.startswith(_BEGINS):
            raise SettingsError(
                f"--csv: {uri} is there and is no bill that animatic wrote; give another name, or move it"
            )


def as_csv(lines: Sequence[Line]) -> bytes:
    """Return the table as CSV, in which no cell is a formula to a spreadsheet."""
    rows = list(rows_of(lines))
    marked = [neutralise(pa.array([row[name] for row in rows], pa.string())).to_pylist() for name in COLUMNS]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(*marked, strict=True))
    return text.getvalue().encode()
