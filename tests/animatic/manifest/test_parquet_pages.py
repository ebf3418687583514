import io
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asked import table_in
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from animatic.manifest import read_table
from animatic.manifest.parquet import MOST_ROWS_AS_DICTIONARIES, Caps, OverCapError, capped_batches, open_capped
from animatic.manifest.parquet_pages import TextPages

ROWS = MOST_ROWS_AS_DICTIONARIES + 5_000
NUMBERS = range(ROWS)
IMAGES = [f"https://e.com/{number}.png" for number in NUMBERS]
PROMPTS = [f"slow push in on shot {number}" if number % 7 else None for number in NUMBERS]


def written(columns: Mapping[str, Any], **options: Any) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data, **options)
    return data.getvalue()


def dictionary_lengths(data: bytes) -> set[int]:
    """Return how many entries the dictionaries of text have, by batch; none where it is read as it is."""
    batches = open_capped(io.BytesIO(data), Caps()).batches(None)
    return {
        len(column.dictionary) for each in batches for column in each.columns if pa.types.is_dictionary(column.type)
    }


KINDS: Mapping[str, Callable[[list[str | None]], pa.Array]] = {
    "string": pa.array,
    "large string": lambda texts: pa.array(texts, pa.large_string()),
    "view": lambda texts: pa.array(texts, pa.string_view()),
    "dictionary": lambda texts: pa.array(texts).dictionary_encode(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"compression": "zstd", "data_page_size": 4_096}],
    ids=["default", "plain", "version 2", "small pages"],
)
def test_a_long_row_group_is_read_as_a_short_one(kind: str, options: Mapping[str, Any]) -> None:
    columns = {"image": IMAGES, "prompt": KINDS[kind](PROMPTS), "score": [*NUMBERS]}
    long, short = (
        read_table("shots.parquet", written(columns, row_group_size=size, **options)) for size in (ROWS, 4_000)
    )
    assert long.schema == short.schema
    assert table_in(long).to_pydict() == table_in(short).to_pydict()
    assert table_in(long)["prompt"].to_pylist() == PROMPTS


def test_a_long_row_group_is_not_read_as_ever_longer_dictionaries() -> None:
    columns = {"image": IMAGES, "prompt": PROMPTS}
    assert dictionary_lengths(written(columns)) == set()
    assert max(dictionary_lengths(written(columns, use_dictionary=False, row_group_size=4_096))) <= 4_096


LONG = "x" * 100_000
UNSAFE: Mapping[str, tuple[list[str | None], Mapping[str, Any]]] = {
    "long entry of a dictionary": ([LONG, *PROMPTS[1:]], {}),
    "long cells that compress well": ([LONG] * 300 + PROMPTS[300:], {"use_dictionary": False, "compression": "zstd"}),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_text_that_may_grow_far_beyond_its_pages_is_read_as_dictionaries(name: str) -> None:
    prompts, options = UNSAFE[name]
    data = written({"image": IMAGES, "prompt": prompts}, **options)
    file = open_capped(io.BytesIO(data), Caps())
    assert pa.types.is_dictionary(next(file.batches(None)).column("prompt").type)


def test_a_long_row_group_counts_against_the_cap_as_well() -> None:
    data = written({"image": IMAGES, "prompt": ["x" * 5_000] * ROWS}, use_dictionary=["prompt"], compression="zstd")
    caps = Caps(table_bytes=50 << 20)
    with pytest.raises(OverCapError) as raised:
        list(capped_batches(open_capped(io.BytesIO(data), caps), caps))
    assert raised.value.bad.rule == "too large"


def test_columns_of_a_file_with_lists_are_read_as_dictionaries() -> None:
    data = written({"image": IMAGES, "tags": [["a"]] * ROWS})
    assert pa.types.is_dictionary(next(open_capped(io.BytesIO(data), Caps()).batches(None)).column("image").type)


SMALL = written({"image": IMAGES[:50], "prompt": PROMPTS[:50]}, data_page_size=200, dictionary_pagesize_limit=300)


def test_headers_tell_the_mean_length_of_text() -> None:
    plain = written({"image": IMAGES[:50], "prompt": ["abcd"] * 50}, use_dictionary=["prompt"], compression="none")
    assert TextPages(io.BytesIO(plain)).mean_bytes(0, [0, 1]) == {0: pytest.approx(25, abs=2), 1: 0}
    assert TextPages(io.BytesIO(plain)).mean_bytes(1, [0]) is None


def test_headers_tell_nothing_of_prefixes_of_the_cell_before() -> None:
    data = written({"image": IMAGES}, use_dictionary=False, column_encoding={"image": "DELTA_BYTE_ARRAY"})
    assert TextPages(io.BytesIO(data)).mean_bytes(0, [0]) is None


@examples(300, derandomize=True)
@given(st.data())
def test_damaged_headers_tell_nothing_or_a_length(data: st.DataObject) -> None:
    damaged = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 40))
    found = TextPages(io.BytesIO(damaged[: len(damaged) - cut])).mean_bytes(0, [0, 1])
    assert found is None or set(found) == {0, 1}
