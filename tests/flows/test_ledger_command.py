"""`animatic ledger`: what a second laptop takes over, what a shot has cost, and a ledger that comes from a backup."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from animatic.results import formats, reading
from animatic.takes.inputs import Inputs
from animatic.takes.models import INPUT_NAMES
from animatic.takes.shots import digest, verbatim

STILL = Path(__file__).parents[2] / "manifests/stills"
MODEL = "wavespeed-ai/veo2-i2v"
SUFFIXES = (".csv", ".parquet", ".jsonl")


def another_home(shell: Any, tools: Any, name: str = "laptop") -> Any:
    """A second laptop: the same account and settings, and an empty home."""
    home = shell.home.with_name(name)
    home.mkdir()
    return tools.Shell(home, dict(shell.more), says_yes=False)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return reading.decode(path.read_bytes(), path.name).to_pylist()


def write_rows(path: Path, rows: list[dict[str, Any]], like: Path) -> Path:
    """A results table of these rows, with the columns of another one."""
    schema = reading.decode(like.read_bytes(), like.name).schema
    path.write_bytes(formats.encode(pa.Table.from_pylist(rows, schema), path.suffix))
    return path


def dump(ledger: Path) -> str:
    with closing(sqlite3.connect(ledger)) as db:
        return "\n".join(db.iterdump())


KEPT = (
    *("shot_id", "take", "status", "prediction_id", "outputs", "has_nsfw_contents", "error_code", "error", "attempts"),
    *("quoted_usd", "created_at", "fingerprint", "run_id"),
)
"""Columns of the results that must survive a move to another ledger."""


@pytest.fixture
def shots(manifest: Callable[..., Path], tag: str, tmp_path: Path) -> Path:
    """A manifest of takes that end in every way, one of them of a local still."""
    shutil.copy(next(STILL.glob("*.*")), tmp_path / "still.png")
    return manifest(
        {"shot_id": "opening", "prompt": f"push in {tag}"},
        {"shot_id": "harbour", "prompt": f"pan left {tag}", "takes": "2"},
        {"shot_id": "bridge", "prompt": f"orbit [sandbox:fails] {tag}"},
        {"shot_id": "cellar", "prompt": f"static [sandbox:rejects] {tag}"},
        {"shot_id": "tower", "prompt": f"tilt up {tag}", "image": "still.png"},
    )


STATUSES = ["completed", "completed", "completed", "failed", "rejected", "completed"]
BOUGHT = 5


@pytest.fixture
def first(shell_with_server: Any, shots: Path, sandbox: Any, tag: str) -> Any:
    """The first laptop, where all of them were bought."""
    ended = shell_with_server.run("run", str(shots), "--results", "first.csv")
    assert (ended.code, sandbox.submitted(tag).total()) == (3, BOUGHT), ended.stderr
    return shell_with_server


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_second_laptop_takes_over_a_table_and_buys_nothing(
    *, first: Any, shots: Path, sandbox: Any, tools: Any, tag: str, suffix: str
) -> None:
    laptop, table = another_home(first, tools), first.home / f"table{suffix}"
    assert first.run("results", str(shots), "--results", str(table)).code == 3
    imported = laptop.run("ledger", "import", str(table), "--json")
    assert (imported.code, imported.json) == (0, {"counts": {"taken over": 6}, "conflicts": []}), imported.stderr
    ended = laptop.run("run", str(shots), "--results", f"second{suffix}", "--yes", "--json")
    reported = {name: ended.json[name] for name in ("completed", "failed", "rejected", "submitted", "cached")}
    assert reported == {"completed": 4, "failed": 1, "rejected": 1, "submitted": 0, "cached": 6}, ended.stderr
    assert (ended.code, ended.json["cost_usd"], ended.json["manifest_cost_usd"]) == (3, 0.0, 12.5)
    assert sandbox.submitted(tag).total() == BOUGHT
    before, after = rows_of(table), rows_of(laptop.home / f"second{suffix}")
    assert [row["status"] for row in after] == STATUSES
    for was, now in zip(before, after, strict=True):
        assert {name: now[name] for name in KEPT} == {name: was[name] for name in KEPT}
    again = laptop.run("ledger", "import", str(table), "--json")
    assert (again.code, again.json["counts"]) == (0, {"known already": 6})


def test_a_moment_that_a_table_does_not_have_is_not_made_up(
    *, first: Any, shots: Path, sandbox: Any, tools: Any, tag: str
) -> None:
    laptop, table = another_home(first, tools), first.home / "first.csv"
    assert laptop.run("ledger", "import", str(table)).code == 0
    assert laptop.run("results", str(shots), "--results", "second.csv").code == 3
    moments = ("submitted_at", "completed_at", "created_at")
    for was, now in zip(rows_of(table), rows_of(laptop.home / "second.csv"), strict=True):
        assert {name: now[name] for name in moments} == {name: was[name] for name in moments}, was["status"]
    assert sandbox.submitted(tag).total() == BOUGHT


def test_what_failed_elsewhere_is_bought_again_only_where_that_is_asked_for(
    *, first: Any, shots: Path, sandbox: Any, tools: Any, tag: str
) -> None:
    laptop = another_home(first, tools)
    assert laptop.run("ledger", "import", str(first.home / "first.csv")).code == 0
    command = ("run", str(shots), "--results", "second.csv", "--yes", "--json")
    assert laptop.run(*command).json["submitted"] == 0
    retried = laptop.run(*command, "--retry-failed")
    assert (retried.code, retried.json["submitted"], retried.json["cost_usd"]) == (3, 1, 2.5), retried.stderr
    assert sandbox.submitted(tag)[f"orbit [sandbox:fails] {tag}"] == 2
    assert sandbox.submitted(tag).total() == BOUGHT + 1


def test_several_tables_are_taken_over_at_once(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tools: Any, tag: str
) -> None:
    first, names = shell_with_server, ("one.csv", "two.parquet", "three.jsonl")
    manifests = [manifest({"prompt": f"{name} {tag}"}, name=f"{name}.csv") for name in names]
    for shots, name in zip(manifests, names, strict=True):
        assert first.run("run", str(shots), "--results", name).code == 0
    laptop = another_home(first, tools)
    imported = laptop.run("ledger", "import", *(str(first.home / name) for name in names), "--json")
    assert (imported.code, imported.json["counts"]) == (0, {"taken over": 3}), imported.stderr
    for name in names:
        assert f"{name}: 1 taken over" in imported.stderr
    for shots in manifests:
        ended = laptop.run("run", str(shots), "--results", "again.csv", "--yes", "--json")
        assert (ended.code, ended.json["submitted"], ended.json["cached"]) == (0, 0, 1), ended.stderr
    assert sandbox.submitted(tag).total() == 3


def old_fingerprint(row: Mapping[str, Any], provider: str, still: str) -> str:
    """The fingerprint of a row as it was before there was a canonical form."""
    inputs = Inputs({name: row[name] for name in INPUT_NAMES}).replaced(image=still)
    return digest(verbatim(provider, row["model"], inputs), row["take"]).hex()


@pytest.fixture
def of_before(
    shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str, tmp_path: Path
) -> tuple[Path, Path]:
    """A manifest whose takes have other fingerprints today, and a table of it from before."""
    still = tmp_path / "still.png"
    shutil.copy(next(STILL.glob("*.*")), still)
    shots = manifest(
        {"prompt": f"two\r\nlines {tag}"},
        {"prompt": f"fragment {tag}", "image": "https://STILLS.example:443/a.png#t=1"},
        {"prompt": f"a blank behind {tag} ", "image": "still.png"},
    )
    ended = shell_with_server.run("run", str(shots), "--results", "today.csv")
    assert (ended.code, sandbox.submitted(tag).total()) == (0, 3), ended.stderr
    today, stills = shell_with_server.home / "today.csv", iter(still_names(still))
    rows = [row | {"fingerprint": old_fingerprint(row, sandbox.url, next(stills))} for row in rows_of(today)]
    assert all(row["fingerprint"] != now["fingerprint"] for row, now in zip(rows, rows_of(today), strict=True))
    return shots, write_rows(tmp_path / "before.csv", rows, today)


def still_names(local: Path) -> list[str]:
    sha256 = hashlib.sha256(local.read_bytes()).hexdigest()
    return ["https://stills.example/a.png", "https://STILLS.example:443/a.png#t=1", f"sha256:{sha256}"]


def test_a_table_with_fingerprints_of_before_is_taken_over(
    *, of_before: tuple[Path, Path], shell_with_server: Any, sandbox: Any, tools: Any, tag: str
) -> None:
    shots, table = of_before
    laptop = another_home(shell_with_server, tools)
    imported = laptop.run("ledger", "import", str(table), "--json")
    assert (imported.code, imported.json["counts"]) == (0, {"taken over": 3}), imported.stderr
    for name in ("second.csv", "third.csv"):
        ended = laptop.run("run", str(shots), "--results", name, "--yes", "--json")
        assert (ended.code, ended.json["submitted"], ended.json["cached"]) == (0, 0, 3), ended.stderr
    assert sandbox.submitted(tag).total() == 3
    for row in rows_of(table):
        shown = laptop.run("ledger", "show", row["fingerprint"][:12])
        assert (shown.code, row["prediction_id"] in shown.stdout) == (0, True), shown.stderr


def test_an_older_table_is_recognised_by_the_lost_ledger_guard(
    *, of_before: tuple[Path, Path], shell_with_server: Any, sandbox: Any, tools: Any, tag: str
) -> None:
    shots, table = of_before
    laptop = another_home(shell_with_server, tools)
    shutil.copy(table, laptop.home / "out.csv")
    refused = laptop.run("run", str(shots), "--results", "out.csv", "--yes", "--new-ledger")
    assert (refused.code, sandbox.submitted(tag).total()) == (2, 3), refused.stderr
    assert "out.csv shows 3 takes as bought that the ledger" in refused.stderr
    assert "animatic ledger import out.csv" in refused.stderr
    assert (laptop.home / "out.csv").read_bytes() == table.read_bytes()


GARBAGE = {
    "empty.csv": b"",
    "text.csv": b"these are no results\n",
    "manifest.csv": b"image,prompt\nhttps://stills.example/a.png,push in\n",
    "bytes.parquet": bytes(range(256)),
    "half.parquet": b"PAR1 and no end",
    "list.jsonl": b"[1, 2]\n",
    "broken.jsonl": b'{"row": 1\n',
    "other.jsonl": b'{"name": "value"}\n',
    "notes.txt": b"a note",
    "nul.csv": b"\x00\x00\x00",
}


def test_a_file_that_is_no_results_table_changes_nothing(*, first: Any, sandbox: Any, tag: str, tmp_path: Path) -> None:
    before = dump(first.ledger)
    for name, data in GARBAGE.items():
        (tmp_path / name).write_bytes(data)
        refused = first.run("ledger", "import", str(tmp_path / name))
        assert refused.code == 2, f"{name}: {refused.stderr}"
        assert name in refused.stderr
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
    absent = first.run("ledger", "import", str(tmp_path / "absent.csv"))
    assert (absent.code, "absent.csv" in absent.stderr) == (2, True)
    assert dump(first.ledger) == before
    assert sandbox.submitted(tag).total() == BOUGHT


def test_cells_that_no_run_writes_change_nothing(
    *, first: Any, sandbox: Any, tools: Any, tag: str, tmp_path: Path
) -> None:
    table = first.home / "first.csv"
    opening = rows_of(table)[0]
    odd = [
        {"take": None},
        {"prompt": None},
        {"image": None},
        {"fingerprint": "z" * 64},
        {"fingerprint": None},
        {"status": "bought"},
        {"attempts": None},
    ]
    laptop = another_home(first, tools)
    path = write_rows(tmp_path / "odd.csv", [opening | change for change in odd], table)
    ended = laptop.run("ledger", "import", str(path))
    assert ended.code in {0, 2}, ended.stderr
    assert "Traceback" not in ended.stderr
    refused = laptop.run("run", str(path.with_name("shots.csv")), "--results", "out.csv", "--yes")
    assert (refused.code, "is new" in refused.stderr) == (2, True), refused.stderr
    assert sandbox.submitted(tag).total() == BOUGHT


def test_a_table_of_another_provider_leaves_a_ledger_new(
    *, first: Any, shots: Path, serve_sandbox: Any, tools: Any, tag: str
) -> None:
    other, laptop = serve_sandbox("--inference-s", "0.1"), another_home(first, tools)
    laptop.more["WAVESPEED_BASE_URL"] = other.url
    imported = laptop.run("ledger", "import", str(first.home / "first.csv"), "--json")
    refused = laptop.run("run", str(shots), "--results", "second.csv", "--yes")
    assert (refused.code, other.submitted(tag).total()) == (2, 0), refused.stderr
    assert "is new: it holds no take of" in refused.stderr
    assert imported.json["counts"] == {"of another provider": 6}


def test_a_prediction_that_another_take_has_is_named_and_left_alone(
    *, first: Any, shots: Path, sandbox: Any, tag: str, tmp_path: Path
) -> None:
    table = first.home / "first.csv"
    edited = {"fingerprint": "0" * 64, "still_uri": None}  # no still there, so nothing tells that it was edited
    rows = [row | edited if row["shot_id"] == "tower" else row for row in rows_of(table)]
    contradicting = write_rows(tmp_path / "contradicting.csv", rows, table)
    tower = rows[-1]["prediction_id"]
    ended = first.run("ledger", "import", str(contradicting), "--json")
    assert (ended.code, len(ended.json["conflicts"])) == (4, 1), ended.stderr
    assert f"its prediction {tower} belongs to take {rows_of(table)[-1]['fingerprint'][:12]}" in ended.stderr
    again = first.run("run", str(shots), "--results", "first.csv", "--json")
    assert (again.code, again.json["submitted"], sandbox.submitted(tag).total()) == (3, 0, BOUGHT)


def test_an_unknown_take_is_taken_over_as_unknown_and_not_bought(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tools: Any, tag: str
) -> None:
    first = shell_with_server
    shots = str(manifest({"prompt": f"[sandbox:server-error] {tag}"}))
    assert first.run("run", shots, "--results", "first.csv").code == 4
    laptop = another_home(first, tools)
    assert laptop.run("ledger", "import", str(first.home / "first.csv")).code == 0
    ended = laptop.run("run", shots, "--results", "second.csv", "--yes", "--json")
    assert (ended.code, ended.json["unknown"], ended.json["submitted"]) == (4, 1, 0), ended.stderr
    assert sandbox.submitted(tag).total() == 0
    assert laptop.run("reconcile").code == 4


# `ledger show`


def test_a_shot_is_shown_with_every_attempt_and_its_cost(*, first: Any, shots: Path, sandbox: Any, tag: str) -> None:
    retried = first.run("run", str(shots), "--results", "first.csv", "--retry-failed")
    assert (retried.code, sandbox.submitted(tag).total()) == (3, BOUGHT + 1)
    del first.more["WAVESPEED_API_KEY"]  # reading the ledger needs none
    rows = {(row["shot_id"], row["take"]): row for row in rows_of(first.home / "first.csv")}
    opening, harbour, bridge, cellar = (
        first.run("ledger", "show", name) for name in ("opening", "harbour", "bridge", "cellar")
    )
    assert opening.code == harbour.code == bridge.code == cellar.code == 0
    assert f"take 1 (row 1 of file://{shots}), {rows['opening', 1]['fingerprint'][:12]}" in opening.stdout
    assert rows["opening", 1]["prediction_id"] in opening.stdout
    assert rows["opening", 1]["run_id"] in opening.stdout
    assert opening.stdout.endswith("in all $2.50\n")
    assert all(rows["harbour", take]["prediction_id"] in harbour.stdout for take in (1, 2))
    assert harbour.stdout.endswith("in all $5.00\n")
    assert bridge.stdout.count("  failed, $2.50, ") == 2
    assert bridge.stdout.endswith("in all $5.00\n")
    assert cellar.stdout.count("  rejected, $0.00, ") == 2
    assert cellar.stdout.endswith("in all $0.00\n")


def test_a_take_is_shown_by_the_start_of_its_fingerprint(*, first: Any, sandbox: Any, tag: str) -> None:
    row = rows_of(first.home / "first.csv")[0]
    for length in (8, 12, 64):
        shown = first.run("ledger", "show", row["fingerprint"][:length], "--json")
        (take,) = shown.json["takes"]
        assert (shown.code, take["fingerprint"]) == (0, row["fingerprint"]), shown.stderr
        (attempt,) = take["attempts"]
        reported = (attempt["state"], attempt["quoted_usd"], attempt["prediction_id"], attempt["run_id"])
        assert reported == ("completed", 2.5, row["prediction_id"], row["run_id"])
    assert sandbox.submitted(tag).total() == BOUGHT


def test_a_name_that_the_ledger_does_not_know_is_an_error(*, first: Any, sandbox: Any, tag: str) -> None:
    start = rows_of(first.home / "first.csv")[0]["fingerprint"]
    for unknown in ("no-such-shot", start[:7], "0" * 12, "%%%%%%%%", "________", ""):
        refused = first.run("ledger", "show", unknown)
        assert (refused.code, refused.stdout) == (2, ""), refused.stdout
        assert "the ledger knows no shot of that name" in refused.stderr
    assert sandbox.submitted(tag).total() == BOUGHT


def test_where_there_is_no_ledger_no_shot_can_be_shown(shell: Any) -> None:
    refused = shell.run("ledger", "show", "opening")
    assert (refused.code, f"ledger {shell.ledger}: there is none yet" in refused.stderr) == (2, True)
    assert not shell.ledger.exists()


def test_a_shot_of_two_manifests_is_asked_back(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    manifests = [
        manifest({"shot_id": "opening", "prompt": f"{name} {tag}"}, name=f"{name}.csv") for name in ("storm", "calm")
    ]
    for path in manifests:
        assert shell.run("run", str(path), "--results", f"out-{path.name}").code == 0
    refused = shell.run("ledger", "show", "opening")
    assert refused.code == 2
    assert "opening: 2 manifests have a shot of that name; say which with --manifest" in refused.stderr
    assert all(str(path) in refused.stderr for path in manifests)
    for path in manifests:
        (row,) = rows_of(shell.home / f"out-{path.name}")
        for spelling in (str(path), f"../{path.name}", f"file://{path}"):
            shown = shell.run("ledger", "show", "opening", "--manifest", spelling)
            assert (shown.code, row["prediction_id"] in shown.stdout) == (0, True), shown.stderr
            assert shown.stdout.endswith("in all $2.50\n")
    wrong = shell.run("ledger", "show", "opening", "--manifest", "other.csv")
    assert (wrong.code, "--manifest: " in wrong.stderr) == (2, True)
    assert sandbox.submitted(tag).total() == 2


def test_a_shot_shows_what_it_asked_for_before_too(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    for words in ("slow", "fast", "slow"):
        shots = manifest({"shot_id": "opening", "prompt": f"{words} {tag}"})
        assert shell.run("run", str(shots), "--results", f"{words}.csv").code == 0
    shown = shell.run("ledger", "show", "opening", "--json")
    assert [len(take["attempts"]) for take in shown.json["takes"]] == [1, 1]
    assert sandbox.submitted(tag).total() == 2
    assert shell.run("ledger", "show", "opening").stdout.endswith("in all $5.00\n")


# A ledger that is restored from a backup


STEPS = ("animatic ledger import RESULTS", "animatic reconcile", "animatic ledger accept")


@pytest.fixture
def restored(shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str) -> Any:
    """A shell whose ledger is that of a backup, and the manifest of which two takes were bought since."""
    shell = shell_with_server
    rows = [{"shot_id": f"shot-{number}", "prompt": f"push in {number} {tag}"} for number in range(1, 5)]
    assert shell.run("run", str(manifest(*rows[:2])), "--results", "out.csv").code == 0
    shutil.copy(shell.ledger, shell.home / "backup.sqlite")
    shots = manifest(*rows)
    assert shell.run("run", str(shots), "--results", "out.csv").code == 0
    shutil.copy(shell.home / "backup.sqlite", shell.ledger)
    yield shell, str(shots)
    assert sandbox.submitted(tag) == {row["prompt"]: 1 for row in rows}


def require_refused(shell: Any, shots: str) -> None:
    """Commands that could buy, or would show a wrong plan, name the three steps."""
    run = ("run", shots, "--results")
    elsewhere = ("results", shots, "--results", "elsewhere.csv")
    for command in ((*run, "out.csv"), (*run, "other.csv", "--new-ledger"), ("plan", shots), elsewhere):
        refused = shell.run(*command)
        assert refused.code == 2, f"{command}: {refused.stdout}{refused.stderr}"
        assert "was restored from a backup" in refused.stderr
        assert all(step in refused.stderr for step in STEPS)
    assert not (shell.home / "other.csv").exists()
    assert not (shell.home / "elsewhere.csv").exists()


def mend(shell: Any, shots: str) -> None:
    """The three steps, then a run that has nothing to buy."""
    imported = shell.run("ledger", "import", "out.csv", "--json")
    assert (imported.code, imported.json["counts"]) == (0, {"known already": 2, "taken over": 2}), imported.stderr
    reconciled = shell.run("reconcile")
    assert reconciled.code == 0, reconciled.stderr
    accepted = shell.run("ledger", "accept")
    assert (accepted.code, "declared complete" in accepted.stderr) == (0, True), accepted.stderr
    ended = shell.run("run", shots, "--results", "other.csv", "--json")
    assert (ended.code, ended.json["submitted"], ended.json["cached"]) == (0, 0, 4), ended.stderr


def test_a_restored_ledger_is_refused_until_it_is_mended(restored: Any) -> None:
    shell, shots = restored
    require_refused(shell, shots)
    assert shell.run("ledger", "show", "shot-1").code == 0
    mend(shell, shots)
    assert "it was complete already" in shell.run("ledger", "accept").stderr


def test_taking_over_and_reconciling_alone_do_not_open_a_restored_ledger(restored: Any) -> None:
    shell, shots = restored
    assert shell.run("ledger", "import", "out.csv").code == 0
    assert shell.run("reconcile").code == 0
    require_refused(shell, shots)


def test_files_of_sqlite_beside_a_restored_ledger_hide_nothing(restored: Any) -> None:
    shell, shots = restored
    journal, wal = ("-journal", b"not SQLite's " * 999), ("-wal", bytes(4_096))
    for suffix, content in (("-journal", b""), journal, wal, ("-shm", b"")):
        beside = Path(f"{shell.ledger}{suffix}")
        beside.write_bytes(content)
        refused = shell.run("run", shots, "--results", "other.csv")
        assert (refused.code, "was restored from a backup" in refused.stderr) == (2, True), refused.stderr
        beside.unlink(missing_ok=True)


def test_a_second_restoration_of_a_mended_ledger_is_noticed(restored: Any) -> None:
    shell, shots = restored
    mend(shell, shots)
    (shell.home / "other.csv").unlink()
    shutil.copy(shell.home / "backup.sqlite", shell.ledger)
    require_refused(shell, shots)


def test_a_backup_from_before_a_table_was_taken_over_is_noticed(
    *, first: Any, shots: Path, manifest: Callable[..., Path], sandbox: Any, tools: Any, tag: str
) -> None:
    laptop = another_home(first, tools)
    own = str(manifest({"prompt": f"of the laptop {tag}"}, name="own.csv"))
    assert laptop.run("run", own, "--results", "own.csv", "--yes", "--new-ledger").code == 0
    shutil.copy(laptop.ledger, laptop.home / "backup.sqlite")
    assert laptop.run("ledger", "import", str(first.home / "first.csv")).code == 0
    shutil.copy(laptop.home / "backup.sqlite", laptop.ledger)
    refused = laptop.run("run", str(shots), "--results", "second.csv", "--yes")
    assert (refused.code, sandbox.submitted(tag).total()) == (2, BOUGHT + 1), refused.stderr


def test_a_restored_ledger_without_runs_folder_buys_nothing_twice(restored: Any) -> None:
    shell, shots = restored
    shutil.rmtree(f"{shell.ledger}.runs")
    refused = shell.run("run", shots, "--results", "out.csv")
    assert refused.code == 2, refused.stderr
    assert "out.csv shows 2 takes as bought that the ledger" in refused.stderr


def test_a_ledger_without_runs_folder_notices_the_next_restoration(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    shell = shell_with_server
    rows = [{"prompt": f"push in {number} {tag}"} for number in range(2)]
    assert shell.run("run", str(manifest(rows[0])), "--results", "out.csv").code == 0
    shutil.copy(shell.ledger, shell.home / "backup.sqlite")
    shots = str(manifest(*rows))
    assert shell.run("run", shots, "--results", "out.csv").code == 0
    shutil.rmtree(f"{shell.ledger}.runs")
    ended = shell.run("run", shots, "--results", "out.csv", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 0), ended.stderr
    shutil.copy(shell.home / "backup.sqlite", shell.ledger)
    refused = shell.run("run", shots, "--results", "other.csv")
    assert (refused.code, sandbox.submitted(tag).total()) == (2, 2), refused.stderr


def test_a_ledger_that_is_not_there_cannot_be_accepted(shell: Any) -> None:
    refused = shell.run("ledger", "accept")
    assert (refused.code, "there is none, so there is nothing to accept" in refused.stderr) == (2, True)
    assert not shell.ledger.exists()


def three_hours_earlier(witness: Path) -> None:
    """Let a sandbox that starts again believe that all it accepted was accepted three hours before."""
    lines = [json.loads(line) for line in witness.read_text().splitlines()]
    for line in lines:
        for name in ("accepted_at", "started_at"):
            line[name] = earlier(datetime.fromisoformat(line[name])).isoformat(timespec="milliseconds")
    witness.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def earlier(moment: datetime) -> datetime:
    return moment - timedelta(hours=3)


def older(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the results of a run that began three hours before."""
    run_id = row["run_id"]
    began = earlier(datetime.fromisoformat(run_id[:16]))
    moments = {name: row[name] and earlier(row[name]) for name in ("submitted_at", "completed_at", "created_at")}
    return row | moments | {"run_id": f"{began:%Y%m%dT%H%M%SZ}{run_id[16:]}"}


