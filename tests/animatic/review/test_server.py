"""A served page over real sockets: one person gets in, and nothing else that a browser or a process may try."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import SettingsError
from animatic.review import server
from animatic.review.server import MAX_BODY_BYTES, Site, serving
from animatic.review.shared_decisions import SharedDecisions

FINGERPRINT = "a" * 64
CLIP = bytes(range(256)) * 40


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A served page, and the browser that was let in."""

    folder: Path
    address: str
    cookie: str = ""

    @property
    def port(self) -> int:
        return int(self.address.partition("127.0.0.1:")[2].partition("/")[0])

    async def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        named = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie, "Connection": "close"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"Content-Length": str(len(body))} if body else {}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
        return await asyncio.wait_for(self._exchange(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body), 30)

    async def _exchange(self, request: bytes) -> Reply:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return Reply(int(lines[0].split()[1]), headers, body)

    async def enter(self) -> Reply:
        reply = await self.ask("/" + self.address.rpartition("/")[2])
        self.cookie = reply.headers["Set-Cookie"].partition(";")[0]
        return reply

    async def write(self, changes: Any, etag: str, **headers: str) -> Reply:
        named = {"Origin": f"http://127.0.0.1:{self.port}", "Content_Type": "application/json", "If_Match": f'"{etag}"'}
        return await self.ask("/decisions", "POST", json.dumps(changes).encode(), **(named | headers))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shots.review"
    (place / "media").mkdir(parents=True)
    (place / "index.html").write_text("<!doctype html>")
    (place / "page.js").write_text("animatic = 1")
    (place / "media/a.mp4").write_bytes(CLIP)
    (tmp_path / "secret.txt").write_text("key")
    return place


@asynccontextmanager
async def served(
    folder: Path, refresh: Callable[[], Any] | None = None, *, enters: bool = True
) -> AsyncGenerator[Served]:
    decisions = SharedDecisions(str(folder.parent / "decisions.csv"))
    site = Site(folder, decisions) if refresh is None else Site(folder, decisions, refresh)
    async with serving(site) as address:
        page = Served(folder, address)
        if enters:
            await page.enter()
        yield page


async def test_the_address_lets_one_browser_in_and_is_good_once(folder: Path) -> None:
    async with served(folder, enters=False) as page:
        assert (await page.ask("/")).status == 403
        entered = await page.enter()
        assert entered.status == 303
        assert entered.headers["Location"] == "/"
        assert {"HttpOnly", "SameSite=Strict"} <= {each.strip() for each in entered.headers["Set-Cookie"].split(";")}
        assert (await page.ask("/")).body == b"<!doctype html>"
        again = Served(folder, page.address)
        refused = await again.ask("/" + page.address.rpartition("/")[2])
        assert refused.status == 403
        assert "Set-Cookie" not in refused.headers
        assert (await page.ask("/?token=used")).status == 303, "who is in already is led to the page"
        assert (await page.ask("/?token=%ff")).status == 303


async def test_a_page_is_sent_with_headers_that_keep_others_out(folder: Path) -> None:
    async with served(folder) as page:
        reply = await page.ask("/page.js")
        assert reply.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
        refused = await page.ask("/", Host="evil.example")
        assert refused.status == 403
        assert "frame-ancestors 'none'" in refused.headers["Content-Security-Policy"]


async def test_a_rebound_name_gets_nothing(folder: Path) -> None:
    async with served(folder, enters=False) as page:
        token = "/" + page.address.rpartition("/")[2]
        assert (await page.ask(token, Host=f"evil.example:{page.port}")).status == 403
        await page.enter()
        for path in ("/", "/decisions.json", "/media/a.mp4"):
            assert (await page.ask(path, Host=f"evil.example:{page.port}")).status == 403


