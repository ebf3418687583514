import csv
import datetime as dt
import decimal
import io
import json
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asked import shot_of, takes_of
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st
from tables import TakeOutcome, build_table

from animatic.errors import LocationError
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.formats import ROW_GROUP_ROWS, SUFFIXES, check_suffix, encode, open_writer
from animatic.results.formulas import neutralise, restore
from animatic.results.reading import decode
from animatic.results.schema import Provenance
from animatic.takes.money.amounts import usd

PROVIDER = "https://api.wavespeed.ai"
MOMENT = dt.datetime(2026, 3, 1, 12, 30, 15, 1, tzinfo=dt.UTC)
FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")

texts = st.text(st.one_of(st.sampled_from("=+-@\t\r\n'\"＝,;19.e "), st.characters(exclude_categories=("Cs",))))
unhurried = examples()


def table_of(prompts: list[str], **carried: object) -> pa.Table:
    """One row per prompt: the first completed, the second failed, the others pending."""
    shots = [shot_of(row, storyboard="b", prompt=prompt) for row, prompt in enumerate(prompts, start=1)]
    known = [
        TakeOutcome(
            status="completed",
            outputs=("https://cdn.example/1.mp4", "https://cdn.example/ü,2.mp4"),
            has_nsfw_contents=(False, True),
            inference_ms=41_000,
            submitted_at=MOMENT,
            completed_at=MOMENT,
            polls=3,
            attempts=1,
            run_id="r",
            prediction_model="=veo2",
            quoted_microusd=2_500_001,
        ),
        TakeOutcome(
            status="failed",
            outputs=(),
            has_nsfw_contents=(None, False),
            error_code=-5,
            error='=HYPERLINK(0)\r\n"boom"',
            attempts=1,
            quoted_microusd=None,
        ),
    ]
    outcomes = {
        take.fingerprint: outcome
        for shot, outcome in zip(shots, known, strict=False)
        for take in takes_of(shot, PROVIDER)
    }
    raw = pa.table({"prompt": prompts, **carried})
    return build_table(shots, outcomes, {}, raw, Provenance("r", "cd" * 32))


def cells_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def is_formula(cell: str) -> bool:
    return FORMULA.match(cell) is not None and NUMBER.fullmatch(cell) is None


@unhurried
@given(st.lists(texts, max_size=5))
@example(["=1", "'=1", "''=1", "'", "'x", "-5", "'-5", "-5\n", "-", "-1+2", "-1e3", "", "\r"])
def test_neutralising_is_undone_exactly_and_leaves_no_formula(found: list[str]) -> None:
    safe = neutralise(pa.array(found, pa.string()))
    assert [cell for cell in safe.to_pylist() if is_formula(cell)] == []
    assert restore(safe).to_pylist() == found


def test_numbers_and_harmless_text_are_not_touched() -> None:
    cells = ["-5", "-0.25", "-1e-05", "push in", "'quoted'", "", "a=b", "12", None]
    assert neutralise(pa.array(cells)).to_pylist() == cells


@unhurried
@given(st.lists(texts, min_size=1, max_size=4), texts, st.lists(st.none() | texts, min_size=4, max_size=4))
@example([""], "\0", [None] * 4)
def test_no_csv_cell_is_a_formula_and_every_cell_comes_back(prompts: list[str], name: str, notes: list[str]) -> None:
    carried = {f"note {name}": notes[: len(prompts)], f"{name}!": notes[: len(prompts)]}
    table = table_of(prompts, **carried)
    data = encode(table, ".csv")
    cells = cells_of(data)
    assert len(cells) == len(prompts) + 1
    assert [cell for line in cells for cell in line if is_formula(cell)] == []
    back = decode(data, "x.csv")
    assert back.column_names == table.column_names
    assert back.to_pydict() == table.to_pydict()


def test_duckdb_reads_the_same_cells_from_the_csv_and_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(encode(table_of(["=1+1", "@SUM(A1)\nb", "-2+3", "\ttab", 'say "hi", now']), ".csv"))
    with duckdb.connect() as connection:
        found = connection.execute(
            "select * from read_csv(?, header=true, all_varchar=true, delim=',', quote='\"', escape='\"')", [str(path)]
        ).fetchall()
        types = dict(connection.sql(f"select column_name, column_type from (describe from '{path}')").fetchall())
    assert len(found) == 5
    assert [cell for line in found for cell in line if cell is not None and is_formula(cell)] == []
    assert (types["row"], types["nsfw"], types["polls"]) == ("BIGINT", "BOOLEAN", "BIGINT")
    assert types["submitted_at"].startswith("TIMESTAMP")


