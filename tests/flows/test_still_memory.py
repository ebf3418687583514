"""Large local stills: memory stays flat, and one limit holds for all uploads of a run."""

import io
import os
import struct
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lying import Answer, lying
from PIL import Image

STILLS, SIZE_BYTES = 24, 8_000_000


def png_of(size_bytes: int) -> bytes:
    """A picture of 720p of about this size: random bytes in a chunk that no reader shows."""
    drawn = io.BytesIO()
    Image.new("RGB", (1280, 720), "teal").save(drawn, "PNG")
    png, filling = drawn.getvalue(), b"raNd" + os.urandom(size_bytes)
    return png[:-12] + struct.pack(">I", size_bytes) + filling + struct.pack(">I", zlib.crc32(filling)) + png[-12:]


def shots_with_stills(home: Path, manifest: Callable[..., Path], tag: str, size_bytes: int) -> Path:
    for number in range(STILLS):
        (home / f"{number}.png").write_bytes(png_of(size_bytes))
    return manifest(*({"image": f"{number}.png", "prompt": f"{number} {tag}"} for number in range(STILLS)))


def peak_mb(shell: Any, *arguments: str) -> float:
    """The most memory that the command had at once, by the kernel's count; it must end with 0."""
    process, peak = shell.start(*arguments), 0.0
    reported = threading.Thread(target=process.communicate)
    reported.start()
    while reported.is_alive():
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        found = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
        peak = max([peak, *found])
        time.sleep(0.02)
    reported.join()
    assert process.returncode == 0
    return peak


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel's count is in /proc")
def test_large_stills_need_no_more_memory_than_small_ones(
    shell_with_server: Any, serve_sandbox: Any, manifest: Any, tag: str, tmp_path: Path
) -> None:
    served = serve_sandbox("--inference-s", "0.2")
    shell_with_server.more["WAVESPEED_BASE_URL"] = served.url
    peaks = []
    for size_bytes in (1_000, SIZE_BYTES):
        shots = shots_with_stills(tmp_path, manifest, f"{size_bytes} {tag}", size_bytes)
        peaks.append(peak_mb(shell_with_server, "run", str(shots), "--results", f"{size_bytes}.parquet"))
    assert served.submitted(tag).total() == 2 * STILLS
    assert peaks[1] - peaks[0] < 48, peaks


def test_no_more_uploads_are_under_way_than_one_run_may_have(
    shell_with_server: Any, serve_sandbox: Any, manifest: Any, tag: str, tmp_path: Path
) -> None:
    served, lock, now, most = serve_sandbox("--inference-s", "0.2"), threading.Lock(), [0], [0]

    def counts_uploads(path: str, _body: Any, ask: Callable[[], Answer]) -> Answer:
        if not path.endswith("/upload/binary"):
            return ask()
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.1)
        try:
            return ask()
        finally:
            with lock:
                now[0] -= 1

    with lying(served.url, counts_uploads) as liar:
        shell_with_server.more["WAVESPEED_BASE_URL"] = liar.url
        shots = shots_with_stills(tmp_path, manifest, tag, 1_000)
        ended = shell_with_server.run("run", str(shots), "--results", "out.parquet", "--json")
        assert (ended.code, ended.json["completed"]) == (0, STILLS), ended.stderr
        assert liar.asked["/api/v3/media/upload/binary"] == STILLS
    assert most[0] == 4


def test_what_is_uploaded_is_what_was_planned_though_the_file_changes(
    shell_with_server: Any, serve_sandbox: Any, manifest: Any, tag: str, tmp_path: Path
) -> None:
    served, shell = serve_sandbox("--inference-s", "0.2"), shell_with_server
    still, other = tmp_path / "still.png", png_of(3_000_000)
    still.write_bytes(png_of(3_000_000))

    def changes_the_file(path: str, _body: Any, ask: Callable[[], Answer]) -> Answer:
        if path.endswith("/upload/binary"):
            still.write_bytes(other)
        return ask()

    with lying(served.url, changes_the_file) as liar:
        shell.more["WAVESPEED_BASE_URL"] = liar.url
        planned = still.read_bytes()
        shots = manifest({"image": "still.png", "prompt": f"one {tag}"})
        assert shell.run("run", str(shots), "--results", "out.parquet").code == 0
    (accepted,) = [each for each in served.witness if tag in each.inputs["prompt"]]
    name = accepted.inputs["image"].rpartition("/")[2]
    with urllib.request.urlopen(f"{served.url}/uploads/{name}", timeout=10) as answer:
        assert answer.read() == planned
