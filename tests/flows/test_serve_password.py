"""The password of the server that `flows.server.serve` starts: on a terminal only; elsewhere in a private file."""

import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from deployed import kill_all_of, login_of

from flows.server import serve

ROOT = Path(__file__).parents[2]
SERVING = "serving until Ctrl-C"


@dataclass(frozen=True)
class Serving:
    """A server and its output."""

    home: Path
    said: str

    @property
    def ui(self) -> str:
        (url,) = re.findall(r"Prefect's UI: (\S+)", self.said)
        return url

    def status(self, password: str | None) -> int:
        """The answer to someone with this `user:password`."""
        auth = None if password is None else (password.partition(":")[0], password.partition(":")[2])
        return httpx.post(f"{self.ui}/api/flow_runs/count", json={}, auth=auth, timeout=20).status_code


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path, tools: Any) -> Iterator[dict[str, Serving]]:
    """One with a file for stdout and one with a terminal, started at once."""
    folder = tmp_path_factory.mktemp("serve")
    homes = {name: folder / name for name in ("file", "terminal")}
    with ExitStack() as stack:
        for home in homes.values():
            shutil.copytree(migrated_home / ".prefect", home / "prefect")
            stack.callback(kill_all_of, home, tools)
        ours, theirs = os.openpty()
        stack.callback(os.close, ours)
        output = stack.enter_context((homes["file"] / "out").open("wb"))
        processes = {"file": _start(homes["file"], output), "terminal": _start(homes["terminal"], theirs)}
        os.close(theirs)
        for process in processes.values():
            stack.callback(process.wait)
            stack.callback(process.kill)
        shown = bytearray()

        def is_served() -> bool:
            while select.select([ours], [], [], 0)[0]:
                with suppress(OSError):
                    shown.extend(os.read(ours, 1 << 16))
                    continue
                break
            assert all(process.poll() is None for process in processes.values())
            return SERVING in shown.decode() and SERVING in (homes["file"] / "out").read_text()

        tools.wait_until(is_served, 120)
        yield {
            "file": Serving(homes["file"], (homes["file"] / "out").read_text()),
            "terminal": Serving(homes["terminal"], shown.decode()),
        }


def _start(home: Path, output: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.server.serve"],
        cwd=ROOT,
        env=login_of(home),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def test_a_terminal_is_shown_the_password(served: dict[str, Serving]) -> None:
    serving = served["terminal"]
    (password,) = re.findall(r"export PREFECT_API_AUTH_STRING=(\S+:\S+)", serving.said)
    assert (serving.status(password), serving.status(None)) == (200, 401)


def test_elsewhere_a_private_file_with_the_password_is_named(served: dict[str, Serving]) -> None:
    serving = served["file"]
    (path,) = re.findall(r'export PREFECT_API_AUTH_STRING="\$\(cat (\S+)\)"', serving.said)
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    password = Path(path).read_text().strip()
    assert (serving.status(password), serving.status(None)) == (200, 401)


def test_the_password_is_in_no_journal_and_no_log(served: dict[str, Serving]) -> None:
    serving = served["file"]
    (path,) = re.findall(r'"\$\(cat (\S+)\)"', serving.said)
    password = Path(path).read_text().strip()
    secret = password.partition(":")[2].encode()
    holding = [each for each in serving.home.rglob("*") if each.is_file() and secret in each.read_bytes()]
    assert holding == [Path(path)]
    (command,) = [Path(f"/proc/{pid}/cmdline") for pid in _children(serving)]
    assert secret not in command.read_bytes()


def _children(serving: Serving) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            environment = path.with_name("environ").read_bytes().split(b"\0")
            if f"HOME={serving.home}".encode() in environment and b"flows.server.prefect_server" in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_a_password_that_the_operator_chose_is_named_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "someone:canary-of-the-operator")
    serve._tell_password("someone:canary-of-the-operator")
    said = capsys.readouterr().out
    assert "PREFECT_SERVER_API_AUTH_STRING" in said
    assert "canary" not in said
    assert list(tmp_path.rglob("prefect-password")) == []