def test_csv_keeps_nulls_lists_times_and_booleans_apart() -> None:
    data = encode(table_of(["one", "two"], note=["", None]), ".csv")
    header, first, second, *_ = cells_of(data)
    row = dict(zip(header, first, strict=True))
    assert json.loads(row["outputs"]) == ["https://cdn.example/1.mp4", "https://cdn.example/ü,2.mp4"]
    assert (row["has_nsfw_contents"], row["nsfw"], row["cached"]) == ("[false, true]", "true", "false")
    assert row["submitted_at"] == "2026-03-01T12:30:15.000001Z"
    assert (row["row"], row["polls"]) == ("1", "3")
    lines = data.decode().split("\n")
    assert lines[1].endswith(',""')
    assert lines[-2].endswith(",")
    assert dict(zip(header, second, strict=True))["outputs"] == "[]"


def test_jsonl_has_one_object_a_line_with_lists_and_nulls() -> None:
    table = table_of(["one\u2028line", "two"], score=[float("nan"), 1.5])
    lines = encode(table, ".jsonl").decode().split("\n")
    assert lines[-1] == ""
    first, second = (json.loads(line) for line in lines[:-1])
    assert first["outputs"] == ["https://cdn.example/1.mp4", "https://cdn.example/ü,2.mp4"]
    assert (first["submitted_at"], first["error"], first["score"]) == ("2026-03-01T12:30:15.000001Z", None, None)
    assert (second["error"], second["score"], second["error_code"]) == ('=HYPERLINK(0)\r\n"boom"', 1.5, -5)
    assert list(first) == table.column_names


def test_parquet_keeps_types_metadata_and_is_zstd() -> None:
    table = table_of(["one"], scene=pa.array([3], pa.int8()))
    data = encode(table, ".parquet")
    back = pq.read_table(io.BytesIO(data))
    assert back.equals(table)
    assert back.schema.metadata == table.schema.metadata
    assert pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression == "ZSTD"


