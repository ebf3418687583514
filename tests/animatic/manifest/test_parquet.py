import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asked import invalid_rows_in, shots_in, table_in
from examples import examples
from hypothesis import given
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
    assert [shot.inputs["duration"] for shot in shots_in(manifest)] == ["6s"]


def test_nulls_and_nan_are_empty_cells() -> None:
    nothing = pa.nulls(1)
    manifest = checked(parquet(image=[URL], prompt=["x"], takes=[float("nan")], model=nothing, duration=[None]))
    assert [(shot.takes, shot.inputs["duration"]) for shot in shots_in(manifest)] == [(1, "5s")]


def test_faults_name_the_row() -> None:
    manifest = checked(parquet(image=[URL, URL], prompt=["x", "y"], duration=[5, 9]))
    assert [(fault.line, fault.row) for fault in manifest.faults.shown] == [(None, 2)]
    with pytest.raises(ManifestError, match=r'^shots\.parquet:row 2: duration: found "9"; allowed: 5s, 6s, 7s, 8s$'):
        manifest.require_valid()


def test_an_all_null_row_keeps_its_number() -> None:
    manifest = checked(parquet(image=[None, URL], prompt=[None, "x"]))
    assert [shot.row for shot in shots_in(manifest)] == [2]
    assert [row for row, _ in invalid_rows_in(manifest)] == [1]


def test_columns_that_are_only_carried_keep_their_type() -> None:
    manifest = checked(parquet(image=[URL], prompt=["x"], tags=[["a"]], score=[1.5]))
    assert manifest.carried.field("tags").type == pa.list_(pa.string())
    (part,) = manifest.parts()
    assert part.batch.column("score").to_pylist() == [1.5]


def test_a_nested_column_for_text_is_one_fault_of_the_header() -> None:
    manifest = checked(parquet(image=[[URL]] * 3, prompt=["x"] * 3))
    assert [(fault.row, fault.rule) for fault in manifest.faults.shown] == [(None, "bad column type")]
    with pytest.raises(ManifestError):
        manifest.require_valid(skip_invalid=True)


def test_a_small_file_that_stands_for_many_rows_is_refused_unread() -> None:
    many = pa.array([URL] * 1_000_001).dictionary_encode()
    data = parquet(image=many, prompt=many)
    assert len(data) < 20_000
    assert "found 1,000,001 rows; allowed: up to 1,000,000" in refusal(data)


def test_a_repeated_long_string_is_refused_before_it_is_unpacked() -> None:
    entry = pa.array(["x" * 1_000_000])
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 3_000, pa.int32()), entry)
    data = parquet(image=bomb, prompt=bomb)
    assert len(data) < 200_000
    pool = pa.default_memory_pool()
    before = pool.max_memory() or 0
    assert "more than 2 GiB of cells" in refusal(data)
    assert (pool.max_memory() or 0) - before < 300_000_000


def test_one_row_that_holds_a_list_of_millions_is_refused() -> None:
    count = 16_000_001
    lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count, pa.int8()))
    data = parquet(image=[URL], prompt=["x"], tags=lists)
    assert len(data) < 5_000
    assert "tags.list.element: found lists of 16,000,001 values" in refusal(data)


def test_a_cell_of_more_than_a_mebibyte_is_refused() -> None:
    report = refusal(parquet(image=[URL], prompt=["x"], note=["x" * 1_048_577]))
    assert report == "shots.parquet:row 1: note: found a cell of 1,048,577 bytes; allowed: up to 1,048,576"


