"""Predictions that WaveSpeed has forgotten or never ends: held, no longer in the way, given up by a person."""

import contextlib
import sqlite3
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lying import Answer, Liar, altered, lying, reply

RESULT = "/api/v3/predictions/"


@dataclass
class Forgetful:
    """Answers polls of predictions whose prompt holds `odd`: not known, or never final, by `mode`."""

    mode: str = "processing"

    def __post_init__(self) -> None:
        self.odd_ids: set[str] = set()

    def __call__(self, path: str, body: dict[str, Any], ask: Callable[[], Answer]) -> Answer:
        answer = ask()
        if "odd" in str(body.get("prompt")) and not self.odd_ids:
            altered(answer, lambda data: self.odd_ids.add(data["id"]))
        if path.removeprefix(RESULT).removesuffix("/result") not in self.odd_ids:
            return answer
        if self.mode == "404":
            return reply(404, {"code": 404, "message": "prediction not found", "data": None})
        if self.mode == "processing":
            return altered(answer, lambda data: data | {"status": "processing", "outputs": []})
        return answer


@contextlib.contextmanager
def left_open(shell: Any, sandbox: Any, manifest: Any, tag: str) -> Generator[tuple[Any, Forgetful, Liar]]:
    """A take that an earlier run left `pending`, which is odd from then on; later runs give up after a second."""
    forgetful = Forgetful()
    with lying(sandbox.url, forgetful) as liar:
        shell.more |= {"WAVESPEED_BASE_URL": liar.url, "ANIMATIC_TAKE_DEADLINE_S": "1"}
        shots = manifest({"prompt": f"odd {tag}", "shot_id": "odd"})
        ended = run(shell, shots)
        assert (ended.code, ended.json["pending"]) == (3, 1), ended.stderr
        shell.more |= {"ANIMATIC_GIVE_UP_S": "1", "ANIMATIC_TAKE_DEADLINE_S": "30"}
        yield shots, forgetful, liar


def run(shell: Any, shots: Any, *more: str) -> Any:
    return shell.run("run", str(shots), "--results", "out.parquet", "--json", *more)


def row_of(shell: Any, tools: Any, shot_id: str = "odd") -> dict[str, Any]:
    return next(row for row in tools.read_rows(shell.home / "out.parquet") if row["shot_id"] == shot_id)


def polls(liar: Liar, forgetful: Forgetful) -> int:
    return sum(liar.asked[f"{RESULT}{each}/result"] for each in forgetful.odd_ids)


@pytest.mark.parametrize("mode", ["404", "processing"])
def test_it_is_held_names_the_command_and_is_polled_once(
    *, shell_with_server: Any, sandbox: Any, manifest: Any, tag: str, tools: Any, mode: str
) -> None:
    shell = shell_with_server
    with left_open(shell, sandbox, manifest, tag) as (shots, forgetful, liar):
        forgetful.mode = mode
        for _ in range(2):
            before = polls(liar, forgetful)
            ended = run(shell, shots)
            assert (ended.code, ended.json["held"], ended.json["submitted"]) == (4, 1, 0), ended.stderr
            assert polls(liar, forgetful) - before == 1
        row = row_of(shell, tools)
        assert f"animatic reconcile --abandon {row['fingerprint'][:12]}" in row["error"]
        assert row["prediction_id"] in row["error"]
        before = polls(liar, forgetful)
        reconciled = shell.run("reconcile", "--json")
        assert (reconciled.code, reconciled.json["held"]) == (4, 1)
        assert f"--abandon {row['fingerprint'][:12]}" in reconciled.stderr
        assert polls(liar, forgetful) - before == 1
        forgetful.mode = "honest"
        ended = run(shell, shots)
        assert (ended.code, ended.json["completed"], ended.json["submitted"]) == (0, 1, 0), ended.stderr
        assert ended.json["manifest_cost_usd"] == 2.5
    assert sandbox.submitted(tag).total() == 1


def test_reconcile_takes_note_of_an_end_that_came_after_all(
    shell_with_server: Any, sandbox: Any, manifest: Any, tag: str
) -> None:
    shell = shell_with_server
    with left_open(shell, sandbox, manifest, tag) as (shots, forgetful, _):
        assert run(shell, shots).code == 4
        forgetful.mode = "honest"
        reconciled = shell.run("reconcile", "--json")
        assert (reconciled.code, reconciled.json["ended"]) == (0, 1), reconciled.stderr
        ended = run(shell, shots)
        assert (ended.code, ended.json["completed"], ended.json["cached"]) == (0, 1, 1), ended.stderr
    assert sandbox.submitted(tag).total() == 1


def test_it_keeps_no_slot(shell_with_server: Any, sandbox: Any, manifest: Any, tag: str, tools: Any) -> None:
    shell = shell_with_server
    shell.more |= {"ANIMATIC_MAX_IN_FLIGHT": "1", "ANIMATIC_QUEUED_AHEAD": "0"}
    with left_open(shell, sandbox, manifest, tag) as (_, forgetful, _liar):
        forgetful.mode = "404"
        shots = manifest({"prompt": f"odd {tag}", "shot_id": "odd"}, {"prompt": f"good {tag}", "shot_id": "good"})
        ended = run(shell, shots)
        assert (ended.code, ended.json["held"], ended.json["completed"]) == (4, 1, 1), ended.stderr
    assert row_of(shell, tools, "good")["status"] == "completed"
    assert sandbox.submitted(tag) == {f"odd {tag}": 1, f"good {tag}": 1}


