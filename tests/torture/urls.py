"""Hostile URLs and paths: each is refused by the code that would have opened it, and no connection to this machine is made."""

import asyncio
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp.abc import AbstractResolver, ResolveResult

from animatic.errors import ClipRefusedError, ClipUnavailableError, LocationError
from animatic.manifest.faults import Problem
from animatic.manifest.images import image
from animatic.media.downloads import ClipDownloader
from animatic.storage.locations import locate
from animatic.web.addresses import is_public
from torture.part import Part

DOWNLOADS = [
    "http://cdn.example/a.mp4", "ftp://cdn.example/a.mp4", "file:///etc/passwd", "file://localhost/etc/passwd",
    "gopher://cdn.example/", "data:video/mp4;base64,AAAA", "javascript:alert(1)", "//cdn.example/a.mp4", "/etc/passwd", "",
    "https://", "https:///a.mp4", "https:cdn.example/a.mp4", "https://cdn.example:0/a.mp4", "https://cdn.example:65536/a",
    "https://user@cdn.example/a", "https://user:word@cdn.example/a", "https://cdn.example@127.0.0.1/a",
    "https://cdn.example\\@127.0.0.1/a", "https://cdn.example/a\r\nHost: x", "https://cdn.example/\x00", "https://cdn.example/ a",
    "https://cdn.exаmple/a", "https://127.0.0.1/a", "https://127.1/a", "https://2130706433/a", "https://0x7f000001/a",
    "https://0177.0.0.1/a", "https://0x7f.0.0.1/a", "https://127.0.0.1./a", "https://0/a", "https://0.0.0.0/a",
    "https://[::1]/a", "https://[::]/a", "https://[::ffff:127.0.0.1]/a", "https://[::ffff:7f00:1]/a", "https://[fe80::1%25eth0]/a",
    "https://[64:ff9b::7f00:1]/a", "https://[2002:7f00:1::]/a", "https://[2001:0:7f00:1::]/a", "https://[fd00::1]/a",
    "https://[ff02::1]/a", "https://[fec0::1]/a", "https://10.0.0.1/a", "https://172.16.5.4/a", "https://192.168.1.1/a",
    "https://169.254.169.254/latest/meta-data", "https://[fd00:ec2::254]/latest", "https://100.64.0.1/a", "https://192.0.0.8/a",
    "https://198.18.0.1/a", "https://224.0.0.1/a", "https://255.255.255.255/a", "https://203.0.113.5/a",
    "https://localhost/a", "https://LOCALHOST/a", "https://localhost./a", "https://a.localhost/a", "https://printer.local/a",
    "https://metadata.google.internal/a", "https://router/a", "https://127。0。0。1/a", "https://①②⑦.0.0.1/a", "https://x" + "y" * 9_000,
]  # fmt: skip
"""Outputs that an API reply could name."""

NAMES = [
    "loopback.attacker.example",
    "mixed.attacker.example",
    "rebinding.attacker.example",
    "empty.attacker.example",
    "v6.attacker.example",
]
"""Names whose addresses are not public, or not the second time."""

CELLS = [
    "../secret.png", "a/../../secret.png", "/etc/a.png", "~/a.png", "~root/a.png", "a\\..\\b.png", "C:\\a.png", "C:/a.png",
    "\\\\server\\share\\a.png", "//server/share/a.png", "file:///etc/a.png", "file:a.png", "a.png\x00.txt", "a\n.png",
    "a\u202egnp.exe", "a//b.png", "./", "..", ".png", "a.svg", "a.png/", "simplecache::file:///etc/a.png", "memory://a.png",
    "s3://bucket/a.png", "http://e.com/a.png", "https://u:p@e.com/a.png", "https://e.com\\a.png", "https:// e.com/a.png",
    "data:image/png;base64,AAAA", "x" * 1_100 + ".png", "https://e.com/" + "x" * 2_100, "\ud800.png", "a\u00a0b.png",
]  # fmt: skip
"""Cells of the column `image`."""

LOCATIONS = [
    "simplecache::file:///etc/passwd", "filecache::local:///etc/passwd", "dir://x::file:///", "file://elsewhere/etc/passwd",
    "gopher://x/y", "ssh2://x/y", "http:/one-slash", "a\x00b.csv", "a\x1b[31m.csv",
]  # fmt: skip
"""Locations of manifests and results."""


class Rebinding(AbstractResolver):
    """A name server that lies."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        addresses = {
            NAMES[0]: ["127.0.0.1"],
            NAMES[1]: ["93.184.216.34", "10.0.0.1"],
            NAMES[2]: ["127.0.0.1" if self.asked > 1 else "169.254.169.254"],
            NAMES[3]: [],
            NAMES[4]: ["::ffff:127.0.0.1"],
        }.get(host, ["127.0.0.1"])
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0) for each in addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def refused_downloads(part: Part) -> None:
    """Every download is refused, and a listener on this machine hears nothing."""
    connections = 0

    async def hear(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here = [
        f"https://127.0.0.1:{port}/a",
        f"https://localhost:{port}/a",
        f"http://127.0.0.1:{port}/a",
        f"https://[::1]:{port}/a",
    ]
    names = [f"https://{name}:{port}/a.mp4" for name in NAMES]
    with tempfile.TemporaryDirectory(prefix="animatic-urls-") as folder:
        async with ClipDownloader(resolver=Rebinding(), deadline_s=5) as downloader:
            for url in [*DOWNLOADS, *here, *names, *names]:
                part.points += 1
                try:
                    with (Path(folder) / "clip.mp4").open("w+b") as file:
                        await downloader.download(url, file, "clip")
                    part.problems.append(f"{url[:60]!r} was downloaded")
                except (ClipRefusedError, ClipUnavailableError) as error:
                    part.faults_fired += 1
                    if not str(error).isprintable() or "word" in str(error):
                        part.problems.append(f"{url[:60]!r}: told too much")
                except Exception as error:  # noqa: BLE001 - anything else is what is looked for
                    part.problems.append(f"{url[:60]!r} let {type(error).__name__} out")
        if any(path.stat().st_size for path in Path(folder).iterdir()):
            part.problems.append(f"left behind: {list(Path(folder).iterdir())}")
    server.close()
    await server.wait_closed()
    if connections:
        part.problems.append(f"{connections} connections to this machine")


def _refused(part: Part, texts: list[str], is_refused: Callable[[str], bool]) -> None:
    for text in texts:
        part.points += 1
        if is_refused(text):
            part.faults_fired += 1
        else:
            part.problems.append(f"{text[:60]!r} was accepted")


def is_refused_as_image(text: str) -> bool:
    return isinstance(image(text), Problem)


def is_refused_as_location(text: str) -> bool:
    try:
        locate(text)
    except LocationError as error:
        return str(error).isprintable()
    return False


def run() -> Part:
    """The whole corpus."""
    began = time.monotonic()
    part = Part("hostile URLs and paths")
    asyncio.run(refused_downloads(part))
    _refused(part, CELLS, is_refused_as_image)
    _refused(part, LOCATIONS, is_refused_as_location)
    if not is_public("93.184.216.34") or not is_public("2606:2800:220:1:248:1893:25c8:1946"):
        part.problems.append("public addresses are refused too, so the rest proves nothing")
    part.details = {"downloads": len(DOWNLOADS) + 4 + 2 * len(NAMES), "cells": len(CELLS), "locations": len(LOCATIONS)}
    part.seconds = time.monotonic() - began
    return part


if __name__ == "__main__":
    print(run())
