"""The table that is about to be replaced: whether it may be, and what people wrote into it."""

import asyncio
import csv
import io
import json
import os
import socket
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workbooks import add_column, save_again

from animatic import storage
from animatic.errors import LocationError
from animatic.ledger import aliases, open_ledger
from animatic.planning.lookup import look_into, plan_against
from animatic.planning.manifests import ManifestFile
from animatic.results import formats, reading
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.formats import SUFFIXES
from animatic.results.replaced import require_replaceable
from animatic.results.stats import TableStats
from animatic.results.writer import ResultsWriter
from animatic.takes.states import BuyingPolicy

PROVIDER = "https://api.wavespeed.ai"


class TableMaker:
    """A manifest, the places of its results and ledger, and the table as it is written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, folder / "shots.csv"
        self.ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.shots("one", "two", "three")

    def shots(self, *names: str, note: str | None = None, **cells: str) -> None:
        rows = [{"image": "https://e.com/a.png", "prompt": name, "shot_id": name} | cells for name in names]
        if note is not None:
            rows = [row | {"note": f"{note} {row['prompt']}"} for row in rows]
        with self.manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def write(self, uri: Any, run_id: str = "run-1") -> TableStats:
        async def project() -> TableStats:
            manifest = ManifestFile(str(self.manifest), PROVIDER).load()
            plan = await plan_against(self.ledger, manifest, BuyingPolicy())
            with look_into(self.ledger) as opened:
                return await ResultsWriter(plan.manifest, plan.final_attempts(), run_id, opened).write(str(uri))

        return asyncio.run(project())

    def judge(self, results: Any) -> None:
        require_replaceable(str(self.manifest), str(results), self.ledger)

    def refusal(self, results: Any) -> str:
        with pytest.raises(LocationError) as refused:
            self.judge(results)
        return str(refused.value)


@pytest.fixture
def maker(tmp_path: Path) -> TableMaker:
    return TableMaker(tmp_path)


def table_at(uri: Any) -> pa.Table:
    return reading.decode(storage.read_bytes(str(uri), max_bytes=1 << 30), storage.name_of(str(uri)))


def write_column(path: Path, name: str, values: Sequence[Any]) -> None:
    """Edit a table as a person would: one more column, or other cells in it; text in a CSV."""
    match path.suffix:
        case ".parquet":
            table = pq.read_table(path)
            if name in table.column_names:
                table = table.drop_columns(name)
            pq.write_table(table.append_column(name, pa.array(values)), path)
        case ".csv":
            rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
            at = rows[0].index(name) if name in rows[0] else len(rows[0])
            for row, value in zip(rows, [name, *("" if each is None else str(each) for each in values)], strict=True):
                row[at:] = [value, *row[at + 1 :]]
            with path.open("w", newline="") as file:
                csv.writer(file).writerows(rows)
        case ".xlsx":
            save_again(path, lambda sheets: add_column(sheets["results"], name, values))
        case _:
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            path.write_text("".join(f"{json.dumps(line | {name: v})}\n" for line, v in zip(lines, values, strict=True)))


def kind(data: bytes) -> Any:
    return lambda path: path.write_bytes(data)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


NO_TABLES = {
    "a.csv": (kind(b"image,prompt\nx,y\n"), "no results table of animatic (its columns: image, prompt)"),
    "text.csv": (kind(b"Dear all,\n"), "no results table of animatic"),
    "a.jsonl": (kind(b'{"image": "x"}\n'), "no results table of animatic (its columns: image)"),
    "a.parquet": (lambda path: pq.write_table(pa.table({"x": [1]}), path), "no results table of animatic"),
    "key.csv": (kind(b"\x89PNG\r\n\x1a\n\xff\xfe"), "not a readable .csv file"),
    "list.jsonl": (kind(b"[1, 2]\n"), "not a readable .jsonl file: a line that is no JSON object"),
    "b.parquet": (kind(b"PAR1 and no more"), "not a readable .parquet file"),
    "folder.csv": (lambda path: path.mkdir(), "found a folder"),
    "pipe.csv": (os.mkfifo, "found a named pipe"),
    "socket.csv": (listening, "found a socket"),
    "device.csv": (lambda path: path.symlink_to("/dev/null"), "found a device"),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_anything_but_a_results_table_is_refused_and_stays(
    maker: TableMaker, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, reported = NO_TABLES[name]
    monkeypatch.chdir(tmp_path)
    make(Path(name))
    before = Path(name).lstat()
    assert reported in maker.refusal(name)
    assert (Path(name).lstat().st_ino, Path(name).lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_half_a_table_of_ours_is_refused_with_the_way_out(maker: TableMaker, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    maker.write(out)
    out.write_bytes(out.read_bytes()[: out.stat().st_size * 2 // 3])
    message = maker.refusal(out)
    assert "not a readable" in message
    assert "writes the whole one again from the ledger" in message


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_a_missing_empty_or_results_file_may_be_replaced(
    maker: TableMaker, tmp_path: Path, suffix: str, scheme: str
) -> None:
    uri = f"{scheme}{tmp_path}/out{suffix}"
    maker.judge(uri)
    storage.replace_bytes(uri, b"")
    maker.judge(uri)
    maker.write(uri)
    maker.judge(uri)
    storage.replace_bytes(uri, b"shopping list")
    assert "out" in maker.refusal(uri)


@pytest.mark.parametrize("spelling", ["{m}", "./{n}", "file://{m}", "link.csv", "hard.csv", "{d}/../{b}/{n}", "by/{n}"])
def test_the_manifest_is_refused_by_whatever_name(
    maker: TableMaker, tmp_path: Path, spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    maker.write("earlier.csv")
    maker.manifest.write_bytes(Path("earlier.csv").read_bytes())  # a table of ours can be a manifest too
    Path("link.csv").symlink_to(maker.manifest)
    Path("hard.csv").hardlink_to(maker.manifest)
    Path("by").symlink_to(tmp_path)
    name = spelling.format(m=maker.manifest, n=maker.manifest.name, d=tmp_path, b=tmp_path.name)
    assert "is the manifest itself" in maker.refusal(name)


def test_a_remote_manifest_is_refused_too(maker: TableMaker) -> None:
    uri = "memory://places/a/shots.csv"
    storage.replace_bytes(uri, maker.manifest.read_bytes())
    for name in (uri, "memory:///places/a/shots.csv", "MEMORY://places/a/shots.csv"):
        with pytest.raises(LocationError, match="is the manifest itself"):
            require_replaceable(uri, name, maker.ledger)


def test_the_ledger_and_its_folder_are_refused_before_there_is_one(maker: TableMaker, tmp_path: Path) -> None:
    maker.ledger = f"sqlite:///{tmp_path / 'ledger.csv'}"
    assert "is the ledger" in maker.refusal(tmp_path / "ledger.csv")
    assert "lies in the ledger's own folder" in maker.refusal(tmp_path / "ledger.csv.runs" / "out.csv")
    sqlite3.connect(tmp_path / "ledger.csv").close()
    (tmp_path / "out.csv").symlink_to("ledger.csv")
    assert "is the ledger" in maker.refusal(tmp_path / "out.csv")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_that_people_added_stay_through_any_number_of_writes(
    maker: TableMaker, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    maker.write(out)
    write_column(out, "approved", [True, None, False])
    write_column(out, "comment", ["=1+1", None, 'too "dark"; ü\nagain'])
    for run in range(3):
        stats = maker.write(out, f"run-{run}")
        assert not any("no take" in note for note in stats.notes)
    table = table_at(out)
    assert table.column_names[-2:] == ["approved", "comment"]
    wanted: list[Any] = [True, None, False] if suffix != ".csv" else ["True", None, "False"]
    assert table["approved"].to_pylist() == wanted
    assert table["comment"].to_pylist() == ["=1+1", None, 'too "dark"; ü\nagain']
    assert not list(tmp_path.glob("*.before-*"))


def test_types_of_people_stay_as_they_are_in_parquet(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    maker.write(out)
    values = {
        "rating": pa.array([3, None, 5], pa.int8()),
        "tags": pa.array([["a"], None, []]),
        "who": pa.array([{"name": "Z", "at": 1}, None, {"name": None, "at": 2}]),
        "on": pa.array([1, 2, None], pa.date32()),
    }
    for name, column in values.items():
        write_column(out, name, column)
    maker.write(out)
    table = pq.read_table(out)
    assert {name: (table[name].type, table[name].to_pylist()) for name in values} == {
        name: (column.type, column.to_pylist()) for name, column in values.items()
    }


def test_json_of_people_stays_json_whatever_its_shape(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    maker.write(out)
    values = [{"a": [1, None, "x"]}, 2.5, "text"]
    write_column(out, "any", values)
    maker.write(out)
    maker.write(out)
    assert [json.loads(line)["any"] for line in out.read_text().splitlines()] == values


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_that_a_spreadsheet_saved_again_keeps_what_people_wrote(
    maker: TableMaker, tmp_path: Path, delimiter: str
) -> None:
    out = tmp_path / "out.csv"
    maker.write(out)
    rows = list(csv.reader(io.StringIO(out.read_bytes().decode(), newline="")))
    rows = [[*row, cell] for row, cell in zip(rows, ["comment", "good", "", "a, b; c"], strict=True)]
    with out.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    maker.judge(out)
    maker.write(out)
    assert table_at(out)["comment"].to_pylist() == ["good", None, "a, b; c"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_has_no_take_any_more_is_told_and_kept_beside(maker: TableMaker, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    maker.write(out)
    write_column(out, "comment", ["a", "b", None])
    out.chmod(0o640)
    before = out.read_bytes()
    maker.shots("three", "two", "four")
    stats = maker.write(out, "run-2")
    assert any("1 rows in which people wrote something have no take" in note for note in stats.notes)
    beside = tmp_path / f"out.before-run-2{suffix}"
    assert (beside.read_bytes(), beside.stat().st_mode & 0o777) == (before, 0o640)
    table = table_at(out)
    assert dict(zip(table["shot_id"].to_pylist(), table["comment"].to_pylist(), strict=True)) == {
        "three": None,
        "two": "b",
        "four": None,
    }
    maker.write(out, "run-3")
    assert len(list(tmp_path.glob("*.before-*"))) == 1


def test_a_column_that_only_an_earlier_manifest_had_does_not_come_back(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    maker.shots("one", note="old")
    maker.write(out)
    write_column(out, "comment", ["mine"])
    maker.shots("one")
    maker.write(out)
    assert table_at(out).column_names == [*RESULTS_SCHEMA.names, "comment"]


def test_a_csv_cannot_tell_so_the_column_stays_and_is_named(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    maker.shots("one", note="old")
    maker.write(out)
    maker.shots("one")
    stats = maker.write(out)
    assert table_at(out)["note"].to_pylist() == ["old one"]
    assert stats.notes == ["out.csv: kept the columns that are not ours: note; remove those that are not needed"]


def test_a_manifest_column_wins_over_peoples_and_that_is_told(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    maker.write(out)
    write_column(out, "note", ["mine", None, None])
    maker.shots("one", note="theirs")
    stats = maker.write(out)
    assert table_at(out)["note"].to_pylist() == ["theirs one"]
    assert "out.parquet: column note is the manifest's now; people had one" in stats.notes


def test_people_follow_a_take_to_the_fingerprint_that_it_has_now(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with maker.manifest.open("w") as file:
        file.write("image,prompt,takes\nhttps://e.com/a.png,push in,2\n")
    maker.write(out)
    table = pq.read_table(out)
    now = table["fingerprint"].to_pylist()
    old = ["a" * 64, "b" * 64]
    for name, values in (("fingerprint", old), ("shot_id", [old[0][:12]] * 2), ("comment", ["x", "y"])):
        write_column(out, name, values)
    with open_ledger(maker.ledger) as ledger:

        async def know() -> None:
            for before, after in zip(old, now, strict=True):
                await ledger.transactions.do(0.0, aliases.add, before, after)

        asyncio.run(know())
    stats = maker.write(out)
    assert stats.notes == [] or all("no take" not in note for note in stats.notes)
    assert table_at(out)["comment"].to_pylist() == ["x", "y"]


def test_rows_that_ask_for_the_same_take_keep_a_comment_each(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with maker.manifest.open("w") as file:
        file.write("image,prompt\n" + "https://e.com/a.png,push in\n" * 3)
    maker.write(out)
    write_column(out, "comment", ["x", None, "z"])
    maker.write(out)
    assert [row for row in table_at(out)["comment"].to_pylist() if row] == ["x", "z"]


def test_many_rows_in_another_order_keep_what_is_theirs(
    maker: TableMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("animatic.manifest.tables.ROWS_PER_BATCH", 100)
    monkeypatch.setattr(formats, "ROW_GROUP_ROWS", 400)
    out, names = tmp_path / "out.parquet", [f"s{number}" for number in range(1_000)]
    maker.shots(*names)
    maker.write(out)
    write_column(out, "comment", [f"of {name}" if number % 3 else None for number, name in enumerate(names)])
    maker.shots(*reversed(names))
    maker.write(out)
    table = table_at(out)
    for name, comment in zip(table["shot_id"].to_pylist(), table["comment"].to_pylist(), strict=True):
        assert comment == (f"of {name}" if int(name[1:]) % 3 else None)


def test_a_small_table_of_huge_cells_is_refused(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    maker.shots(*(f"s{number}" for number in range(10)))
    maker.write(out)
    for column in (pa.array(["x" * 2_000_000] * 10), pa.array([{"a": "x" * 2_000_000}] * 10)):
        write_column(out, "comment", column)
        assert out.stat().st_size < 2_000_000
        assert "out.parquet: row 1: comment: found a cell of 2,000,0" in maker.refusal(out)
