"""Results as an Excel workbook: every cell comes back, none is a formula, and people's own cells stay."""

import datetime as dt
import io
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st
from workbooks import add_column, formulas_in, packed, parts_of, save_again, sheets_of, spoiled

from animatic.errors import LocationError
from animatic.results import workbook_xml
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.formats import encode, require_room_for
from animatic.results.reading import decode, decode_with_notes, read_cells, read_head
from animatic.results.workbook import MAX_LINKS, MAX_SHEET_ROWS
from animatic.results.workbook_xml import has_date, unspelled
from tests.animatic.results.test_formats import MOMENT, table_of
from tests.animatic.results.test_replaced import TableMaker, table_at

texts = st.text(
    st.one_of(st.sampled_from("=+-@\t\r\n'\"＝<&>_x00;\0\x07\x1f\x7f\ufffe"), st.characters(exclude_categories=("Cs",)))
)
moments = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2300, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
unhurried = examples()


@pytest.fixture
def maker(tmp_path: Path) -> TableMaker:
    return TableMaker(tmp_path)


def back(table: pa.Table) -> pa.Table:
    return decode(encode(table, ".xlsx"), "out.xlsx")


@unhurried
@given(st.lists(texts, min_size=1, max_size=4), st.lists(st.none() | texts, min_size=4, max_size=4))
@example(["=1+1", "_x0007_", "a_x005F_x0007_", "\r\n\t \x00"], ["", None, "'x", "-5"])
def test_no_cell_is_a_formula_and_every_text_comes_back(prompts: list[str], notes: list[str]) -> None:
    table = table_of(prompts, note=pa.array(notes[: len(prompts)], pa.string()))
    data = encode(table, ".xlsx")
    assert list(formulas_in(data)) == []
    again = decode(data, "out.xlsx")
    assert again.to_pydict() == table.to_pydict()
    assert again.schema.types == table.schema.types


@unhurried
@given(st.lists(moments, min_size=1, max_size=20))
@example([dt.datetime(1900, 2, 28, tzinfo=dt.UTC), dt.datetime(2079, 6, 6, 1, 2, 3, 999_999, tzinfo=dt.UTC)])
def test_a_moment_comes_back_to_the_microsecond(found: list[dt.datetime]) -> None:
    column = pa.array(found, pa.timestamp("us", "UTC"))
    assert back(table_of(["p"] * len(found), at=column))["at"].to_pylist() == found


def test_a_moment_is_a_date_that_names_its_zone() -> None:
    data = encode(table_of(["one"]), ".xlsx")
    header, first = sheets_of(data)["results"][:2]
    shown = dict(zip(header, first, strict=True))
    assert abs(shown["submitted_at"] - MOMENT.replace(tzinfo=None)) < dt.timedelta(milliseconds=1)
    assert """formatCode='yyyy\\-mm\\-dd hh:mm:ss" UTC"'""" in parts_of(data)["xl/styles.xml"]
    assert (shown["row"], shown["quoted_usd"], shown["nsfw"]) == (1.0, 2.500001, 1.0)
    assert json.loads(shown["outputs"]) == ["https://cdn.example/1.mp4", "https://cdn.example/ü,2.mp4"]


CARRIED = {
    "small": pa.array([1, None, -128], pa.int8()),
    "large": pa.array([2**63 - 1, -(2**63), 10**15]),
    "unsigned": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "floating": pa.array([2.0, float("inf"), 0.1]),
    "not a number": pa.array([None, 1e300, -5e-324]),
    "exact": pa.array([Decimal("12345678901234567.89"), None, Decimal("-0.01")]),
    "short": pa.array([Decimal("0.000001"), None, Decimal("-1234.5")], pa.decimal128(12, 6)),
    "days": pa.array([dt.date(1800, 1, 1), dt.date(2026, 3, 1), None]),
    "local": pa.array([dt.datetime(2026, 3, 1, 12, 30, 15, 7), None, None]),  # noqa: DTZ001
    "nanoseconds": pa.array([1_772_368_215_000_000_001, None, 5], pa.timestamp("ns")),
    "flags": pa.array([True, None, False]),
    "digits": pa.array(["001", "1E5", "16:9"]),
    "nothing": pa.nulls(3, pa.string()),
}


@pytest.mark.parametrize("name", CARRIED)
def test_a_manifests_column_keeps_its_type(name: str) -> None:
    table = table_of(["a", "b", "c"], carried=CARRIED[name])
    again = back(table)["carried"]
    assert (again.type, again.to_pylist()) == (CARRIED[name].type, CARRIED[name].to_pylist())


