"""Recorded replies of the API, held against the sandbox: the same call, and where the forms of the two replies differ.

`animatic doctor --buy-one` makes them. WAVESPEED_RECORDINGS names a folder of them for the contract test.
"""

import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from PIL import Image

from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.server import serve
from animatic.wavespeed.recordings import Recording

KEY = "sandbox-key"
_NAMES = {bool: "bool", int: "number", float: "number", str: "string", type(None): "null", list: "list", dict: "object"}
Pair = tuple[Recording, Recording]


def read_recordings(folder: Path) -> list[Recording]:
    """The recordings in a folder, in their order."""
    return [Recording(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def differences(recording: Recording, ours: Recording) -> list[str]:
    """Return the places where the recorded reply has a status, a field or a type that ours has not."""
    found = [] if recording.status == ours.status else [f"status: {recording.status} there, {ours.status} here"]
    return found + sorted(_compared("", recording.reply.get("body"), ours.reply.get("body")))


def _compared(path: str, there: Any, here: Any) -> list[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        return [
            line
            for name, value in there.items()
            for where in (f"{path}.{name}".lstrip("."),)
            for line in ([f"{where}: not here"] if name not in here else _compared(where, value, here[name]))
        ]
    if isinstance(there, list) and isinstance(here, list):
        return _compared(f"{path}[]", there[0], here[0]) if there and here else []
    names = _NAMES[type(there)], _NAMES[type(here)]
    return [] if names[0] == names[1] else [f"{path}: {names[0]} there, {names[1]} here"]


@asynccontextmanager
async def replayed(recordings: Sequence[Recording]) -> AsyncIterator[list[Pair]]:
    """Each recording beside the sandbox's reply to the same call, made in the same order."""
    now = [1_800_000_000.0]
    with TemporaryDirectory() as name:
        config = SandboxConfig(folder=Path(name), inference_s=10.0, spread=0.0, renders=False)
        ids: dict[str, str] = {}
        async with serve(config, lambda: now[0]) as sandbox, aiohttp.ClientSession() as session:
            yield [(each, await _asked(each, sandbox.url, session, now, ids)) for each in recordings]


async def _asked(
    recording: Recording, url: str, session: aiohttp.ClientSession, now: list[float], ids: dict[str, str]
) -> Recording:
    """The sandbox's reply to the call of a recording; of a prediction's result, the one with the recorded status."""
    request, path = recording.request, str(recording.request["path"])
    known = next((old for old in ids if old in path), None)
    key = "wrong" if recording.status == 401 else KEY
    wanted = _status_in(recording)
    for _ in range(4):
        body = _upload() if recording.call == "upload" else None
        options: dict[str, Any] = {"data": body} if body is not None else {"json": _current(request["body"])}
        target = url + (path.replace(known, ids[known]) if known else path)
        async with session.request(
            str(request["method"]), target, headers={"Authorization": f"Bearer {key}"}, **options
        ) as reply:
            ours = Recording(recording.call, request, {"status": reply.status, "body": await reply.json()})
        if recording.call != "result" or _status_in(ours) == wanted:
            break
        now[0] += 6.0
    if recording.call == "submit" and recording.status == ours.status == 200:
        ids[recording.reply["body"]["data"]["id"]] = ours.reply["body"]["data"]["id"]
    return ours


def _status_in(recording: Recording) -> Any:
    data = recording.reply["body"].get("data")
    return data.get("status") if isinstance(data, dict) else None


def _current(body: Any) -> Any:
    """A request without the moments of the recording, and with a still that the sandbox has."""
    if not isinstance(body, dict):
        return body
    moments = {"created_after", "created_before", "start_time", "end_time"}
    kept = {name: value for name, value in body.items() if name not in moments}
    return kept | ({"image": "https://stills.example/a.png"} if "image" in kept else {})


def _upload() -> aiohttp.FormData:
    still = io.BytesIO()
    Image.new("RGB", (64, 64)).save(still, "JPEG")
    form = aiohttp.FormData()
    form.add_field("file", still.getvalue(), filename="still.jpg", content_type="image/jpeg")
    return form
