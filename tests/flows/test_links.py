"""Manifests behind links without a suffix: Google Sheets, and whatever a web server calls a table."""

import contextlib
import gzip
import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from proxies import over_tls, proxying

from tools.authority import Authority

SHEET = "https://docs.google.com/spreadsheets/d/1AbCdEfGhIjKlMnOpQrStUvWxYz"
ROWS = "shot_id,image,prompt\npier,https://stills.example/a.png,{tag}\n"
PAGE = b"<!DOCTYPE html><html><title>Sign in</title></html>"


@dataclass
class Web:
    """A web server on loopback: replies by host and path, as status, headers and body."""

    url: str
    replies: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict[str, Any])
    asked: list[str] = field(default_factory=list[str])


@pytest.fixture
def web() -> Iterator[Web]:
    class Answers(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            host = str(self.headers["Host"]).partition(":")[0]
            key = self.path if host == "127.0.0.1" else f"{host}{self.path}"
            found.asked.append(key)
            status, headers, body = found.replies.get(key, (404, {}, b""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found = Web(f"http://127.0.0.1:{server.server_port}")
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def google(web: Web, tmp_path: Path) -> Iterator[tuple[Web, Mapping[str, str]]]:
    """Google's hosts over TLS behind a proxy, and the environment that leads there."""
    authority = Authority(tmp_path / "authority")
    hosts = ("docs.google.com", "accounts.google.com", "doc-0.googleusercontent.com")
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(over_tls(web.url, authority.server_context(*hosts)))
        proxy = stack.enter_context(proxying(dict.fromkeys(hosts, front.address)))
        yield web, {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(authority.file)}


def csv_reply(tag: str) -> tuple[int, dict[str, str], bytes]:
    name = "attachment; filename=\"NightSheet1.csv\"; filename*=UTF-8''Night%20-%20Sheet1.csv"
    return 200, {"Content-Type": "text/csv", "Content-Disposition": name}, ROWS.format(tag=tag).encode()


def test_a_shared_sheet_is_read_by_the_link_that_people_copy(
    *, shell_with_server: Any, google: Any, tag: str, tools: Any
) -> None:
    web, environment = google
    shell = shell_with_server
    shell.more |= environment
    moved = "https://doc-0.googleusercontent.com/export/x"
    web.replies["docs.google.com/spreadsheets/d/1AbCdEfGhIjKlMnOpQrStUvWxYz/export?format=csv&gid=7"] = (
        307,
        {"Location": moved},
        b"",
    )
    web.replies["doc-0.googleusercontent.com/export/x"] = csv_reply(tag)
    link = f"{SHEET}/edit?usp=sharing&authkey=hidden#gid=7"
    ended = shell.run("run", link, "--results", "out.parquet", "--json")
    assert (ended.code, ended.json["completed"]) == (0, 1), ended.stderr
    (row,) = tools.read_rows(shell.home / "out.parquet")
    assert (row["shot_id"], row["storyboard"]) == ("pier", "Night - Sheet1")
    other = shell.run("run", f"{SHEET}/export?format=csv&gid=7", "--results", "out.parquet", "--json")
    assert (other.code, other.json["cached"], other.json["submitted"]) == (0, 1, 0), other.stderr


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((302, {"Location": "https://accounts.google.com/ServiceLogin?continue=x"}, b""), "asks for a sign-in"),
        ((200, {"Content-Type": "text/html; charset=utf-8"}, PAGE), "asks for a sign-in"),
        ((401, {}, b""), "Google refuses it (HTTP 401)"),
        ((403, {}, b""), "Google refuses it (HTTP 403)"),
    ],
)
def test_a_sheet_that_is_not_shared_says_how_to_share_it(*, shell: Any, google: Any, reply: Any, said: str) -> None:
    web, environment = google
    shell.more |= environment
    web.replies["docs.google.com/spreadsheets/d/1AbCdEfGhIjKlMnOpQrStUvWxYz/export?format=csv"] = reply
    web.replies["accounts.google.com/ServiceLogin?continue=x"] = (200, {"Content-Type": "text/html"}, PAGE)
    ended = shell.run("plan", f"{SHEET}/edit")
    assert ended.code == 2
    assert said in ended.stderr.replace("\n", " ")
    assert "share it so that anyone with the link can view it" in " ".join(ended.stderr.split())


def test_a_sheet_with_paths_says_that_it_has_no_folder(*, shell: Any, google: Any, tag: str) -> None:
    web, environment = google
    shell.more |= environment
    body = f"image,prompt\na.png,{tag}\n".encode()
    web.replies["docs.google.com/spreadsheets/d/1AbCdEfGhIjKlMnOpQrStUvWxYz/export?format=csv"] = (200, {}, body)
    ended = shell.run("plan", f"{SHEET}/edit")
    assert (ended.code, "--stills FOLDER" in ended.stderr) == (2, True), ended.stderr
    assert len(web.asked) == 1, "no still is asked of Google"


def forms(tag: str) -> dict[str, tuple[dict[str, str], bytes]]:
    """The same row in each form, under headers that say little, nothing, or something wrong."""
    text = ROWS.format(tag=tag)
    table = pa.table({"shot_id": ["pier"], "image": ["https://stills.example/a.png"], "prompt": [tag]})
    parquet, workbook = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with xlsxwriter.Workbook(workbook) as book:
        sheet = book.add_worksheet()
        for row, cells in enumerate((table.column_names, [column[0].as_py() for column in table.columns])):
            sheet.write_row(row, 0, cells)
    line = f'{{"shot_id": "pier", "image": "https://stills.example/a.png", "prompt": "{tag}"}}\n'
    return {
        "csv": ({"Content-Type": "text/html"}, text.encode()),
        "tsv": ({"Content-Type": "text/tab-separated-values"}, text.replace(",", "\t").encode()),
        "utf16": ({"Content-Type": "text/csv"}, text.replace(",", "\t").encode("utf-16")),
        "utf16-lines": ({}, line.encode("utf-16")),
        "lines": ({"Content-Type": "application/json"}, line.encode()),
        "parquet": ({"Content-Type": "application/octet-stream"}, parquet.getvalue()),
        "workbook": ({"Content-Type": "application/octet-stream"}, workbook.getvalue()),
        "gzip": ({"Content-Type": "application/octet-stream"}, gzip.compress(text.encode())),
        "gzip-lines": ({}, gzip.compress(line.encode())),
        "named": ({"Content-Disposition": 'attachment; filename="night.csv.gz"'}, gzip.compress(text.encode())),
        "page.php?table=shots&token=hidden": ({"Content-Type": "text/csv"}, text.encode()),
    }


@pytest.mark.parametrize("path", forms(""))
def test_the_form_behind_a_url_is_told_by_its_bytes(*, shell: Any, web: Web, tag: str, path: str) -> None:
    headers, body = forms(tag)[path]
    web.replies[f"/{path}"] = (200, headers, body)
    ended = shell.run("plan", f"{web.url}/{path}", "--json")
    assert (ended.code, [each["take"] for each in ended.json["to_buy"]]) == (0, ["pier take 1"]), ended.stderr
    assert "hidden" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("path", "reply", "said"),
    [
        ("export", (200, {"Content-Type": "text/html"}, PAGE), "a web page (HTML)"),
        ("shots.csv", (200, {"Content-Type": "text/csv"}, PAGE), "a web page (HTML)"),
        ("export", (200, {}, b'[{"image": 1}]'), "a JSON array"),
        ("export", (200, {}, b"%PDF-1.7"), "what seems to be a PDF"),
        ("export", (403, {}, b""), "its server refuses it (HTTP 403)"),
        ("export", (404, {}, b""), "there is no such file"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(*, shell: Any, web: Web, path: str, reply: Any, said: str) -> None:
    web.replies[f"/{path}?token=hidden"] = reply
    ended = shell.run("plan", f"{web.url}/{path}?token=hidden")
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    assert "hidden" not in ended.stdout + ended.stderr