def test_lists_of_a_manifest_are_json_text() -> None:
    table = table_of(["a", "b"], tags=[["x", "ü"], None])
    assert back(table)["tags"].to_pylist() == ['["x", "ü"]', None]


@pytest.mark.parametrize(
    "text",
    ["x" * 32_767, "x" * 32_768, "😀" * 20_000, "&_x0007_\x07" * 9_000, 'a … (whole text: sheet "long texts", 1)'],
    ids=["just fits", "one too many", "in two units each", "spelled longer", "its own mark"],
)
def test_a_text_of_any_length_comes_back_whole(text: str) -> None:
    table = table_of([text, "short"])
    data = encode(table, ".xlsx")
    assert decode(data, "out.xlsx").equals(table)
    cells = re.findall(r"<t [^>]*>([^<]*)</t>", parts_of(data)["xl/worksheets/sheet1.xml"])
    assert max(len(unspelled(cell).encode("utf-16-le")) for cell in cells) <= 2 * 32_767


def test_urls_are_links_as_far_as_excel_has_room_for() -> None:
    count = MAX_LINKS // 2 + 100
    one = table_of(["p"]).select(["shot_id", "image", "output_url"])
    table = pa.concat_tables([one] * count)
    parts = parts_of(encode(table, ".xlsx"))
    assert parts["xl/worksheets/_rels/sheet1.xml.rels"].count("<Relationship ") == MAX_LINKS
    assert parts["xl/worksheets/sheet1.xml"].count("<hyperlink ") == MAX_LINKS


@pytest.mark.parametrize(
    ("url", "is_link"),
    [
        ("https://cdn.example/a.mp4?x=1&y=2", True),
        ("file:///home/me/a%20b.mp4", True),
        ("https://cdn.example/" + "a" * 2_059, True),
        ("https://cdn.example/" + "a" * 2_060, False),
        ("file://server/share/a.mp4", False),
        ("javascript:alert(1)", False),
        ("https://cdn.example/a b", False),
        ("https://cdn.example/#there", False),
        ("s3://bucket/a.mp4", False),
    ],
)
def test_only_what_a_browser_opens_is_a_link(url: str, is_link: bool) -> None:
    table = table_of(["p"])
    at = table.column_names.index("output_url")
    table = table.set_column(at, table.schema.field(at), pa.array([url]))
    parts = parts_of(encode(table, ".xlsx"))
    relations = parts.get("xl/worksheets/_rels/sheet1.xml.rels", "")
    assert (relations.count('TargetMode="External"') == 3) == is_link  # image and still_uri are links, too
    assert back(table)["output_url"].to_pylist() == [url]


def test_the_same_table_gives_the_same_bytes() -> None:
    assert encode(table_of(["a"]), ".xlsx") == encode(table_of(["a"]), ".xlsx")


def test_a_table_without_rows_is_read() -> None:
    table = table_of(["a"]).slice(0, 0)
    assert back(table).equals(table)


def test_more_rows_than_a_sheet_has_are_refused() -> None:
    require_room_for("out.xlsx", MAX_SHEET_ROWS)
    require_room_for("out.csv", 10 * MAX_SHEET_ROWS)
    with pytest.raises(LocationError, match=r"found a table of 1,048,576 rows for an \.xlsx file; allowed: up to 1,04"):
        require_room_for("out.xlsx", MAX_SHEET_ROWS + 1)


def test_a_manifest_of_too_many_takes_is_refused_before_a_file_exists(maker: TableMaker, tmp_path: Path) -> None:
    rows = "".join(f"https://e.com/a.png,p{number},16\n" for number in range(65_536))
    maker.manifest.write_text(f"image,prompt,takes\n{rows}")
    with pytest.raises(LocationError, match="found a table of 1,048,576 rows"):
        maker.write(tmp_path / "out.xlsx")
    assert not (tmp_path / "out.xlsx").exists()


def test_each_column_says_where_it_came_from_and_what_it_means() -> None:
    data = encode(table_of(["a"], scene=["x"]), ".xlsx")
    about = {row[0]: row[1:] for row in sheets_of(data)["columns"]}
    assert about["submitted_at"] == ["timestamp[us, tz=UTC]", "animatic", "by our clock"]
    assert about["scene"] == ["string", "manifest", ""]
    assert read_head(io.BytesIO(data), "out.xlsx").origins["scene"] == "manifest"


# As other programs save it.


