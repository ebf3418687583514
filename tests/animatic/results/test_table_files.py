"""Results tables by name, pattern and folder."""

from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from animatic import read_results
from animatic.errors import LocationError
from animatic.results import formats
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.table_files import find_tables


def write(path: Path, shot_id: str = "a", run_id: str = "r") -> str:
    row = {"row": 1, "take": 1, "storyboard": "film", "status": "completed", "shot_id": shot_id}
    table = pa.Table.from_pylist([row | {"fingerprint": shot_id * 64}], RESULTS_SCHEMA)
    marked = table.replace_schema_metadata({"animatic.schema_version": "6", "animatic.run_id": run_id})
    path.write_bytes(formats.encode(marked, path.name))
    return str(path)


def test_a_pattern_names_tables_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    ten, two = write(tmp_path / "run-10.parquet"), write(tmp_path / "run-2.csv")
    (tmp_path / "run-1.csv").write_text("image,prompt\na.png,x\n")
    (tmp_path / "run-3.csv").write_text("")
    (tmp_path / "run-4.clips").mkdir()
    assert find_tables([f"{tmp_path}/run-*"]) == (two, ten)
    assert find_tables([f"{tmp_path}/run-?.csv", ten, two]) == (two, ten)


def test_a_folder_stands_for_the_tables_in_it(tmp_path: Path) -> None:
    one = write(tmp_path / "a[1].parquet")
    (tmp_path / "decisions.csv").write_text("shot_id,take,decision\na,1,approved\n")
    (tmp_path / ".hidden.parquet").write_text("no table")
    assert find_tables([str(tmp_path)]) == (one,)
    assert find_tables([f"{tmp_path}/"]) == (one,)


def test_a_name_with_brackets_is_taken_literally_where_such_a_file_exists(tmp_path: Path) -> None:
    one = write(tmp_path / "a[1].parquet")
    write(tmp_path / "a1.parquet")
    assert find_tables([one]) == (one,)


@pytest.mark.parametrize("named", ["{}/*.parquet", "{}", "{}/empty"])
def test_a_place_without_tables_is_refused(tmp_path: Path, named: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LocationError, match="found no results table there"):
        find_tables([named.format(tmp_path)])


def test_patterns_over_whole_trees_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LocationError, match=r"found \*\*; allowed"):
        find_tables([f"{tmp_path}/**/*.parquet"])


def test_a_broken_table_is_named_and_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(LocationError, match=r"b\.parquet: not a readable"):
        find_tables([f"{tmp_path}/*.parquet"])


def test_several_runs_are_read_as_one(tmp_path: Path) -> None:
    first, later = write(tmp_path / "a.parquet", "a", "1"), write(tmp_path / "b.csv", "b", "2")
    for uris in ([first, later], (first, later), f"{tmp_path}/*"):
        frame = read_results(uris)
        assert list(frame["shot_id"]) == ["a", "b"]
        assert [each["uri"] for each in frame.attrs["animatic.tables"]] == [first, later]
    assert frame.attrs["animatic.tables"][0]["animatic.run_id"] == "1"
    assert "animatic.tables" not in read_results(f"{tmp_path}/*.parquet").attrs


def test_a_pattern_in_a_store_is_read_too(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    for name in ("b", "a"):
        store.pipe_file(f"/tables/{name}.parquet", Path(write(tmp_path / f"{name}.parquet", name)).read_bytes())
    try:
        assert list(read_results("memory://tables/*.parquet")["shot_id"]) == ["a", "b"]
        assert find_tables(["memory://tables"]) == ("memory://tables/a.parquet", "memory://tables/b.parquet")
    finally:
        store.rm("/tables", recursive=True)