LONG = "x" * 1_000_000
SOME = 50  # rows at once, each with a million characters
NESTED: dict[str, Callable[[], pa.Array]] = {
    "struct": lambda: pa.StructArray.from_arrays([pa.array([LONG] * SOME), pa.array(range(SOME))], ["text", "number"]),
    "list": lambda: pa.array([[LONG]] * SOME),
    "large list of structs": lambda: pa.array(
        [[{"text": LONG}]] * SOME, pa.large_list(pa.struct([("text", pa.string())]))
    ),
    "fixed list": lambda: pa.array([[LONG]] * SOME, pa.list_(pa.string(), 1)),
    "map": lambda: pa.array([[("key", LONG)]] * SOME, pa.map_(pa.string(), pa.string())),
    "map of keys": lambda: pa.array([[(LONG, 1)]] * SOME, pa.map_(pa.string(), pa.int8())),
    "dictionary in a struct": lambda: pa.StructArray.from_arrays(
        [pa.array([LONG] * SOME).dictionary_encode()], ["text"]
    ),
    "json": lambda: pa.ExtensionArray.from_storage(pa.json_(), pa.array([f'"{LONG}"'] * SOME)),
    "binary in a list": lambda: pa.array([[LONG[:500_000].encode()]] * SOME),
    "view in a list": lambda: pa.array([[LONG]] * SOME, pa.list_(pa.string_view())),
    "large text": lambda: pa.array([LONG] * SOME, pa.large_string()),
    "view": lambda: pa.array([LONG] * SOME, pa.string_view()),
}
"""Columns that stand for 2.6 GB of text in some kB of a file, once as an entry of a dictionary in each row group."""


def write_nested(folder: Path, kind: str) -> Path:
    """A file of 2.6 GB of text in this kind of column."""
    path = folder / f"{kind}.parquet"
    piece = pa.table({"image": [URL] * SOME, "prompt": ["x"] * SOME, "note": NESTED[kind]()})
    with pq.ParquetWriter(path, piece.schema, compression="zstd") as writer:
        for _ in range(2_600 // SOME):
            writer.write_table(piece)
    assert path.stat().st_size < 100_000
    return path


@pytest.fixture(scope="module")
def read_apart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    """The report on a file of each kind, and the most memory that had been in use by then, in MB, in a new process."""
    folder = tmp_path_factory.mktemp("nested")
    paths = [write_nested(folder, kind) for kind in NESTED]
    subprocess.run([sys.executable, "-c", LOOK, folder / "reported", *paths], check=True, timeout=120)
    lines = (folder / "reported").read_text().splitlines()
    return {kind: (report, int(peak)) for kind, report, peak in zip(NESTED, lines[::2], lines[1::2], strict=True)}


@pytest.mark.sandbox
@pytest.mark.parametrize("kind", NESTED)
def test_text_of_every_kind_of_column_counts_against_the_cap(read_apart: dict[str, tuple[str, int]], kind: str) -> None:
    report, peak_mb = read_apart[kind]
    assert report == f"{kind}.parquet: found more than 2 GiB of cells; allowed: up to 2 GiB"
    assert peak_mb < 400


LOOK = """
import pathlib, sys
from animatic.planning.manifests import read_manifest
from animatic.errors import ManifestError
reported = []
for path in sys.argv[2:]:
    try:
        read_manifest(path)
        reported.append("nothing")
    except ManifestError as error:
        reported.append(error.report)
    status = pathlib.Path("/proc/self/status")  # the kernel's other count begins with that of the parent
    lines = status.read_text().splitlines() if status.exists() else []
    reported.append(str(next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)))
pathlib.Path(sys.argv[1]).write_text(chr(10).join(reported))
"""


@pytest.mark.parametrize(
    ("note", "found"),
    [
        (pa.array([None, {"text": "x" * 1_048_600}]), "a cell of 1,048,612 bytes"),
        (pa.array([["a"], ["x" * 600_000, "x" * 600_000]]), "a cell of 1,200,012 bytes"),
        (pa.array([b"", b"x" * 600_000]), "a cell of 1,200,000 bytes"),
    ],
    ids=["struct", "list", "binary"],
)
def test_a_nested_cell_too_long_is_named_by_row_and_column(note: pa.Array, found: str) -> None:
    report = refusal(parquet(image=[URL, URL], prompt=["x", "y"], note=note))
    assert report == f"shots.parquet:row 2: note: found {found}; allowed: up to 1,048,576"


def test_names_of_fields_count_for_they_are_written_in_every_cell() -> None:
    names = [f"{index:03d}{'n' * 1_800}" for index in range(90)]
    note = pa.StructArray.from_arrays([pa.nulls(20_000, pa.int8())] * 90, names)
    data = parquet(image=[URL] * 20_000, prompt=["x"] * 20_000, note=note)
    assert len(data) < 2_000_000
    assert "found more than 2 GiB of cells" in refusal(data)


def test_numbers_of_millions_of_bytes_in_one_row_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animatic.manifest.parquet.MAX_LIST_BYTES", 25 << 20)
    lists = [pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), pa.nulls(n, pa.int64())) for n in [1_600_000] * 3]
    data = parquet(image=[URL], prompt=["x"], **{f"c{index}": each for index, each in enumerate(lists)})
    assert "c2.list.element: found lists of 1,600,000 values" in refusal(data)


