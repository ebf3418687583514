import ipaddress
import posixpath
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.manifest.faults import Problem
from animatic.manifest.images import image, relative_path


@pytest.mark.parametrize(
    "text",
    [
        "https://e.com/a.png",
        "HTTPS://E.com/a",
        "https://e.com:8443/räume.png?w=1#x",
        "https://[2001:db8::1]/a",
        "http://127.0.0.1:8080/a.png",
        "http://127.8.9.1/a.png",
        "http://[::1]:80/a",
        "http://localhost/a",
        "stills/a.png",
        "a b.JPEG",
        "stills/räume/ü.webp",
        "..a/b..c.jpg",
    ],
)
def test_good_images_come_back_as_they_are(text: str) -> None:
    assert image(text) == text


def test_spaces_around_and_dot_segments_are_taken_off() -> None:
    assert image(" ./stills/./a.png ") == "stills/a.png"


@pytest.mark.parametrize(
    "text",
    [
        "http://e.com/a.png",
        "http://127.0.0.1.evil.com/a.png",
        "http://localhost.evil.com/a.png",
        "http://2130706433/a.png",
        "http://[::2]/a.png",
        "http://[::ffff:127.0.0.1]/a.png",
        "https://user:secret@e.com/a.png",
        "https://e.com@evil.com/a.png",
        "https://",
        "https:///a.png",
        "https:e.com/a.png",
        "https:/e.com/a.png",
        "https://e.com/a b.png",
        "https://e.com/a\tb.png",
        "https://e.com\\@evil.com/a.png",
        "https://e.com:port/a.png",
        "https://e.com:99999/a.png",
        "https://[::1/a.png",
        "https://%65.com/a.png",
        "https://e.com/\u202egnp.a",
        "https://e.com/" + "a" * 2_083,
        "ftp://e.com/a.png",
        "s3://bucket/a.png",
        "file:///etc/a.png",
        "memory://a.png",
        "data:image/png;base64,AAAA.png",
        "simplecache::https://e.com/a.png",
        "zip://a.png::s3://b/c.zip",
        "/etc/a.png",
        "//host/a.png",
        "../a.png",
        "stills/../../a.png",
        "stills/..",
        "stills//a.png",
        "stills/",
        "C:/a.png",
        "C:a.png",
        "C:\\a.png",
        "\\\\host\\share\\a.png",
        "stills\\a.png",
        "~/a.png",
        "~root/a.png",
        "a\0.png",
        "a\n.png",
        "stills/\u202ea.png",
        "a.gif",
        "a.png.exe",
        "a",
        ".png",
        "stills/.png",
        ".",
        "a.png/.",
        "a" * 1_025 + ".png",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert isinstance(image(text), Problem)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http://e.com/a.png", "https://e.com/a.png"),
        ("stills\\a.png", "stills/a.png"),
        ("www.e.com/a.png?x", "https://www.e.com/a.png?x"),
    ],
)
def test_a_small_slip_gets_a_hint(text: str, meant: str) -> None:
    bad = image(text)
    assert isinstance(bad, Problem)
    assert bad.hint == f'did you mean "{meant}"?'


schemes = st.sampled_from(["http", "https", "file", "s3", "C"])
marks = st.sampled_from([":", "/", "//", "\\", "..", ".", "~", "::", "@", "?", "#", "%2e", "\0", "\n", " ", "\u202e"])
words = st.sampled_from(["127.0.0.1", "[::1]", "localhost", "e.com", "a", "b", ".png", ".jpg"])
pieces = st.one_of(schemes, marks, words)


@given(st.one_of(st.text(max_size=40), st.lists(pieces, max_size=9).map("".join)))
def test_no_cell_passes_but_https_loopback_and_paths_that_stay_inside(text: str) -> None:
    found = image(text)
    if isinstance(found, Problem):
        return
    if "://" not in found:
        assert posixpath.normpath(posixpath.join("/manifests", found)).startswith("/manifests/")
        assert not set(found) & set("\\:\0\n\u202e")
        assert found.lower().endswith((".png", ".jpg", ".jpeg", ".webp"))
        assert relative_path(found) == found
        return
    url = urlsplit(found)
    assert url.hostname
    assert "@" not in url.netloc
    if url.scheme != "https":
        assert url.scheme == "http"
        assert url.hostname == "localhost" or ipaddress.ip_address(url.hostname).is_loopback


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://e.com/a\u00a0b.png", "a no-break space (U+00A0) at character 16"),
        ("https://e.com/a\tb.png", "a tab (U+0009) at character 16"),
        ("https://e.com/a\nb.png", "a line break (U+000A) at character 16"),
        ("https://e.com/a\u200bb.png", "a zero width space (U+200B) at character 16"),
        ("https://e.com/\u3000ab.png", "an ideographic space (U+3000) at character 15"),
        ("https://e.com/a b.png", "a blank at character 16"),
        ("stills/a\u202fb.png", "a narrow no-break space (U+202F) at character 9"),
        ("stills/a\0b.png", "a NUL character (U+0000) at character 9"),
    ],
)
def test_what_cannot_be_seen_is_named_with_its_place(text: str, hint: str) -> None:
    bad = image(text)
    assert isinstance(bad, Problem)
    better = "https://e.com/a%20b.png" if " " in text else "https://e.com/ab.png"
    better = better if "://" in text else "stills/a b.png" if "\0" not in text else "stills/ab.png"
    assert bad.hint == f'it holds {hint}; did you mean "{better}"?'


def test_a_blank_is_named_where_no_small_change_would_do() -> None:
    bad = image("ftp://e.com/a b.png")
    assert isinstance(bad, Problem)
    assert bad.hint == "it holds a blank at character 14"


@pytest.mark.parametrize(
    "text",
    [
        "https://e.com/a.png https://e.com/b.png",
        "https://e.com/a.png,https://e.com/b.png",
        "a.png (https://e.com/a),b.png (https://e.com/b)",
    ],
)
def test_several_urls_in_a_cell_are_told_apart(text: str) -> None:
    bad = image(text)
    assert isinstance(bad, Problem)
    assert bad.hint == "one URL in each cell: give each its own row, or split the cell"


@pytest.mark.parametrize("name", ["a.png", "my still.jpeg", "still (1).png", "a, b; c.webp"])
def test_the_one_url_of_an_attachment_is_taken(name: str) -> None:
    url = "https://v5.airtableusercontent.com/v3/u/1/abc"
    assert image(f"{name} ({url})") == url


def test_an_url_may_hold_another_and_commas() -> None:
    for text in ("https://e.com/fetch/https://f.com/a.png", "https://e.com/w=80,q=75/https://f.com/a.png?x=1,2"):
        assert image(text) == text
