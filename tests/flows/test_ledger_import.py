"""`animatic ledger import`: what a second laptop takes over from results tables, and what it leaves alone."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from laptops import BOUGHT, STATUSES, STILL, Bought, dump, rows_of, rows_of_every_end, write_rows

from animatic.takes.inputs import Inputs
from animatic.takes.models import INPUT_NAMES
from animatic.takes.shots import digest, verbatim

SUFFIXES = (".csv", ".parquet", ".jsonl")

KEPT = (
    *("shot_id", "take", "status", "prediction_id", "outputs", "has_nsfw_contents", "error_code", "error", "attempts"),
    *("quoted_usd", "created_at", "fingerprint", "run_id"),
)
"""Columns of the results that must survive a move to another ledger."""


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any) -> Bought:
    """The first laptop, where all of them were bought; no test of this module buys more of them."""
    folder = tmp_path_factory.mktemp("first")
    tag = f"<{folder.name}>"
    shots = tools.write_manifest(folder / "shots.csv", rows_of_every_end(folder, tag))
    shell = tools.new_shell(folder / "home", sandbox, prefect_server)
    ended = shell.run("run", str(shots), "--results", "first.csv")
    assert (ended.code, sandbox.submitted(tag).total()) == (3, BOUGHT), ended.stderr
    return Bought(shell, shots, tag)


@pytest.fixture
def first(bought: Bought, sandbox: Any, tmp_path: Path) -> Iterator[Any]:
    """The first laptop for a test alone, which buys none of its takes again."""
    yield bought.shell.copied(tmp_path / "home")
    assert sandbox.submitted(bought.tag).total() == BOUGHT


@pytest.fixture
def shots(bought: Bought) -> Path:
    return bought.shots


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_second_laptop_takes_over_a_table_and_buys_nothing(first: Any, shots: Path, suffix: str) -> None:
    laptop, table = first.another(), first.home / f"table{suffix}"
    assert first.run("results", str(shots), "--results", str(table)).code == 3
    imported = laptop.run("ledger", "import", str(table), "--json")
    assert (imported.code, imported.json) == (0, {"counts": {"taken over": 6}, "conflicts": []}), imported.stderr
    ended = laptop.run("run", str(shots), "--results", f"second{suffix}", "--yes", "--json")
    reported = {name: ended.json[name] for name in ("completed", "failed", "rejected", "submitted", "cached")}
    assert reported == {"completed": 4, "failed": 1, "rejected": 1, "submitted": 0, "cached": 6}, ended.stderr
    assert (ended.code, ended.json["cost_usd"], ended.json["manifest_cost_usd"]) == (3, 0.0, 12.5)
    before, after = rows_of(table), rows_of(laptop.home / f"second{suffix}")
    assert [row["status"] for row in after] == STATUSES
    for was, now in zip(before, after, strict=True):
        assert {name: now[name] for name in KEPT} == {name: was[name] for name in KEPT}
    again = laptop.run("ledger", "import", str(table), "--json")
    assert (again.code, again.json["counts"]) == (0, {"known already": 6})


def test_a_moment_that_a_table_does_not_have_is_not_made_up(first: Any, shots: Path) -> None:
    laptop, table = first.another(), first.home / "first.csv"
    assert laptop.run("ledger", "import", str(table)).code == 0
    assert laptop.run("results", str(shots), "--results", "second.csv").code == 3
    moments = ("submitted_at", "completed_at", "created_at")
    for was, now in zip(rows_of(table), rows_of(laptop.home / "second.csv"), strict=True):
        assert {name: now[name] for name in moments} == {name: was[name] for name in moments}, was["status"]


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


def test_a_file_that_is_no_results_table_changes_nothing(first: Any, tmp_path: Path) -> None:
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


def test_cells_that_no_run_writes_change_nothing(first: Any, shots: Path, tmp_path: Path) -> None:
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
    laptop = first.another()
    path = write_rows(tmp_path / "odd.csv", [opening | change for change in odd], table)
    ended = laptop.run("ledger", "import", str(path))
    assert ended.code in {0, 2}, ended.stderr
    assert "Traceback" not in ended.stderr
    refused = laptop.here("run", str(shots), "--results", "out.csv", "--yes")
    assert (refused.code, "is new" in refused.stderr) == (2, True), refused.stderr


def test_a_table_of_another_provider_leaves_a_ledger_new(first: Any, shots: Path, serve_sandbox: Any) -> None:
    other, laptop = serve_sandbox("--inference-s", "0.1"), first.another()
    laptop.more["WAVESPEED_BASE_URL"] = other.url
    imported = laptop.run("ledger", "import", str(first.home / "first.csv"), "--json")
    refused = laptop.here("run", str(shots), "--results", "second.csv", "--yes")
    assert (refused.code, len(other.witness)) == (2, 0), refused.stderr
    assert "is new: it holds no take of" in refused.stderr
    assert imported.json["counts"] == {"of another provider": 6}


def test_a_prediction_that_another_take_has_is_named_and_left_alone(first: Any, shots: Path, tmp_path: Path) -> None:
    table = first.home / "first.csv"
    edited = {"fingerprint": "0" * 64, "still_uri": None}  # no still there, so nothing tells that it was edited
    rows = [row | edited if row["shot_id"] == "tower" else row for row in rows_of(table)]
    contradicting = write_rows(tmp_path / "contradicting.csv", rows, table)
    tower = rows[-1]["prediction_id"]
    ended = first.run("ledger", "import", str(contradicting), "--json")
    assert (ended.code, len(ended.json["conflicts"])) == (4, 1), ended.stderr
    assert f"its prediction {tower} belongs to take {rows_of(table)[-1]['fingerprint'][:12]}" in ended.stderr
    again = first.run("run", str(shots), "--results", "first.csv", "--json")
    assert (again.code, again.json["submitted"]) == (3, 0)


def test_a_backup_from_before_a_table_was_taken_over_is_noticed(
    *, first: Any, shots: Path, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    laptop = first.another()
    own = str(manifest({"prompt": f"of the laptop {tag}"}, name="own.csv"))
    assert laptop.run("run", own, "--results", "own.csv", "--yes", "--new-ledger").code == 0
    shutil.copy(laptop.ledger, laptop.home / "backup.sqlite")
    assert laptop.run("ledger", "import", str(first.home / "first.csv")).code == 0
    shutil.copy(laptop.home / "backup.sqlite", laptop.ledger)
    refused = laptop.here("run", str(shots), "--results", "second.csv", "--yes")
    assert (refused.code, sandbox.submitted(tag).total()) == (2, 1), refused.stderr


def test_what_failed_elsewhere_is_bought_again_only_where_that_is_asked_for(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    first, failing = shell_with_server, f"orbit [sandbox:fails] {tag}"
    shots = manifest({"prompt": failing}, {"prompt": f"push in {tag}"})
    assert first.run("run", str(shots), "--results", "first.csv").code == 3
    laptop = first.another()
    assert laptop.run("ledger", "import", str(first.home / "first.csv")).code == 0
    command = ("run", str(shots), "--results", "second.csv", "--yes", "--json")
    assert laptop.run(*command).json["submitted"] == 0
    retried = laptop.run(*command, "--retry-failed")
    assert (retried.code, retried.json["submitted"], retried.json["cost_usd"]) == (3, 1, 2.5), retried.stderr
    assert sandbox.submitted(tag) == {failing: 2, f"push in {tag}": 1}


def test_several_tables_are_taken_over_at_once(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    first, names = shell_with_server, ("one.csv", "two.parquet", "three.jsonl")
    manifests = [manifest({"prompt": f"{name} {tag}"}, name=f"{name}.csv") for name in names]
    for shots, name in zip(manifests, names, strict=True):
        assert first.run("run", str(shots), "--results", name).code == 0
    laptop = first.another()
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


def still_names(local: Path) -> list[str]:
    sha256 = hashlib.sha256(local.read_bytes()).hexdigest()
    return ["https://stills.example/a.png", "https://STILLS.example:443/a.png#t=1", f"sha256:{sha256}"]


@pytest.fixture(scope="module")
def of_before(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Any, prefect_server: Any, tools: Any
) -> tuple[Bought, Path]:
    """A manifest whose takes have other fingerprints today, and a table of it from before."""
    folder = tmp_path_factory.mktemp("before")
    tag, still = f"<{folder.name}>", Path(shutil.copy(STILL, folder / "still.jpg"))
    rows = (
        {"prompt": f"two\r\nlines {tag}"},
        {"prompt": f"fragment {tag}", "image": "https://STILLS.example:443/a.png#t=1"},
        {"prompt": f"a blank behind {tag} ", "image": "still.jpg"},
    )
    shots = tools.write_manifest(folder / "shots.csv", rows)
    shell = tools.new_shell(folder / "home", sandbox, prefect_server)
    ended = shell.run("run", str(shots), "--results", "today.csv")
    assert (ended.code, sandbox.submitted(tag).total()) == (0, 3), ended.stderr
    today, stills = shell.home / "today.csv", iter(still_names(still))
    old = [row | {"fingerprint": old_fingerprint(row, sandbox.url, next(stills))} for row in rows_of(today)]
    assert all(row["fingerprint"] != now["fingerprint"] for row, now in zip(old, rows_of(today), strict=True))
    return Bought(shell, shots, tag), write_rows(folder / "before.csv", old, today)


def test_a_table_with_fingerprints_of_before_is_taken_over(of_before: tuple[Bought, Path], sandbox: Any) -> None:
    (bought, table), laptop = of_before, of_before[0].shell.another()
    imported = laptop.run("ledger", "import", str(table), "--json")
    assert (imported.code, imported.json["counts"]) == (0, {"taken over": 3}), imported.stderr
    for name in ("second.csv", "third.csv"):
        ended = laptop.run("run", str(bought.shots), "--results", name, "--yes", "--json")
        assert (ended.code, ended.json["submitted"], ended.json["cached"]) == (0, 0, 3), ended.stderr
    assert sandbox.submitted(bought.tag).total() == 3
    for row in rows_of(table):
        shown = laptop.run("ledger", "show", row["fingerprint"][:12])
        assert (shown.code, row["prediction_id"] in shown.stdout) == (0, True), shown.stderr


def test_an_older_table_is_recognised_by_the_lost_ledger_guard(of_before: tuple[Bought, Path], sandbox: Any) -> None:
    bought, table = of_before
    laptop = bought.shell.another("guarded")
    shutil.copy(table, laptop.home / "out.csv")
    refused = laptop.run("run", str(bought.shots), "--results", "out.csv", "--yes", "--new-ledger")
    assert (refused.code, sandbox.submitted(bought.tag).total()) == (2, 3), refused.stderr
    assert "out.csv shows 3 takes as bought that the ledger" in refused.stderr
    assert "animatic ledger import out.csv" in refused.stderr
    assert (laptop.home / "out.csv").read_bytes() == table.read_bytes()


def test_an_unknown_take_is_taken_over_as_unknown_and_not_bought(
    *, shell_with_server: Any, manifest: Callable[..., Path], sandbox: Any, tag: str
) -> None:
    first = shell_with_server
    shots = str(manifest({"prompt": f"[sandbox:server-error] {tag}"}))
    assert first.run("run", shots, "--results", "first.csv").code == 4
    laptop = first.another()
    assert laptop.run("ledger", "import", str(first.home / "first.csv")).code == 0
    ended = laptop.run("run", shots, "--results", "second.csv", "--yes", "--json")
    assert (ended.code, ended.json["unknown"], ended.json["submitted"]) == (4, 1, 0), ended.stderr
    assert sandbox.submitted(tag).total() == 0
    assert laptop.run("reconcile").code == 4


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
    *, shell_with_server: Any, manifest: Callable[..., Path], serve_sandbox: Any, tag: str
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
    laptop = first.another()
    assert laptop.run("ledger", "import", str(table)).code == 0
    two_hours_later = ("--clock-offset-s", "7200", "--inference-s", "0.1", "--port", then.url.rpartition(":")[2])
    now = serve_sandbox(*two_hours_later, folder=then.folder)
    for _ in range(2):  # absence takes two readings; the list's inputs may also show which prediction it is
        assert laptop.run("reconcile").code in {0, 4}
    ended = laptop.run("run", shots, "--results", "second.csv", "--yes")
    assert (ended.code in {0, 4}, now.submitted(tag).total()) == (True, 2), ended.stderr
