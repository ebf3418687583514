"""Bare downloads: asyncio and aiohttp, one file a URL, hashed. No ledger, no checks, no fsync, no second attempt.

Usage: bare_downloads URLS.json FOLDER. Prints a line of JSON: `bytes`, `seconds`.
"""

import asyncio
import hashlib
import json
import sys
import time
from pathlib import Path

import aiohttp

AT_ONCE = 8
CHUNK_BYTES = 256 << 10


async def download_all(urls: list[str], folder: Path) -> int:
    """Return the bytes written."""
    room = asyncio.Semaphore(AT_ONCE)
    sizes: list[int] = []

    async def download(number: int, url: str) -> None:
        async with room, session.get(url) as reply:
            reply.raise_for_status()
            digest, size = hashlib.sha256(), 0
            with (folder / f"{number}.mp4").open("wb") as file:
                async for chunk in reply.content.iter_chunked(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                    size += len(chunk)
            digest.hexdigest()
            sizes.append(size)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for number, url in enumerate(urls):
            group.create_task(download(number, url))
    return sum(sizes)


def main() -> None:
    """Download."""
    urls, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir()
    began = time.perf_counter()
    total = asyncio.run(download_all(urls, folder))
    print(json.dumps({"bytes": total, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