@pytest.mark.parametrize("drops", [(), ("columns",)])
def test_a_workbook_that_another_program_saved_says_the_same(tmp_path: Path, drops: tuple[str, ...]) -> None:
    table, path = table_of(["=1+1", "push in, ü", "x" * 40_000], note=["007", None, "n"]), tmp_path / "out.xlsx"
    path.write_bytes(encode(table, ".xlsx"))
    save_again(path, lambda sheets: [sheets.pop(name) for name in drops] and None)
    again, notes = decode_with_notes(path.read_bytes(), "out.xlsx")
    assert notes == []
    for name in table.column_names:
        if pa.types.is_timestamp(table.schema.field(name).type):  # XlsxWriter keeps milliseconds
            pairs = zip(again[name].to_pylist(), table[name].to_pylist(), strict=True)
            assert all(a == b or abs(a - b) < dt.timedelta(milliseconds=1) for a, b in pairs)
        else:
            assert again[name].to_pylist() == table[name].to_pylist(), name
    assert again.schema.types == table.schema.types


def test_a_ratio_and_a_name_that_became_numbers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "out.xlsx"
    path.write_bytes(encode(table_of(["a", "b"]), ".xlsx"))

    def change(sheets: dict[str, Any]) -> None:
        add_column(sheets["results"], "aspect_ratio", [dt.time(16, 9), "16:9"])
        add_column(sheets["results"], "shot_id", [1.0, "b"])

    save_again(path, change)
    again = decode(path.read_bytes(), "out.xlsx")
    assert again["aspect_ratio"].to_pylist() == ["16:9", "16:9"]
    assert again["shot_id"].to_pylist() == ["1", "b"]


def of_another_program(sheet: str, strings: str = "", workbook: str = "", styles: str = "") -> bytes:
    """Our workbook with a sheet as another program writes it."""
    parts = parts_of(encode(table_of(["a"]), ".xlsx"))
    parts["xl/worksheets/sheet1.xml"] = sheet
    relations = parts["xl/_rels/workbook.xml.rels"]
    if strings:
        parts["xl/sharedStrings.xml"] = strings
        more = '<Relationship Id="rId9" Type="x/relationships/sharedStrings" Target="/xl/sharedStrings.xml"/></Rel'
        parts["xl/_rels/workbook.xml.rels"] = relations.replace("</Rel", more)
    if workbook:
        parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace("<bookViews>", f"{workbook}<bookViews>")
    return packed(parts)


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def test_prefixes_rich_text_readings_and_cells_without_a_place_are_read() -> None:
    strings = (
        f'<x:sst xmlns:x="{MAIN}"><x:si><x:t>row</x:t></x:si><x:si><x:r><x:t>comm</x:t></x:r><x:r><x:t>ent</x:t></x:r>'
        "<x:rPh><x:t>reading</x:t></x:rPh></x:si></x:sst>"
    )
    sheet = (
        f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData><x:row r="3"><x:c t="s"><x:v>0</x:v></x:c><x:c t="s"><x:v>1</x:v>'
        '</x:c></x:row><x:row/><x:row><x:c><x:v>7</x:v></x:c><x:c r="B5" t="str"><x:f>1+1</x:f><x:v>two</x:v></x:c>'
        "</x:row></x:sheetData></x:worksheet>"
    )
    data = of_another_program(sheet, strings)
    assert list(read_head(io.BytesIO(data), "out.xlsx").names) == ["row", "comment"]
    (piece,) = read_cells(io.BytesIO(data), "out.xlsx", ["row"], ["comment"])
    assert piece.cast(pa.schema([("row", pa.int64()), ("comment", pa.string())])).to_pylist() == [
        {"row": 7, "comment": '"two"'}
    ]


@pytest.mark.parametrize(("years", "expected"), [("", 2026), ('<workbookPr date1904="1"/>', 2030)])
def test_days_are_counted_as_the_workbook_says(years: str, expected: int) -> None:
    sheet = (
        f'<worksheet xmlns="{MAIN}"><sheetData><row><c t="inlineStr"><is><t>submitted_at</t></is></c></row>'
        "<row><c><v>46082.5</v></c></row></sheetData></worksheet>"
    )
    (piece,) = read_cells(io.BytesIO(of_another_program(sheet, workbook=years)), "out.xlsx", ["submitted_at"], [])
    (moment,) = piece["submitted_at"].to_pylist()
    assert (moment.year, moment.hour) == (expected, 12)