def test_an_unknown_take_of_an_older_table_is_not_declared_absent(
    *, shell_with_server: Any, manifest: Callable[..., Path], serve_sandbox: Any, tools: Any, tag: str
) -> None:
    first, then = shell_with_server, serve_sandbox("--inference-s", "0.1", "--list-delay-s", "600")
    first.more |= {"WAVESPEED_BASE_URL": then.url, "ANIMATIC_SETTLE_S": "0"}
    shots = str(manifest({"prompt": f"known {tag}"}, {"prompt": f"[sandbox:server-error-billed] {tag}"}))
    ended = first.run("run", shots, "--results", "first.csv", "--json")
    assert (ended.code, ended.json["completed"], ended.json["unknown"]) == (4, 1, 1), ended.stderr
    then.process.kill()
    then.process.wait()
    three_hours_earlier(then.folder / "accepted.jsonl")
    rows = [older(row) for row in rows_of(first.home / "first.csv")]
    table = write_rows(first.home / "older.csv", rows, first.home / "first.csv")
    laptop = another_home(first, tools)
    assert laptop.run("ledger", "import", str(table)).code == 0
    two_hours_later = ("--clock-offset-s", "7200", "--inference-s", "0.1", "--port", then.url.rpartition(":")[2])
    now = serve_sandbox(*two_hours_later, folder=then.folder)
    for _ in range(2):  # absence takes two readings; the list's inputs may also show which prediction it is
        assert laptop.run("reconcile").code in {0, 4}
    ended = laptop.run("run", shots, "--results", "second.csv", "--yes")
    assert (ended.code in {0, 4}, now.submitted(tag).total()) == (True, 2), ended.stderr
