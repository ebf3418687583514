"""The short form of `make torture`, for every day: each part once, on few points; it must be able to be red."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from servers import server_of_tests

from animatic.ledger import open_ledger
from animatic.takes.money.budgets import Reserved
from torture import ledgers, lines, machine, matrix, plants, power, quote, replies, syscalls, urls, world
from torture.canary import KEY, search, spellings
from torture.modules import ROOT, find_test, replace_within
from torture.part import Part, parts_of
from torture.virtual import VirtualLoop

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed; make torture installs it"
)

SHORT: dict[str, Callable[[], Part]] = {
    "lines": lambda: lines.run(limit=30),
    "simulation": lambda: world.run(range(7_000, 7_040)),
    "machine": lambda: machine.run(examples=8, steps=8),
    "replies": lambda: replies.run(500),
    "urls": urls.run,
}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test a home, which parts move below their own folders."""
    monkeypatch.setenv("ANIMATIC_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("name", SHORT)
def test_a_part_is_green(name: str) -> None:
    part = SHORT[name]()
    assert part.is_green, part.problems


@pytest.mark.services
@needs_strace
@pytest.mark.parametrize("part", [lambda: power.run(24), lambda: syscalls.run(6)], ids=["power", "syscalls"])
def test_a_part_that_needs_strace_is_green(part: Callable[[], Part]) -> None:
    found = part()
    assert found.is_green, found.problems


STATED_ELSEWHERE = {
    "files beside the manifest that Python or Prefect would read": (
        "flows/test_hostile_folder.py",
        "test_nothing_of_a_hostile_folder_is_executed",
    ),
    "its server is killed midway": (
        "flows/test_prefect_away.py",
        "test_an_embedded_server_that_is_lost_midway_changes_one_sentence",
    ),
    "its server is stopped midway": (
        "flows/test_prefect_away.py",
        "test_an_embedded_server_that_is_lost_midway_changes_one_sentence",
    ),
    "the run is cancelled in Prefect midway": (
        "flows/test_stop_from_prefect.py",
        "test_a_stop_in_prefect_ends_buying_within_five_seconds",
    ),
    "a proxy for everything, and no exception for loopback": (
        "flows/test_embedded_processes.py",
        "test_a_run_on_loopback_connects_to_no_proxy",
    ),
    "few open files": ("flows/test_file_limits.py", "test_a_run_with_few_open_files_buys_and_reports_everything"),
    "the terminal is closed, and closed again": (
        "flows/test_signals.py",
        "test_a_hangup_is_a_wish_to_end_and_further_ones_change_nothing",
    ),
    "a second Ctrl-C while a reply hangs": (
        "flows/test_signals.py",
        "test_a_second_wish_later_skips_the_wait_for_replies_and_loses_nothing",
    ),
    "the reader of its output is gone": (
        "flows/test_signals.py",
        "test_a_run_goes_on_to_its_end_when_its_reader_is_gone",
    ),
    "two runs share the embedded sandbox, and the first ends first": (
        "flows/test_shared_sandbox.py",
        "test_a_run_that_outlives_the_one_that_started_its_sandbox_keeps_it",
    ),
    "results that are the manifest, or a person's own file": (
        "flows/test_results_place.py",
        "test_a_file_that_is_no_results_table_is_refused",
    ),
    "columns that people added to the results": (
        "flows/test_results_place.py",
        "test_peoples_columns_survive_a_run_and_losses_are_named",
    ),
    "stills larger together than memory should be": (
        "flows/test_still_memory.py",
        "test_large_stills_need_no_more_memory_than_small_ones",
    ),
}
"""Rows that start whole commands, and a test of every day with the same rule. `make torture` plays these too."""


@pytest.mark.parametrize("name", [name for name in matrix.cases_on("sqlite") if name not in STATED_ELSEWHERE])
def test_a_row_of_the_fault_matrix(name: str) -> None:
    part = matrix.run_case(name)
    assert part.is_green, part.problems


@pytest.fixture
def on_postgresql(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the ledger of a part in a database of its own, on the server that tests use."""
    server = f"{server_of_tests()}?sslmode=disable"
    monkeypatch.setenv(ledgers.BACKEND, "postgresql")
    monkeypatch.setenv(ledgers.SERVER, server)
    monkeypatch.delenv(ledgers.DIRECT, raising=False)
    ledgers.take_database_of_own()
    yield
    with psycopg.connect(server, autocommit=True) as db:  # its own, and those of its children
        mine = f"^torture_({os.getppid()}_)?{os.getpid()}_"
        for (name,) in db.execute("SELECT datname FROM pg_database WHERE datname ~ %s", (mine,)).fetchall():
            db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.services
@pytest.mark.usefixtures("on_postgresql")
@pytest.mark.parametrize("name", ["the reply to each second COMMIT is lost", "the server is killed midway"])
def test_a_row_of_the_fault_matrix_on_postgresql(name: str) -> None:
    part = matrix.run_case(name)
    assert part.is_green, part.problems


@pytest.mark.services
@pytest.mark.usefixtures("on_postgresql")
def test_simulated_runs_are_green_on_postgresql() -> None:
    part = world.run(range(7_000, 7_006), processes=1)
    assert part.is_green, part.problems


@pytest.mark.parametrize("row", STATED_ELSEWHERE)
def test_a_row_that_is_left_out_here_is_stated_by_a_test(row: str) -> None:
    file, name = STATED_ELSEWHERE[row]
    assert row in matrix.CASES
    assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text()


@pytest.mark.parametrize("change", ["charged", "quoted", "reserved", "told"])
def test_money_that_does_not_add_up_is_red(tmp_path: Path, change: str) -> None:
    """The count after each run of each row: ledger against witness, attempts against runs, the run against both."""
    setup = matrix.Setup(tmp_path)

    async def scene() -> None:
        async with setup.sandbox():
            ran = await setup.run(setup.takes("one", "two"))
            witness = tmp_path / "sandbox" / "accepted.jsonl"
            if change == "charged":
                witness.write_text(witness.read_text() + witness.read_text().splitlines(keepends=True)[0])
            with open_ledger(setup.ledger.url) as opened:
                if change == "told":
                    ran.progress.reserved = Reserved(1, 0)
                    await setup.require_the_tally_to_be_the_ledgers(opened, ran)
                table = {"quoted": "attempt SET quoted_microusd", "reserved": "run SET committed_microusd"}.get(change)
                if table is not None:
                    await opened.transactions.do(0.0, lambda db: db.exec_driver_sql(f"UPDATE {table} = 1"))
                await opened.transactions.do(0.0, setup.require_sound_money)

    with pytest.raises(AssertionError):
        asyncio.run(scene())


def test_what_is_due_while_time_passes_happens_when_it_is_due() -> None:
    takes, moments = machine.Takes(), list[float]()
    takes.loop = VirtualLoop()
    began = takes.loop.time()
    takes.loop.call_later(50.0, lambda: moments.append(takes.loop.time() - began))
    takes.time_passes(seconds=1_200.0)
    assert (moments, takes.loop.time() - began) == ([50.0], 1_200.0)
    takes.loop.close()


def test_the_documentation_quotes_the_report_and_the_matrix() -> None:
    for page in quote.PAGES:
        text = page.read_text()
        assert "<!-- quoted: counts -->" in text
        assert quote.quoted(text) == text, f"{page.name}: run `PYTHONPATH=tests python -m torture.quote`"
    assert len(matrix.CASES) >= 100


def test_the_report_is_green_and_as_large_as_the_proof_should_be() -> None:
    report = json.loads(quote.REPORT.read_text())
    parts = {part.name: part for part in parts_of(report)}
    assert report["is_green"]
    assert all(part.is_green for part in parts.values())
    assert parts["simulated runs, virtual time"].points >= 2_000
    assert parts["mutated replies"].points >= 5_000
    assert parts["power loss"].points >= 500
    assert parts["kill -9 of the whole command, with Prefect"].points >= 20
    assert parts["hostile URLs and paths"].points >= 60
    assert parts["planted bugs"].details["caught"] == len(plants.plants_on("sqlite"))


def test_there_are_planted_bugs_enough_and_each_has_its_text() -> None:
    assert len(plants.PLANTS) >= 60
    for plant in plants.PLANTS:
        for key, old, new in plant.edits:
            compile(replace_within(key, old, new)[1], key, "exec")
        if plant.check.startswith("pytest "):
            find_test(plant.check.split()[1])


def test_a_planted_bug_follows_its_function_into_another_folder(tmp_path: Path) -> None:
    source = "LIMIT = 1\n\n\nclass Buyer:\n    @property\n    def limit(self) -> int:\n        return LIMIT\n"
    room = tmp_path / "animatic/buying"
    room.mkdir(parents=True)
    (room / "buyer.py").write_text(source)
    path, text = replace_within("buyer:Buyer.limit", "LIMIT", "2", tmp_path)
    assert (path, text) == (room / "buyer.py", source.replace("return LIMIT", "return 2"))
    assert replace_within("buyer:LIMIT", "1", "2", tmp_path)[1] == source.replace("= 1", "= 2")
    for key, found in (
        ("buyer:Buyer", "2 times"),
        ("buyer:sell", "sell is there 0 times"),
        ("seller:sell", "0 modules"),
    ):
        with pytest.raises(LookupError, match=found):
            replace_within(key, "er", "x", tmp_path)


def test_a_planted_bug_is_caught() -> None:
    name, is_caught, seen = plants.try_plant(
        next(each for each in plants.PLANTS if each.name == "sent again after a 5xx")
    )
    assert is_caught, (name, seen)


def test_a_part_in_which_nothing_fired_or_something_is_wrong_is_red() -> None:
    assert Part("x", points=1, faults_fired=1).is_green
    assert not Part("x", points=1).is_green
    assert not Part("x", faults_fired=1).is_green
    for name in ("duplicates", "lost", "unreported"):
        assert not Part("x", points=1, faults_fired=1, **{name: 1}).is_green
    assert not Part("x", points=1, faults_fired=1, problems=["!"]).is_green


@pytest.mark.parametrize("spelled", spellings(KEY))
def test_the_canary_is_found_however_it_is_spelled(tmp_path: Path, spelled: bytes) -> None:
    (tmp_path / "clean").write_bytes(b"nothing here")
    (tmp_path / "dirty").write_bytes(b"some " + spelled + b" more")
    part = Part("x")
    assert search(tmp_path, part) > 0
    assert part.problems == ["the key is in dirty"]