def test_rows_in_small_pieces_are_written_in_row_groups_of_one_size() -> None:
    sink, rows = io.BytesIO(), pa.table({"row": range(2 * ROW_GROUP_ROWS + 7_000)})
    writer = open_writer(sink, ".parquet", rows.schema)
    for start in range(0, len(rows), 3_000):
        writer.write(rows.slice(start, 3_000))
    writer.close({})
    found = pq.ParquetFile(io.BytesIO(sink.getvalue()))
    groups = [found.metadata.row_group(at).num_rows for at in range(found.metadata.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 7_000]
    assert found.read().equals(rows)


def test_duckdb_reads_the_parquet_with_the_types_promised(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(encode(table_of(["one", "two"]), ".parquet"))
    with duckdb.connect() as connection:
        types = dict(connection.sql(f"select column_name, column_type from (describe from '{path}')").fetchall())
        metadata = dict(
            connection.sql(f"select decode(key), decode(value) from parquet_kv_metadata('{path}')").fetchall()
        )
        flagged = connection.sql(f"select row from '{path}' where nsfw and len(outputs) = 2").fetchall()
    duckdb_type = {
        pa.int64(): "BIGINT",
        pa.int32(): "INTEGER",
        pa.float64(): "DOUBLE",
        pa.string(): "VARCHAR",
        pa.bool_(): "BOOLEAN",
        pa.list_(pa.string()): "VARCHAR[]",
        pa.list_(pa.bool_()): "BOOLEAN[]",
        pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
        pa.decimal128(12, 6): "DECIMAL(12,6)",
    }
    assert types == {field.name: duckdb_type[field.type] for field in RESULTS_SCHEMA}
    assert metadata["animatic.manifest_sha256"] == "cd" * 32
    assert flagged == [(1,)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_known_columns_come_back_with_their_exact_types(suffix: str) -> None:
    table = table_of(["one", "-2+3"], note=["2026-01-01", None], nothing=pa.array([None, None], pa.string()))
    back = decode(encode(table, suffix), f"x{suffix}")
    assert back.equals(table)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_of_version_1_has_nulls_in_the_new_columns(suffix: str) -> None:
    new = ["still_uri", "outputs_expire_at", "prediction_model", "quoted_usd"]
    table = table_of(["one", "two"], note=["x", "y"])
    back = decode(encode(table.drop_columns(new), suffix), f"x{suffix}")
    assert sorted(back.column_names) == sorted(table.column_names)
    assert back.select(table.column_names).schema.equals(table.schema)
    assert all(back[name].null_count == 2 for name in new)
    assert back.drop_columns(new).equals(table.drop_columns(new))


def test_dollars_are_exact_in_every_format() -> None:
    table = table_of(["one", "two", "three"])
    header, *lines = cells_of(encode(table, ".csv"))
    assert [line[header.index("quoted_usd")] for line in lines] == ["2.500001", "", "0.000000"]
    found = [json.loads(line)["quoted_usd"] for line in encode(table, ".jsonl").splitlines()]
    assert found == [2.500001, None, 0.0]
    for suffix in SUFFIXES:
        assert decode(encode(table, suffix), f"x{suffix}")["quoted_usd"].to_pylist() == [
            decimal.Decimal("2.500001"),
            None,
            decimal.Decimal(0),
        ]


@unhurried
@given(st.lists(st.integers(0, 10**12 - 1) | st.none(), min_size=1, max_size=8))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_amount_comes_back(suffix: str, amounts: list[int | None]) -> None:
    table = table_of(["x"] * len(amounts))
    prices = pa.array([None if each is None else usd(each) for each in amounts], pa.decimal128(12, 6))
    table = table.set_column(table.schema.get_field_index("quoted_usd"), table.schema.field("quoted_usd"), prices)
    assert decode(encode(table, suffix), f"x{suffix}")["quoted_usd"].to_pylist() == prices.to_pylist()


def test_carried_columns_of_every_arrow_type_can_be_written_to_every_format() -> None:
    carried = {
        "list": pa.array([[1, 2]]),
        "struct": pa.array([{"a": "=x", "when": dt.date(2026, 1, 2)}]),
        "binary": pa.array([b"\xff\x00"]),
        "decimal": pa.array([decimal.Decimal("-1.50")]),
        "exact": pa.array([decimal.Decimal("12345678901234567890.123456789")]),
        "half": pa.array([-0.5], pa.float16()),
        "infinite": pa.array([float("-inf")]),
        "date": pa.array([dt.date(2026, 1, 2)]),
        "time": pa.array([dt.time(1, 2, 3)]),
        "span": pa.array([dt.timedelta(days=-1)]),
        "local": pa.array([dt.datetime(2026, 1, 2, 3, 4)], pa.timestamp("s")),  # noqa: DTZ001  a naive column is meant
        "zoned": pa.array([MOMENT], pa.timestamp("ns", tz="Europe/Berlin")),
        "category": pa.array(["=x"]).dictionary_encode(),
        "nothing": pa.nulls(1),
        "large": pa.array(["=x"], pa.large_string()),
        "unsigned": pa.array([2**64 - 1], pa.uint64()),
    }
    table = table_of(["one"], **carried)
    header, line = cells_of(encode(table, ".csv"))
    row = dict(zip(header, line, strict=True))
    assert {name: row[name] for name in carried} == {
        "list": "[1, 2]",
        "struct": '{"a": "=x", "when": "2026-01-02"}',
        "binary": "ff00",
        "decimal": "-1.50",
        "exact": "12345678901234567890.123456789",
        "half": "-0.5",
        "infinite": "'-inf",
        "date": "2026-01-02",
        "time": "01:02:03",
        "span": "'-1 day, 0:00:00",
        "local": "2026-01-02T03:04:00",
        "zoned": "2026-03-01T12:30:15.000001000Z",
        "category": "'=x",
        "nothing": "",
        "large": "'=x",
        "unsigned": "18446744073709551615",
    }
    parsed = json.loads(encode(table, ".jsonl"))
    assert (parsed["list"], parsed["struct"]) == ([1, 2], {"a": "=x", "when": "2026-01-02"})
    assert (parsed["binary"], parsed["infinite"], parsed["unsigned"]) == ("ff00", None, 2**64 - 1)
    assert (parsed["decimal"], parsed["exact"]) == ("-1.50", "12345678901234567890.123456789")
    assert decode(encode(table, ".parquet"), "x.parquet").schema.field("decimal").type == pa.decimal128(3, 2)


@pytest.mark.parametrize("name", ["results.ods", "results", "results.csv.gz", "results.json"])
def test_other_suffixes_are_refused_with_the_allowed_ones(name: str) -> None:
    with pytest.raises(LocationError, match=r"results.*allowed suffixes: \.parquet, \.csv, \.jsonl, \.xlsx"):
        check_suffix(name)


def test_a_suffix_counts_in_any_case() -> None:
    assert check_suffix("R.PARQUET") == ".parquet"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"[1]\n", b"3\n", b'{"row": 1}\n{"row"', b"PAR1xxxxPAR1"])
def test_bytes_that_are_not_a_results_table_are_refused_by_name(suffix: str, data: bytes) -> None:
    with pytest.raises(LocationError, match=rf"^bad\{suffix}: not a"):
        decode(data, f"bad{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_our_columns_is_refused_and_the_missing_ones_named(suffix: str) -> None:
    data = encode(table_of(["one"]).drop_columns(["status", "nsfw"]), suffix)
    with pytest.raises(LocationError, match="missing: status, nsfw"):
        decode(data, f"x{suffix}")


def test_a_column_with_other_values_than_promised_is_refused_by_name() -> None:
    data = encode(table_of(["one"]), ".csv").replace(b"2026-03-01T12:30:15.000001Z", b"yesterday")
    with pytest.raises(LocationError, match="column submitted_at does not hold"):
        decode(data, "x.csv")
