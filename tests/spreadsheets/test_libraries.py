"""Files as pandas, DuckDB and Polars write them: each is read rightly, or refused in one sentence."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from spreadsheet_shots import HEADER, ROWS, SHOTS, SheetFile, shots_of

from animatic.errors import ManifestError
from animatic.planning.manifests import ManifestFile

POLARS = Path(__file__).parent / "polars"


def frame() -> pd.DataFrame:
    """The storyboard as an analyst has it: blanks are missing, so the column of whole numbers has decimals."""
    table = pd.DataFrame([[cell or None for cell in row] for row in ROWS], columns=pd.Index(HEADER))
    table["Takes"] = pd.to_numeric(table["Takes"])
    return table


def as_duckdb(options: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        table = frame()  # DuckDB finds it by its name
        with duckdb.connect() as connection:
            connection.register("shots", table)
            connection.execute(f"COPY shots TO '{path}' ({options})")

    return write


PANDAS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "csv": ("shots.csv", lambda path: frame().to_csv(path, index=False)),
    "csv with its index": ("shots.csv", lambda path: frame().to_csv(path)),
    "csv with semicolons": ("shots.csv", lambda path: frame().to_csv(path, index=False, sep=";", decimal=",")),
    "csv with a byte order mark": ("shots.csv", lambda path: frame().to_csv(path, index=False, encoding="utf-8-sig")),
    "csv in utf-16": ("shots.csv", lambda path: frame().to_csv(path, index=False, encoding="utf-16")),
    "gzip": ("shots.csv.gz", lambda path: frame().to_csv(path, index=False)),
    "tsv": ("shots.tsv", lambda path: frame().to_csv(path, index=False, sep="\t")),
    "jsonl": ("shots.jsonl", lambda path: frame().to_json(path, orient="records", lines=True)),
    "parquet": ("shots.parquet", lambda path: frame().to_parquet(path)),
    "categories": ("shots.parquet", lambda path: frame().astype({"Aspect Ratio": "category"}).to_parquet(path)),
    "workbook": ("shots.xlsx", lambda path: frame().to_excel(path, index=False, engine="xlsxwriter")),
    "workbook with its index": ("shots.xlsx", lambda path: frame().to_excel(path, engine="xlsxwriter")),
}

DUCKDB: dict[str, tuple[str, Callable[[Path], object]]] = {
    "csv": ("shots.csv", as_duckdb("HEADER")),
    "csv with semicolons": ("shots.csv", as_duckdb("HEADER, DELIMITER ';'")),
    "csv quoted throughout": ("shots.csv", as_duckdb("HEADER, FORCE_QUOTE *")),
    "gzip": ("shots.csv.gz", as_duckdb("HEADER, COMPRESSION gzip")),
    "tsv": ("shots.tsv", as_duckdb("HEADER, DELIMITER '\t'")),
    "jsonl": ("shots.jsonl", as_duckdb("FORMAT json")),
    "parquet": ("shots.parquet", as_duckdb("FORMAT parquet")),
}

WRITTEN = {
    f"{by}: {form}": file for by, forms in {"pandas": PANDAS, "DuckDB": DUCKDB}.items() for form, file in forms.items()
}


@pytest.mark.parametrize("form", WRITTEN)
def test_what_a_library_writes_is_read_as_the_same_shots(form: str, tmp_path: Path) -> None:
    name, write = WRITTEN[form]
    write(tmp_path / name)
    manifest = ManifestFile(str(tmp_path / name), "sandbox").load()
    manifest.require_valid()
    assert shots_of(manifest) == SHOTS
    assert all("only counts the rows was dropped" in note or "another name" in note for note in manifest.warnings)


@pytest.mark.parametrize("name", sorted(path.name for path in POLARS.iterdir()))
def test_what_polars_writes_is_read_as_the_same_shots(name: str) -> None:
    SheetFile(name, (POLARS / name).read_bytes()).require_right()


def test_json_that_is_no_lines_is_refused_in_one_sentence(tmp_path: Path) -> None:
    frame().to_json(tmp_path / "shots.json", orient="records")
    with pytest.raises(ManifestError, match=r'did you mean "shots.jsonl"\?'):
        ManifestFile(str(tmp_path / "shots.json"), "sandbox").load()
    frame().to_json(tmp_path / "shots.jsonl", orient="records")
    with pytest.raises(ManifestError, match="found a line that holds a list; allowed: one object a line"):
        ManifestFile(str(tmp_path / "shots.jsonl"), "sandbox").load()