def test_the_run_that_submitted_it_gives_it_up_too(
    shell_with_server: Any, sandbox: Any, manifest: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    shell.more |= {"ANIMATIC_GIVE_UP_S": "1", "ANIMATIC_MAX_IN_FLIGHT": "1", "ANIMATIC_QUEUED_AHEAD": "0"}
    shots = manifest(
        {"prompt": f"stuck {tag} [sandbox:stuck]", "shot_id": "odd"}, {"prompt": f"good {tag}", "shot_id": "good"}
    )
    ended = run(shell, shots)
    assert (ended.code, ended.json["held"], ended.json["completed"]) == (4, 1, 1), ended.stderr
    assert "--abandon" in row_of(shell, tools)["error"]
    assert set(sandbox.submitted(tag).values()) == {1}


def test_abandoned_it_is_bought_once_more_and_both_are_paid(
    shell_with_server: Any, sandbox: Any, manifest: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    with left_open(shell, sandbox, manifest, tag) as (shots, forgetful, _):
        forgetful.mode = "404"
        assert run(shell, shots).code == 4
        short = row_of(shell, tools)["fingerprint"][:12]
        abandoned = shell.run("reconcile", "--abandon", short, "--json")
        assert (abandoned.code, abandoned.json["open"]) == (0, []), abandoned.stderr
        assert f"abandoned {short}" in abandoned.stderr
        again = run(shell, shots)
        assert (again.code, again.json["failed"], again.json["submitted"]) == (3, 1, 0), again.stderr
        retried = run(shell, shots, "--retry-failed")
        assert (retried.code, retried.json["completed"], retried.json["submitted"]) == (0, 1, 1), retried.stderr
        assert (retried.json["cost_usd"], retried.json["manifest_cost_usd"]) == (2.5, 5.0)
        assert run(shell, shots, "--retry-failed").json["submitted"] == 0
    assert row_of(shell, tools)["attempts"] == 2
    assert sandbox.submitted(tag).total() == 2


def test_a_take_that_is_still_pending_can_be_abandoned_too(
    shell_with_server: Any, sandbox: Any, manifest: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    with left_open(shell, sandbox, manifest, tag) as (shots, _, _liar):
        short = row_of(shell, tools)["fingerprint"][:12]
        assert shell.run("reconcile", "--abandon", short).code == 0
        retried = run(shell, shots, "--retry-failed")
        assert (retried.code, retried.json["completed"], retried.json["submitted"]) == (0, 1, 1), retried.stderr
    assert sandbox.submitted(tag).total() == 2


@pytest.mark.parametrize("is_held", [True, False])
def test_what_was_bought_cannot_be_declared_absent(
    *, shell_with_server: Any, sandbox: Any, manifest: Any, tag: str, tools: Any, is_held: bool
) -> None:
    shell = shell_with_server
    with left_open(shell, sandbox, manifest, tag) as (shots, forgetful, _):
        forgetful.mode = "404"
        if is_held:
            assert run(shell, shots).code == 4
        short = row_of(shell, tools)["fingerprint"][:12]
        refused = shell.run("reconcile", "--absent", short)
        assert refused.code == 2, refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert "--abandon" in refused.stderr
        ended = run(shell, shots, "--retry-failed")
        assert (ended.code, ended.json["submitted"], ended.json["manifest_cost_usd"]) == (4, 0, 2.5), ended.stderr
    assert sandbox.submitted(tag).total() == 1


def grow_older(ledger: Path, hours: float) -> None:
    """Let time pass for what the ledger has dated."""
    with contextlib.closing(sqlite3.connect(ledger)) as db, db:
        for column in ("intent_at", "submitted_at", "completed_at", "created_at"):
            db.execute(f"UPDATE attempt SET {column} = datetime({column}, '-{hours} hours')")


def test_outputs_that_expired_or_expire_soon_are_reported(
    shell_with_server: Any, sandbox: Any, manifest: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    shots = manifest({"prompt": f"one {tag}", "shot_id": "one"}, {"prompt": f"two {tag}", "shot_id": "two"})
    first = run(shell, shots)
    assert (first.code, "the output URLs" in first.stderr) == (0, False), first.stderr
    row = row_of(shell, tools, "one")
    assert abs((row["outputs_expire_at"] - row["completed_at"]).total_seconds() - 7 * 86_400) < 5
    reported = ("", "expiring: the output URLs of 2 completed takes", "expired: the output URLs of 2 completed takes")
    for hours, note in zip((5.5 * 24, 0.6 * 24, 24), reported, strict=True):
        grow_older(shell.ledger, hours)
        ended = shell.run("results", str(shots), "--results", "out.parquet")
        assert (ended.code, note in ended.stderr, "the output URLs" in ended.stderr) == (0, True, bool(note)), (
            ended.stderr
        )
    again = run(shell, shots)
    assert (again.code, again.json["submitted"], reported[-1] in again.stderr) == (0, 0, True), again.stderr
    assert sandbox.submitted(tag).total() == 2
