"""`animatic reconcile`: what the list settles, what a person settles, and what is left."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

Manifest = Callable[..., Path]
KEY = "canary-key-0f1e2d3c"


def run(shell: Any, shots: Path, *more: str) -> Any:
    return shell.run("run", str(shots), "--results", "out.jsonl", "--json", *more)


def rows(shell: Any) -> dict[str, dict[str, Any]]:
    lines = (shell.home / "out.jsonl").read_text().splitlines()
    return {row["shot_id"]: row for row in map(json.loads, lines)}


def test_where_there_is_nothing_to_settle_it_says_so(shell: Any) -> None:
    ended = shell.run("reconcile", "--json")
    assert (ended.code, ended.json["open"], ended.json["orphans"]) == (0, [], [])
    assert "nothing to settle" in ended.stderr
    assert not shell.ledger.exists()


def test_a_lost_reply_is_found_by_the_run_itself(
    shell_with_server: Any, manifest: Manifest, sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    ended = run(shell, manifest({"prompt": f"pan {tag} [sandbox:lost-reply]", "shot_id": "lost"}))
    assert ended.code == 0, ended.stderr
    assert (ended.json["completed"], ended.json["submitted"], ended.json["cost_usd"]) == (1, 1, 2.5)
    assert sandbox.submitted(tag).total() == 1
    assert shell.run("reconcile").code == 0


def test_what_the_list_does_not_settle_a_person_does(
    shell_with_server: Any, manifest: Manifest, sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    shots = manifest(
        {"prompt": f"one {tag} [sandbox:reset-before]", "shot_id": "one"},
        {"prompt": f"two {tag} [sandbox:reset-before]", "shot_id": "two"},
    )
    assert run(shell, shots).code == 4
    ended = shell.run("reconcile", "--json")
    assert (ended.code, ended.json["unknown"], ended.json["held"]) == (4, 2, 0)
    one, two = (rows(shell)[name]["fingerprint"][:12] for name in ("one", "two"))
    assert all(short in ended.stderr for short in (one, two))

    refused = shell.run("reconcile", "--adopt", f"{one}=no-such-prediction")
    assert (refused.code, "does not know that prediction" in refused.stderr) == (2, True)
    foreign = submit(sandbox.url, f"elsewhere {tag}")
    settled = shell.run("reconcile", "--adopt", f"{one}={foreign}", "--absent", two, "--json")
    assert settled.code == 0, settled.stderr
    assert f"adopted {one} as {foreign}" in settled.stderr

    assert run(shell, shots).code == 4
    found = rows(shell)
    assert (found["one"]["status"], found["one"]["prediction_id"]) == ("completed", foreign)
    assert (found["two"]["status"], found["two"]["attempts"]) == ("unknown", 1)
    assert sandbox.submitted(tag).total() == 1


def test_predictions_without_a_take_are_reported_as_orphans(
    shell_with_server: Any, manifest: Manifest, sandbox: Any, tag: str
) -> None:
    foreign = submit(sandbox.url, f"web {tag}")
    ended = run(shell_with_server, manifest({"prompt": f"pan {tag} [sandbox:lost-reply]"}))
    assert "orphan: prediction " in ended.stderr  # others' too: the sandbox is shared, and at most 20 are shown
    reported = shell_with_server.run("reconcile", "--json").json["orphans"]
    assert foreign in {each["prediction_id"] for each in reported}


def test_nonsense_is_refused_before_anything_is_changed(shell: Any) -> None:
    for arguments in (("--adopt", "abc"), ("--adopt", "=x"), ("--absent", "0" * 12)):
        ended = shell.run("reconcile", *arguments)
        assert ended.code == 2
        assert len(ended.stderr.splitlines()) == 1


def submit(url: str, prompt: str) -> str:
    """Submit as another user of the account; return the prediction id."""
    body = json.dumps({"prompt": prompt, "image": "https://stills.example/a.png"}).encode()
    request = urllib.request.Request(
        f"{url}/api/v3/wavespeed-ai/veo2-i2v",
        body,
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        return str(json.load(reply)["data"]["id"])
