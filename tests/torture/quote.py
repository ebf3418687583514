"""`python -m torture.quote`: put what reliability.json says, and the fault matrix, into the documentation.

README.md and docs/reliability.md quote only that file; a test holds them against it.
"""

import json
import sys

from torture.matrix import CASES
from torture.modules import ROOT
from torture.part import as_table, parts_of

REPORT = ROOT / "reliability.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "reliability.md")


def counts(backend: str = "sqlite") -> str:
    """The table of the parts, and from which run it is."""
    report = json.loads(REPORT.read_text())
    report = report if backend == "sqlite" else report.get(backend, {"parts": []})
    bugs = next((part["details"] for part in report["parts"] if part["name"] == "planted bugs"), None)
    if bugs is None:
        return as_table(parts_of(report))
    totals = report["totals"]
    said = (
        f"Seed {report['seed']}, {report['seconds']} s on two cores; {bugs['caught']} of {bugs['planted']} planted bugs caught; "
        f"{totals['searched_bytes'] / 1e9:.1f} GB of what was left behind searched for the key."
    )
    return f"{as_table(parts_of(report))}\n\n{said}"


def matrix() -> str:
    """The table of the fault matrix."""
    rows = [f"| {group} | {name} | {promise} |" for name, (group, promise, _) in CASES.items()]
    return "\n".join(["| group | fault | what is promised |", "| --- | --- | --- |", *rows])


def quoted(text: str) -> str:
    """A page with its quotes as they should be now."""
    quotes = {"counts": counts(), "counts on PostgreSQL": counts("postgresql"), "matrix": matrix()}
    for name, quote in quotes.items():
        before, rest = text.partition(begin := f"<!-- quoted: {name} -->")[::2]
        if rest:
            after = rest.partition(end := f"<!-- end of {name} -->")[2]
            text = f"{before}{begin}\n{quote}\n{end}{after}"
    return text


def main() -> int:
    """Rewrite the pages; the exit code."""
    for page in PAGES:
        page.write_text(quoted(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