def test_cells_of_a_fixed_width_are_not_wider_than_others_may_be() -> None:
    wide = pa.nulls(2, pa.binary(2_000_000))
    assert "note: found cells of 2,000,000 bytes" in refusal(parquet(image=[URL] * 2, prompt=["x"] * 2, note=wide))


def test_cells_that_every_take_repeats_count_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animatic.manifest.checking.MAX_CARRIED_BYTES", 4 << 20)  # 4 GiB take seconds to fill
    rows = 300
    data = parquet(image=[URL] * rows, prompt=["x"] * rows, takes=[16] * rows, note=["x" * 1_000] * rows)
    assert len(data) < 50_000
    with pytest.raises(ManifestError, match="more than 4 GiB of carried cells, since every take of a row repeats"):
        checked(data)


def test_nested_text_of_many_dictionaries_and_of_none_is_read(tmp_path: Path) -> None:
    rows = 2_000
    notes = [[f"note {row} {'x' * (row % 300)}"] for row in range(rows)]
    table = pa.table({"image": [URL] * rows, "prompt": ["x"] * rows, "note": notes})
    for options in ({"row_group_size": 300}, {"dictionary_pagesize_limit": 4_096}, {"use_dictionary": False}):
        data = io.BytesIO()
        pq.write_table(table, data, **options)
        assert table_in(read_table("shots.parquet", data.getvalue()))["note"].to_pylist() == notes


@examples(60, derandomize=True)
@given(st.data())
def test_nested_columns_are_carried_as_they_are(data: st.DataObject) -> None:
    texts = st.text(max_size=4)
    kinds = {
        "structs": (st.fixed_dictionaries({"a": st.none() | texts, "b": st.none() | st.integers(0, 9)}), None),
        "lists": (st.lists(st.none() | texts, max_size=3), pa.list_(pa.string())),
        "deep": (st.lists(st.fixed_dictionaries({"a": st.lists(texts, max_size=2)}), max_size=2), None),
        "maps": (
            st.lists(st.tuples(texts, st.none() | texts), max_size=2),
            pa.map_(pa.string(), pa.string()),
        ),
        "pairs": (st.lists(st.none() | texts, min_size=2, max_size=2), pa.list_(pa.string(), 2)),
        "bytes": (st.binary(max_size=3), pa.binary()),
    }
    rows = data.draw(st.integers(1, 12))
    columns = {
        name: pa.array(data.draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
        for name, (values, kind) in kinds.items()
    }
    raw = read_table("shots.parquet", parquet(image=[URL] * rows, prompt=["x"] * rows, **columns))
    assert {name: table_in(raw)[name].to_pylist() for name in columns} == {n: c.to_pylist() for n, c in columns.items()}


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


@examples(300, derandomize=True)
@given(st.data())
def test_a_damaged_file_raises_nothing_but_manifest_errors(data: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 40))
    try:
        manifest = checked(bytes(damaged[: len(damaged) - cut]))
    except ManifestError as error:
        reported = error.report
    else:
        reported = f"shots.parquet has {manifest.num_rows or 'no'} rows"
    assert reported.startswith("shots.parquet")
    assert "no rows" not in reported or "found no rows" in reported
