"""Manifests as spreadsheets and programs write them: each form gives the same shots, or one sentence."""

import io
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from animatic.errors import ManifestError, SettingsError
from animatic.manifest import Manifest, Selection, check, read_mapping, read_only, read_table
from animatic.takes.shots import Shot

URL = "https://stills.example/{}.png"


def checked(
    name: str,
    data: bytes,
    selection: Selection | None = None,
    mapping: Mapping[str, str] | None = None,
    sheet: str = "",
) -> Manifest:
    raw = read_table(name, data, None, mapping, sheet or None)
    more = {} if selection is None else {"selection": selection}
    manifest = check(raw, stills={}, storyboard_default="board", provider="sandbox", left_out={"error", "row"}, **more)
    manifest.require_valid()
    return manifest


def shots_of(manifest: Manifest) -> list[Shot]:
    return [shot for part in manifest.parts() for shot in part.shots(part.lengths.nonzero()[0])]


def refusal(name: str, data: bytes, **more: Any) -> str:
    with pytest.raises(ManifestError) as caught:
        checked(name, data, **more)
    return caught.value.report


def workbook(*sheets: tuple[str, Sequence[Sequence[Any]]]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"default_date_format": "yyyy-mm-dd"}) as book:
        clock = book.add_format({"num_format": "hh:mm:ss AM/PM"})
        for name, rows in sheets:
            sheet = book.add_worksheet(name)
            for y, row in enumerate(rows):
                for x, value in enumerate(row):
                    if isinstance(value, time):
                        sheet.write_datetime(y, x, value, clock)
                    elif value is not None:
                        sheet.write(y, x, value)
    return file.getvalue()


ROWS = [
    ["Image", "Prompt", "Duration", "Takes", "note"],
    [URL.format(1), "push in", 5, 2, "a, b"],
    [URL.format(2), "pan left", "6s", None, None],
]


def texts(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    return [["" if value is None else str(value) for value in row] for row in rows]


FORMS = {
    "shots.csv": "\n".join(",".join(f'"{cell}"' for cell in row) for row in texts(ROWS)).encode(),
    "shots.tsv": "\n".join("\t".join(row) for row in texts(ROWS)).encode(),
    "sep.csv": ("sep=;\r\n" + "\r\n".join(";".join(row) for row in texts(ROWS))).encode("utf-8-sig"),
    "shots.jsonl": "\n".join(
        json.dumps({key: value for key, value in zip(ROWS[0], row, strict=True) if value is not None})
        for row in ROWS[1:]
    ).encode(),
    "shots.xlsx": workbook(("Shots", ROWS), ("Notes", [["nothing"]])),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_shots(name: str) -> None:
    one, two = shots_of(checked(name, FORMS[name]))
    assert (one.image, one.inputs["prompt"], one.inputs["duration"], one.takes) == (URL.format(1), "push in", "5s", 2)
    assert (two.image, two.inputs["duration"], two.takes) == (URL.format(2), "6s", 1)


@pytest.mark.parametrize("name", FORMS)
def test_other_columns_are_carried_from_every_form(name: str) -> None:
    manifest = checked(name, FORMS[name])
    (batch,) = manifest.rows
    assert manifest.carried.names == ["note"]
    assert batch.column(batch.num_columns - 1).to_pylist()[0] == "a, b"


def test_parquet_columns_match_without_regard_to_case() -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"IMAGE": [URL.format(1)], "The Prompt": ["x"], "Shot ID": ["a"]}), file)
    manifest = checked("shots.parquet", file.getvalue(), mapping={"prompt": "The Prompt"})
    assert [(shot.shot_id, shot.inputs["prompt"]) for shot in shots_of(manifest)] == [("a", "x")]
    assert "columns were read under another name" in manifest.warnings[0]


def test_another_sheet_is_read_by_its_name() -> None:
    data = workbook(("Notes", [["nothing"]]), ("Night shots", ROWS))
    assert len(shots_of(checked("book.xlsx", data, sheet="Night shots"))) == 2
    assert 'found no sheet "Day"; allowed: "Notes", "Night shots"' in refusal("book.xlsx", data, sheet="Day")


