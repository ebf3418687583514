import csv

import pytest
from asked import row_faults_in, table_in
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors import ManifestError
from animatic.manifest import RawManifest, read_table

WHOLE = "image,prompt\nhttps://e.com/a.png,push in\n"


def refusal(data: bytes | str, name: str = "shots.csv") -> str:
    with pytest.raises(ManifestError) as refused:
        read_table(name, data.encode() if isinstance(data, str) else data)
    return refused.value.report


def told_of(name: str, data: bytes) -> str:
    """Return the report, or the number of rows if it could be read. Any other error ends the test."""
    try:
        raw = read_table(name, data)
    except ManifestError as error:
        return error.report
    assert raw.lines is None or len(raw.lines) == table_in(raw).num_rows > 0
    return f"{name} has {table_in(raw).num_rows} rows"


def rows_of(raw: RawManifest) -> list[dict[str, str | None]]:
    return table_in(raw).to_pylist()


def dumped(rows: list[list[str]], delimiter: str, line_end: str, quote_all: bool) -> str:
    """By hand, because csv.writer leaves a line feed unquoted where lines end in something else."""

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if quote_all or set(text) & set('"\r\n,;\t') else text

    return "".join(delimiter.join(cell(text) for text in row) + line_end for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_any_delimiter_line_end_and_mark_give_the_same_rows(delimiter: str, line_end: str, mark: bytes) -> None:
    text = dumped([["prompt", "image"], ["a, b; c\td", "x.png"]], delimiter, line_end, quote_all=False)
    raw = read_table("shots.csv", mark + text.encode())
    assert rows_of(raw) == [{"prompt": "a, b; c\td", "image": "x.png"}]
    assert list(raw.lines or []) == [2]


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\"',;\t"), max_size=12)


@given(
    cells=st.lists(st.tuples(texts, texts.map(lambda text: f"x{text}")), min_size=1, max_size=6),
    form=st.tuples(
        st.sampled_from([",", ";", "\t"]),
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.booleans(),
    ),
    mark=st.sampled_from(["", "\ufeff"]),
    blank_lines=st.integers(0, 2),
)
def test_every_way_of_writing_a_table_reads_the_same(
    cells: list[tuple[str, str]], form: tuple[str, str, bool], mark: str, blank_lines: int
) -> None:
    blank = form[1] * blank_lines
    body = dumped([list(pair) for pair in cells], *form)
    text = mark + dumped([["image", "prompt"]], *form) + blank + body + blank
    raw = read_table("shots.csv", text.encode())
    assert [(row["image"], row["prompt"]) for row in rows_of(raw)] == cells
    assert not raw.header_faults
    assert not row_faults_in(raw)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.parquet"]))
def test_arbitrary_bytes_raise_nothing_but_manifest_errors(data: bytes, name: str) -> None:
    assert told_of(name, data).startswith(name)


@given(st.text(st.sampled_from('ab",;\t\r\n\0 é'), max_size=60))
def test_arbitrary_text_under_a_good_header_raises_nothing_but_manifest_errors(text: str) -> None:
    assert told_of("a.csv", f"image,prompt\n{text}".encode()).startswith("a.csv")


def test_lines_are_those_on_which_rows_begin() -> None:
    text = 'image,prompt\r\n\r\na.png,"one\r\ntwo\r\nthree"\r\n , \r\nb.png,x\r\n\r\n'
    raw = read_table("shots.csv", text.encode())
    assert list(raw.lines or []) == [3, 7]
    assert rows_of(raw)[0]["prompt"] == "one\r\ntwo\r\nthree"


def test_header_cells_are_stripped_and_others_are_not() -> None:
    raw = read_table("shots.csv", b" image ;prompt \nx.png; as it is \n")
    assert rows_of(raw) == [{"image": "x.png", "prompt": " as it is "}]


def test_a_delimiter_inside_quotes_or_in_a_prompt_does_not_win() -> None:
    raw = read_table("shots.csv", b'"prompt";image;"note, with, many, commas"\na,b,c;x.png;n\n')
    assert table_in(raw).column_names == ["prompt", "image", "note, with, many, commas"]


def test_a_row_of_the_wrong_length_is_its_own_fault() -> None:
    raw = read_table("shots.csv", b"image,prompt,note\na.png,x\nb.png,y,z\nc.png,one, two,n\n")
    assert [(fault.line, fault.row, fault.rule) for fault in row_faults_in(raw)] == [
        (2, 1, "wrong number of cells"),
        (4, 3, "wrong number of cells"),
    ]
    assert [row["image"] for row in rows_of(raw)] == ["a.png", "b.png", "c.png"]


