"""Results tables that a spreadsheet or a library saved again: read where there is one way to read them."""

import csv
import datetime as dt
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from asked import shot_of, takes_of
from hypothesis import example, given
from hypothesis import strategies as st
from tables import TakeOutcome, build_table

from animatic.errors import LocationError
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.csv_cells import open_csv
from animatic.results.formats import SUFFIXES, encode
from animatic.results.reading import decode, decode_with_notes, read_cells, read_columns, read_head
from animatic.results.schema import Provenance
from animatic.results.typed import AmbiguousError, typed

PROVIDER = "https://api.wavespeed.ai"
MOMENT = dt.datetime(2026, 3, 1, 12, 30, 15, tzinfo=dt.UTC)
Change = Callable[[str, str], str]


def table_of(count: int = 3, **carried: Any) -> pa.Table:
    """Some takes, the first of them bought."""
    shots = [shot_of(row, storyboard="b", prompt=f"Über {row},\nline; two") for row in range(1, count + 1)]
    bought = TakeOutcome(
        status="completed", outputs=("https://cdn.example/a;b,c.mp4",), has_nsfw_contents=(True,), inference_ms=41_000,
        submitted_at=MOMENT, completed_at=MOMENT, polls=3, attempts=1, run_id="r", quoted_microusd=2_500_000,
    )  # fmt: skip
    (first,) = (take.fingerprint for take in takes_of(shots[0], PROVIDER))
    raw = pa.table({"prompt": [shot.inputs["prompt"] for shot in shots], **carried})
    return build_table(shots, {first: bought}, {}, raw, Provenance("r", "cd" * 32))


def saved(
    table: pa.Table, change: Change = lambda _, cell: cell, delimiter: str = ",", encoding: str = "utf-8-sig"
) -> bytes:
    """The table as a spreadsheet saves it, its cells changed by their columns."""
    header, *rows = csv.reader(io.StringIO(encode(table, ".csv").decode(), newline=""))
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([change(name, cell) for name, cell in zip(header, row, strict=True)] for row in rows)
    return file.getvalue().encode(encoding)


WORDS = {"true": "WAHR", "false": "FALSCH"}


def german(name: str, cell: str) -> str:
    if name == "quoted_usd":
        return cell.replace(".", ",").rstrip("0").rstrip(",")
    if name == "aspect_ratio":
        return "16:09:00"
    return WORDS.get(cell, cell)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_in_another_dialect_says_the_same(delimiter: str, encoding: str) -> None:
    table = table_of(comment=["good; really", None, "x"])
    again, notes = decode_with_notes(saved(table, german, delimiter, encoding), "out.csv")
    assert notes == []
    assert again.equals(table)


@pytest.mark.parametrize(
    ("true", "false"),
    [("TRUE", "FALSE"), ("True", "False"), ("WAHR", "FALSCH"), ("VRAI", "FAUX"), ("VERDADERO", "FALSO"), ("1", "0"),
     ("VERO", "FALSO"), ("WAAR", "ONWAAR"), ("SANT", "FALSKT"),
     ("ИСТИНА", "ЛОЖЬ"), ("DOĞRU", "YANLIŞ"), ("ΑΛΗΘΕΣ", "ΨΕΥΔΕΣ")],
)  # fmt: skip
def test_true_and_false_are_read_in_the_languages_of_spreadsheets(true: str, false: str) -> None:
    field = pa.field("nsfw", pa.bool_())
    assert typed(pa.chunked_array([[true, None, false, ""]]), field).to_pylist() == [True, None, False, None]


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2.5", "2.5"), ("2,5", "2.5"), ("2,50", "2.5"), ("$2.50", "2.5"), ("2,50 €", "2.5"), ("1.234,5", "1234.5"),
     ("1,234.5", "1234.5"), ("123.456,5", "123456.5"), ("2.4999999999", "2.5"), ("0", "0"), ("2.5E+0", "2.5")],
)  # fmt: skip
def test_an_amount_is_read_where_there_is_one_way(text: str, amount: str) -> None:
    found = typed(pa.chunked_array([[text]]), pa.field("quoted_usd", pa.decimal128(12, 6)))
    assert found.to_pylist() == [Decimal(amount)]


