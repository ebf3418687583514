"""The form of a file whose name does not say it: by its server's words and by its first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors import ManifestError
from animatic.manifest.file_form import Reply, is_page, name_of_file, suffix_by


def attached(name: str) -> Reply:
    return Reply("application/octet-stream", f"attachment; {name}")


@pytest.mark.parametrize(
    ("start", "media_type", "suffix"),
    [
        (b"PAR1\x15\x04", "", ".parquet"),
        (b"PK\x03\x04", "text/csv", ".xlsx"),
        (b'{"image": ', "text/csv", ".jsonl"),
        (b'\xef\xbb\xbf {"image": ', "", ".jsonl"),
        (b"image,prompt\n", "", ".csv"),
        (b"image\tprompt\n", "text/tab-separated-values", ".tsv"),
        (b"image;prompt\n", "text/html", ".csv"),
    ],
)
def test_first_bytes_count_before_the_media_type(start: bytes, media_type: str, suffix: str) -> None:
    assert suffix_by("export", start, media_type) == suffix


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"%PDF-1.7", "a PDF"),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
        (b"\x89PNG\r\n", "a picture"),
        (b"<?xml version='1.0'?>", "XML"),
        (b' [{"image": 1}]', "a JSON array; allowed: .*one object a line"),
    ],
)
def test_what_is_no_table_is_refused_by_name(start: bytes, found: str) -> None:
    with pytest.raises(ManifestError, match=found):
        suffix_by("export", start)


@pytest.mark.parametrize(
    ("name", "reply", "start", "named"),
    [
        ("shots.csv", attached("filename=x.xlsx"), b"PK\x03\x04", "shots.csv"),
        ("old.xls", Reply(), b"\xd0\xcf\x11\xe0", "old.xls"),
        ("export", attached('filename="Night - Sheet1.csv"'), b"image", "Night - Sheet1.csv"),
        ("export", attached("filename=a.csv; filename*=UTF-8''N%C3%A4chte.csv"), b"image", "Nächte.csv"),
        ("export", attached('filename="../../etc/shots.csv"'), b"image", "shots.csv"),
        ("export", attached('filename="Night shots"'), b"image", "Night shots.csv"),
        ("export", attached('filename="a\x1b[2J.csv"'), b"image", "export.csv"),
        ("export", attached('filename=".."'), b"image", "export.csv"),
        ("export", attached(f'filename="{"a" * 201}.csv"'), b"image", "export.csv"),
        ("export.php", Reply("text/csv"), b"image", "export.php.csv"),
        ("export", Reply(), b"\x1f\x8b\x08", "export.gz"),
        ("export", Reply(), b"\xff\xfei\0", "export"),
    ],
)
def test_a_file_gets_a_name_that_says_its_form(name: str, reply: Reply, start: bytes, named: str) -> None:
    assert name_of_file(name, reply, start) == named


@pytest.mark.parametrize("start", [b"<!DOCTYPE html><html>", b"\xef\xbb\xbf\n<html>", b"<!-- x -->\n<HTML>", b"<head>"])
def test_a_page_is_seen_by_its_bytes(start: bytes) -> None:
    assert is_page(start, Reply("text/csv"))


def test_a_table_that_is_sent_as_a_page_is_a_table() -> None:
    assert not is_page(b"image,prompt\n", Reply("text/html; charset=utf-8"))
    assert is_page(b"<div>", Reply("Text/HTML; charset=utf-8"))


@given(st.text(max_size=60))
def test_no_proposed_name_leads_anywhere(text: str) -> None:
    name = Reply("", f'attachment; filename="{text}"').file_name
    assert name is None or ("/" not in name and name.isprintable() and name.strip("."))