def test_empty_columns_at_the_right_are_dropped_until_something_stands_in_them() -> None:
    raw = read_table("shots.csv", b"image,prompt,,\na.png,x,,\nb.png,y,,stray\n")
    assert table_in(raw).column_names == ["image", "prompt"]
    assert [fault.line for fault in row_faults_in(raw)] == [3]


def test_an_unclosed_quote_is_reported_with_the_line_of_its_row() -> None:
    report = refusal('image,prompt\na.png,x\nb.png,"never\nclosed\n')
    assert report.startswith("shots.csv:3: row: found a quote that opens in this row and is never closed")


def test_text_after_a_closing_quote_is_refused() -> None:
    assert refusal('image,prompt\na.png,"x"y\n').startswith("shots.csv:2: row: found a quoted cell that goes on")


@pytest.mark.parametrize("before", ["", "p" * 1_048_570, "x" + "é" * 700_000])
def test_bad_utf8_is_reported_with_its_byte_offset(before: str) -> None:
    good = f"image,prompt\r\na.png,{before}".encode()
    assert f"shots.csv:2: found the byte 0xE9 at byte offset {len(good):,}" in refusal(good + b"\xe9\nb.png,x\n")


@pytest.mark.parametrize(
    ("data", "seems"),
    [
        (WHOLE.encode("utf-16"), "UTF-16"),
        (WHOLE.encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04" + b"\0" * 30, "xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"PAR1....PAR1", "Parquet"),
    ],
)
def test_the_apparent_type_of_a_file_that_is_no_csv_is_named(data: bytes, seems: str) -> None:
    report = refusal(data)
    assert "allowed: UTF-8 text under .csv" in report
    assert seems in report


def test_an_unknown_suffix_names_those_that_are_known() -> None:
    assert "allowed: .csv or .tsv or .xlsx or .jsonl or .parquet" in refusal(WHOLE, "shots.doc")
    assert 'did you mean "shots.csv"?' in refusal(WHOLE, "shots.txt")
    assert "save it as .xlsx, or as CSV in UTF-8" in refusal(WHOLE, "shots.xls")


def test_the_case_of_a_suffix_does_not_matter() -> None:
    assert table_in(read_table("SHOTS.CSV", WHOLE.encode())).num_rows == 1


@pytest.mark.parametrize("data", ["", "\n\n", "\ufeff", " \r\n"])
def test_an_empty_file_is_refused(data: str) -> None:
    assert "found an empty file" in refusal(data)


def test_a_header_without_rows_is_refused_together_with_its_own_faults() -> None:
    report = refusal("image,promt\n,\n")
    assert "found no rows" in report
    assert 'did you mean "promt" to be "prompt"?' in report


def test_a_column_named_twice_is_refused() -> None:
    assert refusal("image,prompt,image\na,b,c\n") == (
        'shots.csv:1: header: found "image" 2 times; allowed: each column once'
    )


def test_a_hidden_character_in_a_column_name_is_refused() -> None:
    assert r'found "no\x00te"' in refusal("image,prompt,no\0te\na,b,c\n")


def test_a_cell_or_line_that_could_fill_the_memory_is_refused() -> None:
    assert "a cell of more than 1,048,576 characters" in refusal(f"image,prompt\na,{'x' * 1_100_000}\n")
    assert "a line of more than 4,194,304 characters" in refusal(f"image,prompt\n{',' * 4_300_000}\n")


def test_too_many_columns_or_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animatic.manifest.tables.MAX_ROWS", 1_000)  # a million take a second
    assert "found 1,001 columns" in refusal(",".join(f"c{index}" for index in range(1_001)) + "\n")
    assert "more than 1,000 rows" in refusal("image,prompt\n" + "a,b\n" * 1_001)
    assert len(rows_of(read_table("shots.csv", ("image,prompt\n" + "a,b\n" * 1_000).encode()))) == 1_000


def test_reading_leaves_the_csv_module_as_it_was() -> None:
    before = csv.field_size_limit()
    read_table("shots.csv", WHOLE.encode())
    refusal('image,prompt\na,"b\n')
    assert csv.field_size_limit() == before