def test_cells_of_a_workbook_count_by_their_values() -> None:
    rows = [
        ["image", "prompt", "aspect_ratio", "on", "at", "ok", "n"],
        [URL.format(1), "x", time(16, 9), date(2026, 11, 26), datetime(2026, 11, 26, 7, 30), True, 2.5],  # noqa: DTZ001
        [URL.format(2), "y", time(9, 16), None, None, False, 3.0],
    ]
    manifest = checked("book.xlsx", workbook(("a", rows)))
    assert [shot.inputs["aspect_ratio"] for shot in shots_of(manifest)] == ["16:9", "9:16"]
    (batch,) = manifest.rows
    first = [column.to_pylist()[0] for column in batch.columns[-4:]]
    assert first == ["2026-11-26", "2026-11-26 07:30:00", "true", "2.5"]


def test_a_cell_far_away_is_refused_before_the_sheet_is_read() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:  # it goes from row to row, not through a million
        sheet = book.add_worksheet("a")
        sheet.write_row(0, 0, ["image", "prompt"])
        sheet.write(1_048_575, 16_383, "x")
    report = refusal("book.xlsx", file.getvalue())
    assert "a sheet whose last cell is in row 1,048,576, column 16,384" in report


def test_sheets_that_were_not_read_are_named() -> None:
    manifest = checked("book.xlsx", workbook(("Act 1", ROWS), ("Act 2", ROWS)))
    assert 'the sheet "Act 1" was read; others were not: "Act 2"' in "\n".join(manifest.warnings)


def test_a_sheet_is_found_by_its_literal_name_first() -> None:
    data = workbook(("a", [["nothing"]]), ("a#b %41", ROWS), ("x y", ROWS))
    assert len(shots_of(checked("book.xlsx", data, sheet="a#b %41"))) == 2
    assert len(shots_of(checked("book.xlsx", data, sheet="x%20y"))) == 2


def test_a_header_that_is_none_loses_no_row() -> None:
    report = refusal("shots.csv", csv_of("Shot,Frame,Action", "1,a,b", "2,c,d"))
    assert 'found no column "image"' in report
    assert "--map image=COLUMN" in report
    assert "no rows" not in report


def test_rows_of_a_workbook_are_named_by_the_sheets_rows() -> None:
    rows = [ROWS[0], [], *ROWS[1:], [], [URL.format(3), None, 5, 1, None]]
    assert refusal("book.xlsx", workbook(("a", rows))).startswith("book.xlsx:6: prompt: found nothing")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04 not a zip", "cannot be unpacked"),
        (workbook(("a", [])), "found an empty file"),
        (b"image,prompt\n", "an Excel workbook under .xlsx"),
    ],
)  # fmt: skip
def test_what_is_no_workbook_is_refused_in_one_sentence(data: bytes, said: str) -> None:
    (line,) = refusal("book.xlsx", data).splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"image": "x"\n', "shots.jsonl:1: found a line that is not JSON"),
        (b"[1, 2]\n", "found a line that holds a list"),
        (b'{"image": "x", "prompt": "a", "prompt": "b"}\n', 'found the key "prompt" twice'),
        (b'{"image": "https://a.example/x.png", "prompt": "x"}\n\n7\n', "shots.jsonl:3: found a line that holds a int"),
    ],
)
def test_what_is_no_object_a_line_is_refused(data: bytes, said: str) -> None:
    assert said in refusal("shots.jsonl", data)