@pytest.mark.parametrize(
    ("code", "is_date"),
    [("yyyy-mm-dd", True), ('0.0" days"', False), ("[h]:mm", True), ("[Red]0.00", False), ("General", False),
     ("0%", False), ("\\d0", False), ("d. mmm", True), ("_(* #,##0_);_(@_)", False), ("", False)],
)  # fmt: skip
def test_a_number_format_tells_a_date(code: str, is_date: bool) -> None:
    assert has_date(code) == is_date


# Damaged and hostile files.

ROW = '<row><c t="inlineStr"><is><t>row</t></is></c></row>'
ROW = '<worksheet><sheetData><row><c t="inlineStr"><is><t>row</t></is></c></row><row>{}</row></sheetData></worksheet>'
HOSTILE = {
    "a document type": '<!DOCTYPE w [<!ENTITY a "b">]><worksheet/>',
    "no element found": "<worksheet><sheetData><row>",
    "mismatched tag": "<worksheet><sheetData></row>",
    "a cell of more than": ROW.format(f'<c t="str"><v>{"x" * (1 << 20)}y</v></c>'),
    "list index out of range": ROW.format('<c t="s"><v>99</v></c>'),
    "a column without a name": ROW.format('<c r="Z2" t="str"><v>x</v></c>'),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_damaged_sheet_is_refused_in_a_sentence(reason: str) -> None:
    with pytest.raises(LocationError, match=rf"out\.xlsx: not a readable \.xlsx file: .*{reason}"):
        list(read_cells(io.BytesIO(of_another_program(HOSTILE[reason])), "out.xlsx", ["row"], []))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", packed({"a": "b"}), packed({"xl/workbook.xml": "<a/>"})])
def test_what_is_no_workbook_is_refused(data: bytes) -> None:
    with pytest.raises(LocationError, match=r"not a readable \.xlsx file"):
        read_head(io.BytesIO(data), "out.xlsx")


@pytest.mark.parametrize(("method", "flags", "said"), [(8, 1, "encrypted"), (9, 0, "compression method")])
def test_a_part_that_cannot_be_unpacked_is_refused(method: int, flags: int, said: str) -> None:
    data = spoiled(encode(table_of(["a"]), ".xlsx"), method=method, flags=flags)
    with pytest.raises(LocationError, match=rf"not a readable \.xlsx file: .*{said}"):
        read_head(io.BytesIO(data), "out.xlsx")


def test_a_part_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_xml, "MAX_SMALL_PART_BYTES", 1_000)
    with pytest.raises(LocationError, match="a part of more than 1,000 bytes"):
        read_head(io.BytesIO(encode(table_of(["a"]), ".xlsx")), "out.xlsx")


# What people add.


def test_people_keep_numbers_dates_and_formats(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.xlsx"
    maker.write(out)
    when = dt.datetime(2026, 3, 1, 12, 30)  # noqa: DTZ001

    def change(sheets: dict[str, Any]) -> None:
        add_column(sheets["results"], "rating", [4.5, None, 3])
        add_column(sheets["results"], "seen", [when, dt.date(2026, 3, 2), "later"])
        add_column(sheets["results"], "code", ["007", "=SUM(A1)", None])

    save_again(out, change)
    for run in range(2):
        maker.write(out, f"run-{run}")
    header, *rows = sheets_of(out.read_bytes())["results"]
    cells = [[row[header.index(name)] for name in ("rating", "seen", "code")] for row in rows]
    assert cells == [[4.5, when, "007"], ["", dt.date(2026, 3, 2), "=SUM(A1)"], [3.0, "later", ""]]
    assert "dd.mm.yyyy" in parts_of(out.read_bytes())["xl/styles.xml"]
    assert table_at(out)["rating"].to_pylist() == [4.5, None, 3.0]
    assert list(formulas_in(out.read_bytes())) == []


def test_sheets_of_people_are_named_and_kept_beside(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.xlsx"
    maker.write(out)
    save_again(out, lambda sheets: sheets.update({"pivot": [["total", 3.0]]}))
    before = out.read_bytes()
    stats = maker.write(out, "run-2")
    assert "out.xlsx: sheets that are not ours are not in the new workbook: pivot" in stats.notes
    assert (tmp_path / "out.before-run-2.xlsx").read_bytes() == before
    maker.write(out, "run-3")
    assert len(list(tmp_path.glob("*.before-*"))) == 1


def test_a_column_of_an_earlier_manifest_does_not_come_back(maker: TableMaker, tmp_path: Path) -> None:
    out = tmp_path / "out.xlsx"
    maker.shots("one", note="old")
    maker.write(out)
    maker.shots("one")
    maker.write(out)
    assert table_at(out).column_names == list(RESULTS_SCHEMA.names)
