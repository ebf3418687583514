"""Local stills: uploads are remembered by the account that has them, and a dead one is paid for once at the most."""

import contextlib
import io
import json
import socket
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from lying import Answer, lying
from PIL import Image


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """A still beside the manifest."""
    data = io.BytesIO()
    Image.new("RGB", (64, 36), "teal").save(data, "PNG")
    path = tmp_path / "still.png"
    path.write_bytes(data.getvalue())
    return path


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def account(serve_sandbox: Any, shell_with_server: Any, tmp_path: Path, port: int) -> Callable[..., Any]:
    """Serves an account by name on the one port, with a folder of its own, until the next one is served there."""
    shell_with_server.more["WAVESPEED_BASE_URL"] = f"http://127.0.0.1:{port}"
    served: list[Any] = []

    def serve(name: str, *flags: str) -> Any:
        for each in served:
            each.process.kill()
            each.process.wait()
        served.append(
            serve_sandbox("--inference-s", "0.2", "--port", str(port), *flags, folder=tmp_path / f"account-{name}")
        )
        return served[-1]

    return serve


def uploads(served: Any) -> int:
    with urllib.request.urlopen(f"{served.url}/sandbox/stats", timeout=10) as answer:
        return int(json.load(answer)["uploads"])


def run(shell: Any, shots: Any, *more: str) -> Any:
    return shell.run("run", str(shots), "--results", "out.parquet", "--json", *more)


def rows_of(shell: Any, tools: Any) -> dict[str, dict[str, Any]]:
    return {row["shot_id"]: row for row in tools.read_rows(shell.home / "out.parquet")}


def shots_of(manifest: Any, still: Path, tag: str, *names: str) -> Path:
    return manifest(*({"image": still.name, "prompt": f"{name} {tag}", "shot_id": name} for name in names))


def test_a_still_is_uploaded_once_for_all_shots_and_runs(
    account: Any, shell_with_server: Any, manifest: Any, still: Path, tag: str
) -> None:
    served = account("a")
    first = run(shell_with_server, shots_of(manifest, still, tag, "one", "two"))
    assert (first.code, uploads(served)) == (0, 1), first.stderr
    second = run(shell_with_server, shots_of(manifest, still, tag, "one", "two", "three"))
    assert (second.code, second.json["submitted"], uploads(served)) == (0, 1, 1), second.stderr
    assert served.submitted(tag) == {f"{name} {tag}": 1 for name in ("one", "two", "three")}


def test_a_fresh_folder_on_the_same_port_gets_the_still_again(
    account: Any, shell_with_server: Any, manifest: Any, still: Path, tag: str
) -> None:
    first = account("a")
    assert run(shell_with_server, shots_of(manifest, still, tag, "one")).code == 0
    second = account("b")
    ended = run(shell_with_server, shots_of(manifest, still, tag, "one", "two"))
    assert (ended.code, ended.json["completed"], ended.json["submitted"]) == (0, 2, 1), ended.stderr
    assert uploads(second) == 1
    assert (first.submitted(tag), second.submitted(tag)) == ({f"one {tag}": 1}, {f"two {tag}": 1})


@pytest.fixture
def other_key() -> str:
    return "canary-key-of-another-account"


def test_another_account_gets_the_still_again_and_the_first_keeps_its_own(
    *, account: Any, shell_with_server: Any, manifest: Any, still: Path, tag: str, other_key: str, tools: Any
) -> None:
    shell = shell_with_server
    first = account("a")
    assert run(shell, shots_of(manifest, still, tag, "one")).code == 0
    second = account("b", "--key", other_key)
    shell.more["WAVESPEED_API_KEY"] = other_key
    ended = run(shell, shots_of(manifest, still, tag, "one", "two"))
    assert (ended.code, ended.json["submitted"], uploads(second)) == (0, 1, 1), ended.stderr
    third = account("a")
    shell.more["WAVESPEED_API_KEY"] = tools.KEY
    ended = run(shell, shots_of(manifest, still, tag, "one", "two", "three"))
    assert (ended.code, ended.json["submitted"], uploads(third)) == (0, 1, 0), ended.stderr
    assert second.submitted(tag) == {f"two {tag}": 1}
    assert first.submitted(tag) == {f"one {tag}": 1, f"three {tag}": 1}


@contextlib.contextmanager
def unprobed(shell: Any, served: Any) -> Generator[Any]:
    """A gateway in front of the account: uploads lie behind it, so that their presence cannot be checked."""

    def passes_on(_path: str, _body: Any, ask: Callable[[], Answer]) -> Answer:
        return ask()

    with lying(served.url, passes_on) as liar:
        shell.more["WAVESPEED_BASE_URL"] = liar.url
        yield liar


@pytest.fixture
def moved_account(account: Any, shell_with_server: Any, manifest: Any, still: Path, tag: str) -> Iterator[Any]:
    """An account that has lost the still which was uploaded for shot `one`."""
    with unprobed(shell_with_server, account("a")):
        assert run(shell_with_server, shots_of(manifest, still, tag, "one")).code == 0
        yield account("b")


def test_a_dead_upload_is_forgotten_and_bought_again_if_allowed(
    *, moved_account: Any, shell_with_server: Any, manifest: Any, still: Path, tag: str, tools: Any
) -> None:
    shell, served = shell_with_server, moved_account
    shots = shots_of(manifest, still, tag, "one", "two")
    ended = run(shell, shots, "--attempts", "3")
    assert (ended.code, ended.json["failed"], ended.json["submitted"]) == (3, 1, 1), ended.stderr
    assert rows_of(shell, tools)["two"]["error_code"] == 1402
    without = run(shell, shots)
    assert (without.code, without.json["failed"], without.json["submitted"]) == (3, 1, 0), without.stderr
    assert (uploads(served), served.submitted(tag)) == (0, {f"two {tag}": 1})
    retried = run(shell, shots, "--retry-failed")
    assert (retried.code, retried.json["completed"], retried.json["submitted"]) == (0, 2, 1), retried.stderr
    assert (retried.json["cost_usd"], retried.json["manifest_cost_usd"]) == (2.5, 7.5)
    assert run(shell, shots, "--retry-failed").json["submitted"] == 0
    assert (uploads(served), served.submitted(tag)) == (1, {f"two {tag}": 2})


def test_the_next_take_is_not_sent_with_the_dead_url(
    *, moved_account: Any, shell_with_server: Any, manifest: Any, still: Path, tag: str, tools: Any
) -> None:
    shell, served = shell_with_server, moved_account
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "1", "ANIMATIC_QUEUED_AHEAD": "0"}
    ended = run(shell, shots_of(manifest, still, tag, "one", "two", "three", "four"))
    assert uploads(served) == 1
    statuses = {name: row["status"] for name, row in rows_of(shell, tools).items()}
    assert statuses == {"one": "completed", "two": "failed", "three": "completed", "four": "completed"}, ended.stderr
    assert served.submitted(tag) == {f"{name} {tag}": 1 for name in ("two", "three", "four")}