@pytest.mark.parametrize(
    ("text", "commas", "number"),
    [("41000.0", False, 41_000), ("41,000", False, 41_000), ("1.234.567", True, 1_234_567), ("41 000", False, 41_000),
     ("41.000", True, None), ("41.000", False, None), ("41,000", True, None)],
)  # fmt: skip
def test_a_whole_number_is_read_where_there_is_one_way(text: str, commas: bool, number: int | None) -> None:
    column, field = pa.chunked_array([[text]]), RESULTS_SCHEMA.field("inference_ms")
    if number is None:
        with pytest.raises(AmbiguousError, match="can be read in two ways"):
            typed(column, field, has_decimal_commas=commas)
    else:
        assert typed(column, field, has_decimal_commas=commas).to_pylist() == [number]


def test_a_comma_before_three_digits_is_for_decimals_beside_semicolons_only() -> None:
    column, field = pa.chunked_array([["2,500"]]), pa.field("quoted_usd", pa.decimal128(12, 6))
    assert typed(column, field, has_decimal_commas=True).to_pylist() == [Decimal("2.5")]
    with pytest.raises(AmbiguousError, match='"2,500" is a number whose comma can be read in two ways'):
        typed(column, field)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2026-03-01T12:30:15.000000Z", MOMENT), ("2026-03-01 12:30:15+00:00", MOMENT), ("2026-03-01 12:30:15", MOMENT),
     ("2026-03-01 13:30:15+01", MOMENT), ("", None)],
)  # fmt: skip
def test_a_moment_in_any_iso_form_is_read(text: str, moment: dt.datetime | None) -> None:
    assert typed(pa.chunked_array([[text]]), RESULTS_SCHEMA.field("submitted_at")).to_pylist() == [moment]


@pytest.mark.parametrize(
    "date",
    [
        "01.03.2026 12:30",
        "3/1/2026 12:30",
        "3/1/26",
        "1. März 2026",
        "Mar 1, 2026",
        "2026-03-01",
        "46082.52",
        "2026/3/1",
    ],
)
def test_a_local_date_is_left_as_text_and_told(date: str) -> None:
    data = saved(table_of(), lambda name, cell: date if name == "submitted_at" and cell else cell, ";")
    table, notes = decode_with_notes(data, "out.csv")
    assert table["submitted_at"].to_pylist() == [date, None, None]
    assert notes == [
        f'out.csv: column submitted_at is left as text: "{date}" is a date that can be read in several ways'
    ]
    (piece,) = read_columns(io.BytesIO(data), "out.csv", ("fingerprint", "submitted_at"))
    assert piece["submitted_at"].to_pylist() == [None] * 3, "nothing is made of it where it counts"


def test_an_ambiguous_amount_is_kept_as_text_and_refused_where_it_counts() -> None:
    data = saved(table_of(), lambda name, cell: "2,500" if name == "quoted_usd" and cell == "2.500000" else cell)
    table, notes = decode_with_notes(data, "out.csv")
    assert table["quoted_usd"].to_pylist() == ["2,500", "0.000000", "0.000000"]
    assert len(notes) == 1
    with pytest.raises(LocationError, match="column quoted_usd does not hold"):
        list(read_columns(io.BytesIO(data), "out.csv", ("quoted_usd",)))


def test_rows_without_their_last_empty_cells_are_read() -> None:
    table = table_of(40, comment=["good", *[None] * 39])
    lines = saved(table).split(b"\r\n")
    short = [line if number < 17 else line.rstrip(b",") for number, line in enumerate(lines)]
    assert decode(b"\r\n".join(short), "out.csv").equals(table)
    pieces = list(read_cells(io.BytesIO(b"\r\n".join(short)), "out.csv", ("row",), ("comment",)))
    assert pa.concat_tables(pieces)["row"].to_pylist() == list(range(1, 41))


def test_a_table_that_was_cut_off_is_no_table() -> None:
    data = saved(table_of(40, comment=["good", *[None] * 39])).removesuffix(b"\r\n").rstrip(b",")
    with pytest.raises(LocationError, match=r"not a readable \.csv file: its last row is cut off"):
        decode(data, "out.csv")


def test_more_cells_than_columns_are_refused() -> None:
    data = saved(table_of()).replace(b"\r\n2,", b",stray\r\n2,")
    with pytest.raises(LocationError, match=r"not a readable \.csv file: a column without a name holds 'stray"):
        decode(data, "out.csv")


