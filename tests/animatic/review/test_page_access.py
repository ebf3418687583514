"""Requests that are let in: hosts, cookies, origins and names, without a socket."""

import pytest
from multidict import CIMultiDict

from animatic.review.page_access import PageAccess, file_of

ACCESS = PageAccess(8123, "secret")
KNOWN = {"animatic_review_8123": "secret"}


def refused(method: str = "GET", cookies: dict[str, str] | None = None, **headers: str) -> int | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = ACCESS.refusal_of(
        method, CIMultiDict({"Host": "127.0.0.1:8123"} | named), KNOWN if cookies is None else cookies
    )
    return None if refusal is None else refusal.status


def test_a_known_browser_reads_the_page() -> None:
    assert refused() is None
    assert refused(Sec_Fetch_Site="same-origin") is None
    assert refused(Host="localhost:8123", Sec_Fetch_Site="none") is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8123",
             "[::1]:8123", "127.0.0.1:8123.evil.example", "LOCALHOST:8123 ", ""]
)  # fmt: skip
def test_no_other_host_name_is_answered(host: str) -> None:
    assert refused(Host=host) == 403


@pytest.mark.parametrize(
    "cookies", [{}, {"animatic_review_8123": ""}, {"animatic_review_8123": "é\udcff"}, {"animatic_review_1": "secret"}]
)
def test_a_browser_without_the_cookie_is_refused(cookies: dict[str, str]) -> None:
    assert refused(cookies=cookies) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_cannot_embed_what_the_page_has(site: str) -> None:
    assert refused(Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="script") == 403
    assert refused(Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe") == 403
    assert refused(Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document") is None


def test_a_write_names_the_origin_that_serves_the_page() -> None:
    assert refused("POST", Origin="http://127.0.0.1:8123") is None
    assert refused("PUT", Origin="http://127.0.0.1:8123", Sec_Fetch_Site="same-origin") is None
    assert refused("POST") == 403
    for origin in (
        "null",
        "http://127.0.0.1:9",
        "http://localhost:8123",
        "https://127.0.0.1:8123",
        "http://evil.example",
    ):
        assert refused("POST", Origin=origin) == 403
    assert refused("POST", Origin="http://127.0.0.1:8123", Sec_Fetch_Site="same-site") == 403


def test_only_names_that_a_page_has_are_files_of_it() -> None:
    assert file_of("/") == ("index.html", "text/html; charset=utf-8")
    assert file_of("/media/0f1e.strip.jpg") == ("media/0f1e.strip.jpg", "image/jpeg")
    assert file_of("/media/0f1e.mp4") == ("media/0f1e.mp4", "video/mp4")


@pytest.mark.parametrize(
    "path",
    ["/..", "/../ledger.sqlite", "/%2e%2e/index.html", "/media/../index.html", "//etc/passwd.txt", "/media/", "/media",
     "/.env.txt", "/media/.0f1e.mp4.7", "/a.svg", "/index.html/", "/index.html\0.jpg", "/media\\x.jpg",
     "/media/a/b.jpg", "/x.jpg%00", "http://evil.example/", f"/{'a' * 300}.jpg", "/index.html\n"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_no_file(path: str) -> None:
    assert file_of(path) is None
