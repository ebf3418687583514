import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animatic.errors import ManifestError
from animatic.manifest import Manifest, check, read_table

URL = "https://e.com/a.png"


def parquet(**columns: Any) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data)
    return data.getvalue()


def checked(data: bytes) -> Manifest:
    raw = read_table("shots.parquet", data)
    return check(raw, stills={}, storyboard_default="shots", provider="https://p")


def refusal(data: bytes) -> str:
    with pytest.raises(ManifestError) as refused:
        read_table("shots.parquet", data)
    return refused.value.report


@pytest.mark.parametrize(
    "durations",
    [
        pa.array(["6s"]),
        pa.array(["6"], pa.large_string()),
        pa.array(["6.0"], pa.string_view()),
        pa.array(["6s"]).dictionary_encode(),
        pa.array([6], pa.int8()),
        pa.array([6], pa.uint64()),
        pa.array([6.0], pa.float32()),
        pa.array([6]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_numbers_and_any_kind_of_string_stand_for_their_text(durations: pa.Array) -> None:
    manifest = checked(parquet(image=[URL], prompt=["x"], duration=durations))
    assert [shot.duration for shot in manifest.shots()] == ["6s"]


def test_nulls_and_nan_are_empty_cells() -> None:
    nothing = pa.nulls(1)
    manifest = checked(parquet(image=[URL], prompt=["x"], takes=[float("nan")], model=nothing, duration=[None]))
    assert [(shot.takes, shot.duration) for shot in manifest.shots()] == [(1, "5s")]


def test_faults_name_the_row() -> None:
    manifest = checked(parquet(image=[URL, URL], prompt=["x", "y"], duration=[5, 9]))
    assert [(fault.line, fault.row) for fault in manifest.faults.shown] == [(None, 2)]
    with pytest.raises(ManifestError, match=r'^shots\.parquet:row 2: duration: found "9"; allowed: 5s, 6s, 7s, 8s$'):
        manifest.require_valid()


def test_an_all_null_row_keeps_its_number() -> None:
    manifest = checked(parquet(image=[None, URL], prompt=[None, "x"]))
    assert [shot.row for shot in manifest.shots()] == [2]
    assert [row for row, _ in manifest.invalid_rows()] == [1]


def test_columns_that_are_only_carried_keep_their_type() -> None:
    manifest = checked(parquet(image=[URL], prompt=["x"], tags=[["a"]], score=[1.5]))
    assert manifest.carried.field("tags").type == pa.list_(pa.string())
    (part,) = manifest.parts()
    assert part.batch.column("score").to_pylist() == [1.5]


def test_a_nested_column_where_text_is_meant_is_a_fault_of_the_header_and_not_of_every_row() -> None:
    manifest = checked(parquet(image=[[URL]] * 3, prompt=["x"] * 3))
    assert [(fault.row, fault.kind) for fault in manifest.faults.shown] == [(None, "bad column type")]
    with pytest.raises(ManifestError):
        manifest.require_valid(skip_invalid=True)


def test_a_small_file_that_stands_for_many_rows_is_refused_unread() -> None:
    many = pa.array([URL] * 1_000_001).dictionary_encode()
    data = parquet(image=many, prompt=many)
    assert len(data) < 20_000
    assert "found 1,000,001 rows; allowed: up to 1,000,000" in refusal(data)


def test_one_long_string_a_million_times_is_refused_before_it_is_spelled_out() -> None:
    entry = pa.array(["x" * 1_000_000])
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), entry)
    data = parquet(image=bomb, prompt=bomb)
    assert len(data) < 200_000
    pool = pa.default_memory_pool()
    before = pool.max_memory() or 0
    assert "more than 2 GiB of cells" in refusal(data)
    assert (pool.max_memory() or 0) - before < 300_000_000


def test_one_row_that_holds_a_list_of_millions_is_refused() -> None:
    count = 17_000_000
    lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count, pa.int8()))
    data = parquet(image=[URL], prompt=["x"], tags=lists)
    assert len(data) < 5_000
    assert "tags.list.element: found lists of 17,000,000 values" in refusal(data)


def test_a_cell_of_more_than_a_mebibyte_is_refused() -> None:
    report = refusal(parquet(image=[URL], prompt=["x"], note=["x" * 1_048_577]))
    assert report == "shots.parquet: note: found a cell of 1,048,577 bytes; allowed: up to 1,048,576"


def test_too_many_columns_are_refused() -> None:
    assert "found 1,001 columns" in refusal(parquet(**{f"c{index}": [1] for index in range(1_001)}))


def test_bytes_that_are_not_utf8_in_a_string_column_are_refused() -> None:
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    assert "Invalid UTF8" in refusal(parquet(image=bad, prompt=["x"]))


def test_text_under_parquet_is_refused() -> None:
    assert "text or something else that is not Parquet" in refusal(b"image,prompt\na,b\n")


def test_a_table_without_rows_is_refused() -> None:
    assert "found no rows" in refusal(parquet(image=pa.array([], pa.string()), prompt=pa.array([], pa.string())))


WHOLE = parquet(image=[URL, None], prompt=["x", "y"], duration=[5, 6], note=[["a"], None])


@settings(max_examples=300, derandomize=True)
@given(st.data())
def test_a_damaged_file_raises_nothing_but_manifest_errors(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 40))
    try:
        manifest = checked(bytes(damaged[: len(damaged) - cut]))
    except ManifestError as error:
        told = error.report
    else:
        told = f"shots.parquet has {manifest.num_rows or 'no'} rows"
    assert told.startswith("shots.parquet")
    assert "no rows" not in told or "found no rows" in told
