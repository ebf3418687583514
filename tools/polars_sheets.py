"""Write the test's storyboard as Polars does: `uv run --with polars --with xlsxwriter tools/polars_sheets.py`.

The files lie in tests/spreadsheets/polars/, checked in: Polars is too large to be installed for a handful of them.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests/spreadsheets/polars"


def main() -> None:
    """Write the files anew."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import polars as pl  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    from spreadsheet_shots import HEADER, ROWS  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    frame = pl.DataFrame([[cell or None for cell in row] for row in ROWS], schema=HEADER, orient="row")
    frame = frame.with_columns(pl.col("Takes").cast(pl.Int64))
    FOLDER.mkdir(exist_ok=True)
    frame.write_csv(FOLDER / "plain.csv")
    frame.write_csv(FOLDER / "mark.csv", include_bom=True, line_terminator="\r\n")
    frame.write_csv(FOLDER / "semicolons.csv", separator=";", quote_style="always")
    frame.write_csv(FOLDER / "tabs.tsv", separator="\t")
    frame.write_ndjson(FOLDER / "lines.jsonl")
    frame.write_parquet(FOLDER / "plain.parquet", compression="uncompressed")
    frame.with_columns(pl.col("Aspect Ratio").cast(pl.Categorical)).write_parquet(FOLDER / "categories.parquet")
    frame.write_excel(FOLDER / "table.xlsx")


if __name__ == "__main__":
    main()