def csv_of(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def test_headings_are_skipped_with_a_note() -> None:
    data = csv_of("image,prompt,note", "Act I,,", f"{URL.format(1)},x,", ",,Act II", f"{URL.format(2)},y,n")
    report = refusal("shots.csv", data)
    assert report.startswith("shots.csv:2: image"), "a cell under image is no heading"
    data = csv_of("note,image,prompt", "Act I,,", f",{URL.format(1)},x", "Act II", f"n,{URL.format(2)},y")
    manifest = checked("shots.csv", data)
    assert [shot.row for shot in shots_of(manifest)] == [1, 2]
    assert manifest.warnings == ["headings, rows with one cell only, were skipped: line 2, 4"]


def test_a_row_with_two_cells_and_no_image_is_a_fault() -> None:
    assert "image: found nothing" in refusal("shots.csv", csv_of("note,by,image,prompt", "Act I,me,,"))


def test_a_nameless_column_that_counts_the_rows_is_dropped() -> None:
    for start in (0, 1):
        data = csv_of(",image,prompt", *(f"{start + number},{URL.format(number)},x{number}" for number in range(3)))
        manifest = checked("shots.csv", data)
        assert len(shots_of(manifest)) == 3
        assert "only counts the rows" in manifest.warnings[0]
    assert "which has no name" in refusal("shots.csv", csv_of(",image,prompt", f"7,{URL.format(1)},x"))


def test_lines_above_the_header_are_named() -> None:
    data = csv_of("The Well,,", "by me,,", "image,prompt,note", f"{URL.format(1)},x,")
    (line,) = refusal("shots.csv", data).splitlines()
    assert "the header seems to be on line 3; remove the lines above it" in line


def test_empty_storyboards_below_filled_ones_are_noted() -> None:
    data = csv_of("storyboard,image,prompt", f"one,{URL.format(1)},x", f",{URL.format(2)},y")
    assert "1 empty cells stand below filled ones" in checked("shots.csv", data).warnings[0]


def test_a_carried_column_with_the_name_of_a_result_gets_another() -> None:
    manifest = checked("shots.csv", csv_of("image,prompt,error", f"{URL.format(1)},x,mine"))
    assert manifest.carried.names == ["manifest_error"]
    assert "error as manifest_error" in manifest.warnings[0]


@pytest.mark.parametrize(
    ("header", "reads"),
    [("IMAGE,Prompt", True), ("im age,PROMPT", True), ("image,Image,prompt", False), ("Image,IMAGE,prompt", False)],
)
def test_header_names_match_where_that_is_unambiguous(header: str, *, reads: bool) -> None:
    cells = {"im age": URL.format(1), "image": URL.format(1), "prompt": "x"}
    data = csv_of(header, ",".join(cells[name.lower()] for name in header.split(",")))
    if reads:
        assert len(shots_of(checked("shots.csv", data))) == 1
    else:
        assert "allowed: one column for image" in refusal("shots.csv", data)


def test_a_mapping_reads_a_column_under_our_name() -> None:
    data = csv_of("URL,Action,image", f"{URL.format(1)},x,old")
    manifest = checked("shots.csv", data, mapping=read_mapping(["image=url", "prompt=Action"]))
    assert shots_of(manifest)[0].image == URL.format(1)
    assert manifest.carried.names == ["manifest_image"]
    assert "found --map image=Link; allowed: one of the columns" in refusal(
        "shots.csv", data, mapping={"image": "Link"}
    )


@pytest.mark.parametrize("option", ["image", "=x", "imag=URL", "image=", "image=a", "promts=x", "n o=x"])
def test_a_mapping_that_cannot_be_read_is_refused(option: str) -> None:
    with pytest.raises(SettingsError, match="--map: found"):
        read_mapping([option, "image=a"] if option == "image=a" else [option])


CHOICES = csv_of(
    "image,prompt,storyboard,by", f"{URL.format(1)},a,one,me", f"{URL.format(2)},b,one,you",
    f"{URL.format(3)},c,two,me", f"{URL.format(1)},a,three,me",
)  # fmt: skip


@pytest.mark.parametrize(
    ("only", "limit", "rows"),
    [
        ((), None, None),
        (("storyboard=one",), None, [1, 2]),
        (("storyboard=one", "storyboard=two"), None, [1, 2, 3]),
        (("storyboard=one", "by=me"), None, [1]),
        ((), 2, [1, 2]),
        (("by=me",), 2, [1, 3]),
    ],
)
def test_rows_are_chosen_by_values_and_a_limit(only: Sequence[str], limit: int | None, rows: list[int] | None) -> None:
    manifest = checked("shots.csv", CHOICES, Selection(read_only(only), limit))
    if rows is None:
        assert manifest.row_is_chosen is None
        return
    assert manifest.row_is_chosen is not None
    assert manifest.is_chosen is not None
    assert (manifest.row_is_chosen.nonzero()[0] + 1).tolist() == rows
    prompts = [shot.inputs["prompt"] for shot in shots_of(manifest)]
    assert int(manifest.is_chosen.sum()) == len({prompts[row - 1] for row in rows})


@pytest.mark.parametrize("name", ["Storyboard", "story board", "BY"])
def test_a_choice_names_columns_as_a_header_does(name: str) -> None:
    manifest = checked("shots.csv", CHOICES, Selection(read_only([f"{name}={'me' if name == 'BY' else 'one'}"])))
    assert manifest.row_is_chosen is not None
    assert manifest.row_is_chosen.any()


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ("storybord=one", 'found no column "storybord".*did you mean "storyboard"'),
        ("storyboard=on", 'no row has that value.*did you mean "one"'),
        ("storyboard", "allowed: COLUMN=VALUE"),
    ],
)
def test_a_choice_that_no_row_has_is_refused(only: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        checked("shots.csv", CHOICES, Selection(read_only([only])))
