"""Takes left open by a run that was killed or runs beside: named, waited for, and never bought twice."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lying import Answer, lying

Manifest = Callable[..., Path]


class Held:
    """A server that passes everything on but submissions with the word `held`: those wait until they are let go."""

    def __init__(self, upstream: str) -> None:
        self.arrived, self.let_go = threading.Event(), threading.Event()
        self._upstream = upstream

    def _change(self, _: str, body: Any, ask: Callable[[], Answer]) -> Answer:
        if isinstance(body, dict) and "held" in str(body.get("prompt", "")):
            self.arrived.set()
            if not self.let_go.wait(120):
                return 400, b"{}"
        return ask()

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        with lying(self._upstream, self._change) as liar:
            try:
                yield liar.url
            finally:
                self.let_go.set()


@pytest.fixture
def held(sandbox: Any, shell_with_server: Any) -> Iterator[Held]:
    """The server; commands of the test's shell buy through it."""
    server = Held(sandbox.url)
    with server.served() as url:
        shell_with_server.more["WAVESPEED_BASE_URL"] = url
        yield server


def rows(tag: str) -> tuple[dict[str, str], dict[str, str]]:
    return {"shot_id": "one", "prompt": f"one {tag}"}, {"shot_id": "two", "prompt": f"two held {tag}"}


@pytest.fixture
def killed(*, shell_with_server: Any, manifest: Manifest, held: Held, sandbox: Any, tools: Any, tag: str) -> Any:
    """A shell where a run was killed while it submitted row 2 of a manifest."""
    shots = str(manifest(*rows(tag)))
    process = shell_with_server.start("run", shots, "--results", "out.jsonl")
    try:
        assert held.arrived.wait(60)
        tools.wait_until(lambda: sandbox.submitted(tag)[f"one {tag}"] == 1)
    finally:
        tools.kill_group(process)
    return shell_with_server


def test_an_open_take_that_left_the_manifest_exits_with_4(
    *, killed: Any, manifest: Manifest, sandbox: Any, tag: str
) -> None:
    shots = manifest(rows(tag)[0])
    command = ("run", str(shots), "--results", "out.jsonl", "--json")
    for spelling in (str(shots), f"file://{shots}", f"../{shots.name}"):
        ended = killed.run("run", spelling, *command[2:])
        assert (ended.code, ended.json["completed"], ended.json["unknown"]) == (4, 1, 0), ended.stderr
        (dropped,) = ended.json["dropped"]
        assert (dropped["state"], dropped["manifest"]) == ("unknown", f"file://{shots}")
        assert f"{dropped['fingerprint'][:12]}, which is not in this manifest any more" in ended.stderr
        assert ended.json["open_elsewhere"] == []
    assert sandbox.submitted(tag) == {f"one {tag}": 1}
    written = killed.run("results", str(shots), "--results", "out.jsonl")
    assert (written.code, dropped["fingerprint"][:12] in written.stderr) == (4, True)


def test_an_open_take_of_another_manifest_keeps_the_exit_code(
    *, killed: Any, manifest: Manifest, sandbox: Any, tag: str
) -> None:
    other = manifest({"prompt": f"other {tag}"}, name="other.csv")
    ended = killed.run("run", str(other), "--results", "other.jsonl", "--json")
    assert (ended.code, ended.json["completed"], ended.json["dropped"]) == (0, 1, []), ended.stderr
    (elsewhere,) = ended.json["open_elsewhere"]
    assert (elsewhere["state"], elsewhere["manifest"].endswith("/shots.csv")) == ("unknown", True)
    assert f"{elsewhere['fingerprint'][:12]}: left by run " in ended.stderr
    assert sandbox.submitted(tag) == {f"one {tag}": 1, f"other {tag}": 1}
    assert killed.run("reconcile").code == 4


def test_an_open_take_is_named_until_a_person_settles_it(
    *, killed: Any, manifest: Manifest, sandbox: Any, tag: str
) -> None:
    command = ("run", str(manifest(rows(tag)[0])), "--results", "out.jsonl", "--json")
    (dropped,) = killed.run(*command).json["dropped"]
    settled = killed.run("reconcile", "--absent", dropped["fingerprint"])
    assert settled.code == 0, settled.stderr
    ended = killed.run(*command)
    assert (ended.code, ended.json["dropped"], ended.json["submitted"]) == (0, [], 0), ended.stderr
    assert sandbox.submitted(tag) == {f"one {tag}": 1}


def test_takes_that_a_live_neighbour_is_submitting_are_not_open(
    *, shell_with_server: Any, manifest: Manifest, held: Held, sandbox: Any, tools: Any, tag: str
) -> None:
    shell, shots = shell_with_server, manifest(*rows(tag))
    neighbour = shell.start("run", str(shots), "--results", "out.jsonl", "--json", is_warm=True)
    try:
        assert held.arrived.wait(60)
        other = manifest({"prompt": f"other {tag}"}, name="other.csv")
        same = manifest(rows(tag)[0])
        for path in (other, same):
            ended = shell.run("run", str(path), "--results", f"beside-{path.name}.jsonl", "--json")
            assert (ended.code, ended.json["open_elsewhere"], ended.json["dropped"]) == (0, [], []), ended.stderr
        assert shell.run("reconcile").code == 0
        held.let_go.set()
        stdout, stderr = neighbour.communicate(timeout=60)
    finally:
        tools.kill_group(neighbour)
    assert (neighbour.returncode, '"completed": 2,' in stdout) == (0, True), stderr
    assert sandbox.submitted(tag) == {f"one {tag}": 1, f"two held {tag}": 1, f"other {tag}": 1}


def runs_in(ledger: Path) -> int:
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        return int(db.execute("SELECT count(*) FROM run").fetchone()[0])


@pytest.mark.parametrize(("scenario", "status", "bought"), [("fails", "failed", 1), ("rejects", "rejected", 0)])
def test_two_runs_with_retry_failed_buy_one_retry_together(
    *,
    shell_with_server: Any,
    manifest: Manifest,
    held: Held,
    sandbox: Any,
    tools: Any,
    tag: str,
    scenario: str,
    status: str,
    bought: int,
) -> None:
    shell = shell_with_server
    shots = str(manifest({"prompt": f"held [sandbox:{scenario}] {tag}"}))
    held.let_go.set()
    first = shell.run("run", shots, "--results", "first.jsonl", "--json")
    assert (first.code, first.json[status], sandbox.submitted(tag).total()) == (3, 1, bought), first.stderr
    held.let_go.clear()
    together = [
        shell.start("run", shots, "--results", f"{name}.jsonl", "--json", "--retry-failed") for name in ("a", "b")
    ]
    try:
        tools.wait_until(lambda: runs_in(shell.ledger) == 3, 60)
        held.let_go.set()
        ended = [(process.communicate(timeout=60), process.returncode) for process in together]
    finally:
        for process in together:
            tools.kill_group(process)
    assert [code for _, code in ended] == [3, 3], ended
    assert sandbox.submitted(tag).total() == 2 * bought
    shown = shell.run("ledger", "show", held_fingerprint(shell))
    assert shown.stdout.count(f"  {status}, ") == 2, shown.stdout
    later = shell.run("run", shots, "--results", "a.jsonl", "--json", "--retry-failed")
    assert (later.code, sandbox.submitted(tag).total()) == (3, 3 * bought), later.stderr


def held_fingerprint(shell: Any) -> str:
    with contextlib.closing(sqlite3.connect(shell.ledger)) as db:
        return str(db.execute("SELECT fingerprint FROM take").fetchone()[0])