def test_another_encoding_is_named() -> None:
    with pytest.raises(LocationError, match="was it saved as Windows-1252 or Latin-1"):
        decode(saved(table_of(), encoding="latin-1"), "out.csv")


def test_a_line_that_says_the_delimiter_is_passed_over() -> None:
    data = b"sep=;\r\n" + saved(table_of(), german, ";", "utf-8")
    assert decode(data, "out.csv").equals(table_of())
    assert read_head(io.BytesIO(data), "out.csv").is_ours


MAPS = {
    "of numbers": pa.array([[("a", 1), ("b", 2)], None, []], pa.map_(pa.string(), pa.int64())),
    "of texts": pa.array([[("a", "x")], [("b", "y")], None], pa.map_(pa.string(), pa.string())),
    "by numbers": pa.array([[(1, "x")], None, [(2, None)]], pa.map_(pa.int32(), pa.string())),
    "in lists": pa.array([[[("a", 1.5)]], None, []], pa.list_(pa.map_(pa.string(), pa.float64()))),
    "in structs": pa.array([{"m": [("k", 1)]}, None, None], pa.struct([("m", pa.map_(pa.string(), pa.int64()))])),
    "and other types: large": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "and other types: bytes": pa.array([b"\xff", None, b""]),
    "and other types: infinite": pa.array([[float("nan"), 1.0], None, [float("inf")]]),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", MAPS)
def test_every_column_that_we_write_is_read(suffix: str, name: str) -> None:
    table = table_of(3, carried=MAPS[name])
    again = decode(encode(table, suffix), f"out{suffix}")
    assert again.column_names == table.column_names
    assert again["carried"].null_count == table["carried"].null_count
    (piece,) = read_cells(io.BytesIO(encode(table, suffix)), f"out{suffix}", ("shot_id",), ("carried",))
    assert piece.num_rows == 3


def test_values_of_no_one_type_come_back_as_text_also_far_apart() -> None:
    first, other, last = encode(table_of(), ".jsonl").decode().splitlines()
    lines = [first, *[other] * 24_998, last]  # more than is read at once
    lines[0] = lines[0].removesuffix("}") + ', "approved": true}'
    lines[-1] = lines[-1].removesuffix("}") + ', "approved": {"by": "é"}}'
    found = decode("\n".join(lines).encode(), "out.jsonl")["approved"]
    assert found.to_pylist() == ["true", *[None] * 24_998, '{"by": "é"}']


@given(st.text(), st.sampled_from([",", ";", "\t"]))
@example("1E100", ",")
def test_no_text_makes_the_reader_stumble(text: str, delimiter: str) -> None:
    for field in RESULTS_SCHEMA:
        try:
            found = typed(pa.chunked_array([[text]]), field, has_decimal_commas=delimiter != ",")
        except (ValueError, TypeError, pa.ArrowException):
            continue
        assert len(found) == 1


def test_the_delimiter_is_the_one_that_finds_our_columns() -> None:
    data = saved(table_of(), delimiter=";").replace(b"shot_id", b"shot_id,and,many,more")
    assert open_csv(io.BytesIO(data)).delimiter == ";"


def test_numbers_of_a_frame_with_gaps_are_whole_again() -> None:
    data = saved(
        table_of(), lambda name, cell: f"{cell}.0" if name in {"take", "polls", "inference_ms"} and cell else cell
    )
    found = decode(data, "out.csv")
    assert found["inference_ms"].to_pylist() == [41_000, None, None]
    assert found["take"].type == pa.int32()
    assert np.array_equal(found["polls"].to_numpy(), [3, 0, 0])


def with_two_more_columns(table: pa.Table, cell: str = "") -> bytes:
    """The table as it is saved once two columns at its end were emptied, or one of them was not."""
    header, *rows = csv.reader(io.StringIO(saved(table).decode("utf-8-sig"), newline=""))
    file = io.StringIO(newline="")
    csv.writer(file).writerows([[*header, "", ""], *([*row, "", cell] for row in rows)])
    return file.getvalue().encode()


def test_empty_columns_at_the_end_are_passed_over() -> None:
    assert decode(with_two_more_columns(table_of()), "out.csv").equals(table_of())
    with pytest.raises(LocationError, match="a column without a name holds 'stray'"):
        decode(with_two_more_columns(table_of(), "stray"), "out.csv")
