"""Stills in a Parquet file itself: their bytes are handed on a few at a time, and a name takes their place."""

import hashlib
import io
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors import ManifestError
from animatic.manifest import read_table
from animatic.manifest.embedded import TooManyBytesError, embedded_name, read_files
from animatic.manifest.images import relative_path

PNG, JPEG = b"\x89PNG one", b"\xff\xd8\xff two"
FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class Kept:
    """Files that were handed on."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def __call__(self, path: str | None, data: bytes) -> str:
        name = embedded_name(path, hashlib.sha256(data).hexdigest(), data)
        self.files[name] = data
        return name


def written(table: pa.Table, **options: Any) -> bytes:
    data = io.BytesIO()
    pq.write_table(table, data, **options)
    return data.getvalue()


def read(data: bytes) -> tuple[list[dict[str, Any]], Kept]:
    kept = Kept()
    raw = read_table("shots.parquet", data, keep=kept)
    return pa.Table.from_batches(raw.rows).to_pylist(), kept


def named(stem: str, data: bytes, suffix: str) -> str:
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}{suffix}"


def test_bytes_become_a_name_and_a_path_stays_a_path() -> None:
    cells = [
        {"bytes": PNG, "path": "a.png"},
        {"bytes": JPEG, "path": None},
        {"bytes": None, "path": "b.png"},
        {"bytes": b"", "path": "https://e.com/c.png"},
        {"bytes": None, "path": None},
        None,
    ]
    table = pa.table({"n": range(6), "image": pa.array(cells, FILE), "prompt": ["x"] * 6})
    rows, kept = read(written(table))
    one, two = named("a", PNG, ".png"), named("still", JPEG, ".jpg")
    assert [row["image"] for row in rows] == [one, two, "b.png", "https://e.com/c.png", None, None]
    assert kept.files == {one: PNG, two: JPEG}
    assert [*rows[0]] == ["n", "image", "prompt"]


@pytest.mark.parametrize("paths", [["a.png", "b.png"], [None, None]])
def test_a_table_of_pandas_is_read(paths: list[str | None]) -> None:
    cells = [{"bytes": data, "path": path} for data, path in zip((PNG, JPEG), paths, strict=True)]
    data = io.BytesIO()
    pd.DataFrame({"image": cells, "prompt": ["x", "y"]}).to_parquet(data)
    rows, kept = read(data.getvalue())
    assert [kept.files[row["image"]] for row in rows] == [PNG, JPEG]


def test_lists_of_files_become_lists_of_names() -> None:
    files = [[{"bytes": PNG, "path": "a.png"}, {"bytes": None, "path": "b.png"}], None, []]
    rows, kept = read(written(pa.table({"images": pa.array(files, pa.list_(FILE)), "prompt": ["x"] * 3})))
    assert [row["images"] for row in rows] == [[*kept.files, "b.png"], None, []]


def test_rows_stay_together_over_row_groups() -> None:
    count = 10_000
    cells = [{"bytes": PNG + str(n).encode(), "path": None} for n in range(count)]
    table = pa.table({"image": pa.array(cells, FILE), "n": range(count), "prompt": ["x"] * count})
    rows, kept = read(written(table, row_group_size=333))
    assert all(kept.files[row["image"]] == PNG + str(row["n"]).encode() for row in rows)
    assert len(rows) == len(kept.files) == count


def test_a_file_of_stills_alone_is_read() -> None:
    rows, kept = read(written(pa.table({"image": pa.array([{"bytes": PNG, "path": None}], FILE)})))
    assert [row["image"] for row in rows] == [*kept.files]


def test_other_structs_are_left_alone() -> None:
    other = pa.array([{"bytes": PNG, "size": 3}], pa.struct([("bytes", pa.binary()), ("size", pa.int32())]))
    rows, kept = read(written(pa.table({"prompt": ["x"], "extra": other})))
    assert (rows[0]["extra"], kept.files) == ({"bytes": PNG, "size": 3}, {})


def test_a_cut_file_is_a_fault_and_no_error() -> None:
    cells = [{"bytes": PNG * 1_000, "path": None}] * 50
    data = written(
        pa.table({"image": pa.array(cells, FILE), "prompt": ["x"] * 50}), compression="none", use_dictionary=False
    )
    broken = bytearray(data)
    broken[4:60] = b"\xff" * 56  # the head of the first page
    with pytest.raises(ManifestError, match=r"shots\.parquet"):
        read(bytes(broken))


def test_a_row_group_that_would_fill_the_memory_is_refused() -> None:
    table = pa.table({"image": pa.array([{"bytes": PNG * 100, "path": None}] * 130, FILE)})

    def read_with(rows_in_a_group: int) -> int:
        data = io.BytesIO(written(table, use_dictionary=False, row_group_size=rows_in_a_group))
        (pieces,) = read_files(data, pq.read_metadata(data), ["image"], Kept(), 100_000).values()
        return sum(map(len, pieces))

    with pytest.raises(TooManyBytesError, match="write it with row_group_size=100"):
        read_with(130)
    assert read_with(100) == 130


@given(st.text(max_size=200) | st.none(), st.binary(max_size=8))
def test_the_name_is_a_path_as_cells_have_it(path: str | None, start: bytes) -> None:
    name = embedded_name(path, "0" * 64, start)
    assert relative_path(name) == name
    assert "/" not in name
