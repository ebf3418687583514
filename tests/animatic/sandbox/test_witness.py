"""Accepted submissions are on disk before the reply is sent, and suffice to carry on from."""

import json
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from animatic.errors import SettingsError
from animatic.sandbox.witness import Accepted, Witness, read_witness


def _accepted(number: int) -> Accepted:
    moment = "2026-11-22T09:30:00.000Z"
    return Accepted(f"{number:032x}", moment, "m", {"prompt": "tilt \ud800 up\n"}, "ok", moment, 1.5, number, 2.5)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    witness = Witness(tmp_path, syncs=True)
    for number in range(3):
        witness.write(_accepted(number))
    assert read_witness(tmp_path) == [_accepted(number) for number in range(3)]
    witness.close()


def test_a_torn_last_line_is_cut_before_the_next(tmp_path: Path) -> None:
    witness = Witness(tmp_path, syncs=False)
    witness.write(_accepted(1))
    witness.close()
    with (tmp_path / "accepted.jsonl").open("ab") as file:
        file.write(b'{"id": "half a li')
    assert read_witness(tmp_path) == [_accepted(1)]
    again = Witness(tmp_path, syncs=False)
    again.write(_accepted(2))
    again.close()
    assert read_witness(tmp_path) == [_accepted(1), _accepted(2)]


def test_a_foreign_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "accepted.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(SettingsError, match=r"accepted\.jsonl:1: not a line"):
        read_witness(tmp_path)


def test_a_witness_of_before_fields_were_added_still_loads(tmp_path: Path) -> None:
    moment = "2026-11-22T09:30:00.000Z"
    inputs = {"prompt": "a", "image": "https://stills.example/a.png", "aspect_ratio": "16:9", "duration": "5s"}
    old = {"id": "0" * 32, "accepted_at": moment, "model": "wavespeed-ai/veo2-i2v", "inputs": inputs, "scenario": "ok"}
    old |= {"started_at": moment, "latency_s": 4.0, "seed": 7, "price_usd": 2.5}
    (tmp_path / "accepted.jsonl").write_text(json.dumps(old) + "\n")
    [read] = read_witness(tmp_path)
    assert (read.inputs, read.wants_base64, read.webhook_url) == (inputs, False, "")


def test_a_folder_never_served_has_no_witness(tmp_path: Path) -> None:
    assert read_witness(tmp_path) == []


async def test_a_submission_that_cannot_be_written_down_is_not_accepted(caller: Any) -> None:
    """The disk is full: a file-size limit of the process stands in for it."""
    import resource  # noqa: PLC0415 - only here

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    taken_off = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        refused = await caller.submit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, taken_off)
    assert refused.status == 500
    assert (caller.sandbox.folder / "accepted.jsonl").read_bytes() == b""
    assert await caller.listed_ids() == []
    accepted = await caller.submit_id()
    assert [each.id for each in read_witness(caller.sandbox.folder)] == [accepted]


async def test_a_second_sandbox_on_the_folder_goes_on_where_the_first_stopped(tmp_path: Path, clock: Any) -> None:
    from animatic.sandbox.config import SandboxConfig  # noqa: PLC0415 - only here
    from animatic.sandbox.server import serve  # noqa: PLC0415 - only here

    config = SandboxConfig(folder=tmp_path, inference_s=10, spread=0.5, max_in_flight=1, renders=False)
    async with serve(config, clock) as first:
        before = [
            await _asked(first.url, "POST", "wavespeed-ai/veo2-i2v", prompt) for prompt in ("a [sandbox:fails]", "b")
        ]
    clock.advance(5)
    async with serve(config, clock) as second:
        third = await _asked(second.url, "POST", "wavespeed-ai/veo2-i2v", "c")
        first_one, second_one = [await _asked(second.url, "GET", f"predictions/{each['id']}/result") for each in before]
        clock.advance(1_000)
        ends = [await _asked(second.url, "GET", f"predictions/{each['id']}/result") for each in (*before, third)]
        balance = await _asked(second.url, "GET", "balance")
    assert [first_one["status"], second_one["status"]] == ["processing", "created"]
    assert [each["status"] for each in ends] == ["failed", "completed", "completed"]
    assert balance == {"balance": 100_000 - 2 * 2.5}, "the failed one is refunded"
    starts, waits = [each.started_at for each in read_witness(tmp_path)], [each["id"] for each in (*before, third)]
    assert starts == sorted(set(starts)), "each waits for the one before, across the restart"
    assert [each.id for each in read_witness(tmp_path)] == waits


async def _asked(url: str, method: str, path: str, prompt: str | None = None) -> Any:
    import aiohttp  # noqa: PLC0415 - only here

    body = None if prompt is None else {"prompt": prompt, "image": "https://stills.example/a.png"}
    headers = {"Authorization": "Bearer sandbox-key"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{url}/api/v3/{path}", json=body) as reply,
    ):
        return (await reply.json())["data"]


def test_every_answered_submission_survives_kill_9(tmp_path: Path, start_process: Any) -> None:
    server = start_process("--folder", str(tmp_path), "--no-render", "--inference-s", "1", "--spread", "0")
    answered: list[str] = []
    submitters = [threading.Thread(target=_submit_until_it_dies, args=(server.url, answered)) for _ in range(4)]
    for submitter in submitters:
        submitter.start()
    while len(answered) < 40:
        time.sleep(0.005)
    os.kill(server.process.pid, signal.SIGKILL)
    for submitter in submitters:
        submitter.join()
    known = {each.id for each in read_witness(tmp_path)}
    assert set(answered) <= known
    assert len(known) <= len(answered) + len(submitters), "at most one a submitter was accepted without a reply"

    again = start_process("--folder", str(tmp_path), "--no-render")
    assert again.url != server.url or again.process.pid != server.process.pid
    for taken in answered:
        assert _get(again.url, f"predictions/{taken}/result")["status"] in {"processing", "completed"}
    assert _get(again.url, "balance") == {"balance": 100_000 - 2.5 * len(known)}


def _submit_until_it_dies(url: str, answered: list[str]) -> None:
    body = json.dumps({"prompt": "pan left", "image": "https://stills.example/a.png"}).encode()
    while True:
        try:
            answered.append(_get(url, "wavespeed-ai/veo2-i2v", body)["id"])
        except (OSError, ValueError):
            return


def _get(url: str, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(f"{url}/api/v3/{path}", body, {"Authorization": "Bearer sandbox-key"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)["data"]