async def test_clips_are_sent_in_ranges(folder: Path) -> None:
    async with served(folder) as page:
        whole = await page.ask("/media/a.mp4")
        assert (whole.status, whole.body, whole.headers["Accept-Ranges"]) == (200, CLIP, "bytes")
        part = await page.ask("/media/a.mp4", Range="bytes=100-199")
        assert (part.status, part.body) == (206, CLIP[100:200])
        assert part.headers["Content-Range"] == f"bytes 100-199/{len(CLIP)}"
        assert (await page.ask("/media/a.mp4", Range="bytes=99999999-")).status == 416
        assert (await page.ask("/media/a.mp4", "HEAD")).headers["Content-Length"] == str(len(CLIP))


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/media/..%2f..%2fsecret.txt", "/media/../../secret.txt",
             "/media/", "/media", "//secret.txt", "/..%5csecret.txt", "/secret.txt", "/linked.txt",
             "/linked/secret.txt", "/media/linked.mp4", "/pipe.txt"]
)  # fmt: skip
async def test_no_path_leads_out_of_the_folder(folder: Path, path: str) -> None:
    (folder / "linked.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "media/linked.mp4").symlink_to(folder.parent / "secret.txt")
    os.mkfifo(folder / "pipe.txt")
    async with served(folder) as page:
        reply = await page.ask(path)
        assert reply.status in {400, 404}
        assert b"key" not in reply.body


async def test_a_linked_media_folder_is_not_followed(folder: Path) -> None:
    (folder / "media").rename(folder.parent / "elsewhere")
    (folder / "media").symlink_to(folder.parent / "elsewhere")
    async with served(folder) as page:
        assert (await page.ask("/media/a.mp4")).status == 404


async def test_decisions_are_saved_and_read_back(folder: Path) -> None:
    async with served(folder) as page:
        empty = await page.ask("/decisions.json")
        assert empty.json["rows"] == []
        assert empty.headers["ETag"] == f'"{empty.json["etag"]}"'
        change = {"shot_id": "s", "take": 1, "fingerprint": FINGERPRINT, "decision": "approved", "note": "<b>é</b>"}
        saved = await page.write([change], empty.json["etag"])
        assert saved.status == 200
        assert (await page.ask("/decisions.json")).json == saved.json
        stale = await page.write([change | {"decision": "retake"}], empty.json["etag"])
        assert (stale.status, stale.json["conflicts"]) == (409, [0])
        assert {**stale.json, "conflicts": None} == {**saved.json, "conflicts": None}, "it says how things stand"


async def test_only_the_page_itself_writes_decisions(folder: Path) -> None:
    change = [{"shot_id": "s", "take": 1, "fingerprint": FINGERPRINT, "decision": "approved"}]
    async with served(folder) as page:
        etag = (await page.ask("/decisions.json")).json["etag"]
        assert (await page.write(change, etag, Origin="http://evil.example")).status == 403
        assert (await page.write(change, etag, Origin="null")).status == 403
        assert (await page.write(change, etag, Origin="")).status == 403
        assert (await page.write(change, etag, Sec_Fetch_Site="cross-site")).status == 403
        assert (await page.write(change, etag, Cookie="")).status == 403
        assert (await page.write(change, etag, Content_Type="text/plain")).status == 415
        assert (await page.write(change, etag, If_Match="")).status == 428
        preflight = await page.ask("/decisions", "OPTIONS", Origin="http://evil.example")
        assert preflight.status == 403
        assert "Access-Control-Allow-Origin" not in preflight.headers
        assert not (folder.parent / "decisions.csv").exists()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'[{"decision":"yes"}]', b"null"])
async def test_a_body_that_is_no_list_of_decisions_is_refused(folder: Path, body: bytes) -> None:
    async with served(folder) as page:
        origin = f"http://127.0.0.1:{page.port}"
        reply = await page.ask("/decisions", "POST", body, Origin=origin, Content_Type="application/json", If_Match="x")
        assert reply.status == 400


async def test_a_huge_body_is_refused(folder: Path) -> None:
    async with served(folder) as page:
        reply = await page.write([{"note": "x" * (MAX_BODY_BYTES + 1)}], "x")
        assert reply.status == 413
        assert (await page.ask("/")).status == 200


async def test_a_client_that_sends_no_whole_request_is_cut_off(folder: Path) -> None:
    async with served(folder) as page:
        ends = []
        for request in (b"", b"GET / HTTP/1.1\r\nHost: x"):
            reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
            writer.write(request)
            ends.append((reader, writer))
        post = (
            f"POST /decisions HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nCookie: {page.cookie}\r\nIf-Match: x\r\n"
            f"Origin: http://127.0.0.1:{page.port}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n["
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
        writer.write(post.encode())
        assert (await page.ask("/")).status == 200, "others are served meanwhile"
        slow = await asyncio.wait_for(reader.read(), server.BODY_WITHIN_S + server.IDLE_S + 5)
        assert slow.startswith(b"HTTP/1.1 408")
        writer.close()
        for silent, its in ends:
            assert await asyncio.wait_for(silent.read(), server.IDLE_S + 5) == b""
            its.close()


async def test_the_page_is_made_anew_before_it_is_sent(folder: Path) -> None:
    made = list[int]()

    async def refresh() -> None:
        made.append(1)
        (folder / "index.html").write_text(f"made {len(made)}")
        if len(made) == 2:
            raise OSError("the disk is full")

    async with served(folder, refresh) as page:
        assert (await page.ask("/")).body == b"made 1"
        assert (await page.ask("/")).body == b"made 2", "a page that could not be made comes as it is"
        assert len(made) == 2
        await page.ask("/page.js")
        assert len(made) == 2


async def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    async with served(folder) as page:
        with pytest.raises(SettingsError, match=f"--port {page.port}: cannot be listened on"):
            async with serving(Site(folder, SharedDecisions(str(folder / "d.csv"))), page.port):
                pass
