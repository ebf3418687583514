"""A new ledger knows of nothing that was bought: a run says so, reads the list, and begins none unattended."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lying import Answer, altered, lying

from animatic.sandbox.witness import read_witness

Rows = list[dict[str, str]]
IS_NEW = "(new: it holds no take of this provider)"


@pytest.fixture
def unattended(shell_with_server: Any) -> Any:
    """A new home in which nothing is agreed to unless a test says it."""
    shell_with_server.says_yes = False
    return shell_with_server


def rows(tag: str, count: int) -> Rows:
    return [{"prompt": f"push in {number} {tag}", "shot_id": f"shot-{number:02}"} for number in range(1, count + 1)]


def today() -> date:
    return datetime.now(UTC).date()


def unwrapped(shown: str) -> str:
    """Return what a terminal shows without the line ends that its width makes."""
    return " ".join(shown.split())


def days_away(days: int) -> str:
    return (today() + timedelta(days=days)).isoformat()


def test_an_unattended_run_begins_no_ledger(unattended: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    shots = str(manifest(*rows(tag, 2)))
    for limit in (("--yes",), ("--max-usd", "100")):
        refused = unattended.here("run", shots, "--results", "out.csv", *limit)
        assert (refused.code, sandbox.submitted(tag).total()) == (2, 0), refused.stderr
        assert f"ledger: {unattended.ledger} {IS_NEW}" in refused.stderr
        assert f"ANIMATIC_LEDGER: the ledger {unattended.ledger} is new" in refused.stderr
        assert "would buy 2 takes, also those that were bought before" in refused.stderr
        assert "Nothing was bought" in refused.stderr
        for way_on in ("animatic ledger import RESULTS", "--new-ledger", f"ANIMATIC_NEW_LEDGER={today()}"):
            assert way_on in refused.stderr
    assert not (unattended.home / "out.csv").exists()


@pytest.mark.parametrize(
    "spelling", ["--new-ledger", "--new-ledger TODAY", "--new-ledger=TODAY", "ANIMATIC_NEW_LEDGER"]
)
def test_a_ledger_is_begun_where_today_is_named(
    unattended: Any, manifest: Any, sandbox: Any, tag: str, spelling: str
) -> None:
    shots = str(manifest(*rows(tag, 1)))
    options = spelling.replace("TODAY", str(today())).split()
    if spelling.startswith("ANIMATIC"):
        options, unattended.more["ANIMATIC_NEW_LEDGER"] = [], str(today())
    ended = unattended.run("run", shots, *options, "--results", "out.csv", "--yes")
    assert (ended.code, sandbox.submitted(tag).total()) == (0, 1), ended.stderr


def test_a_ledger_that_holds_a_take_is_not_new(unattended: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    command = ("--results", "out.csv", "--yes", "--json")
    began = unattended.run("run", str(manifest(*rows(tag, 1))), *command, "--new-ledger")
    assert began.code == 0, began.stderr
    more = unattended.run("run", str(manifest(*rows(tag, 2))), *command)
    assert (more.code, more.json["submitted"], sandbox.submitted(tag).total()) == (0, 1, 2), more.stderr
    assert f"ledger: {unattended.ledger}\n" in more.stderr
    assert "new: it holds no take" not in more.stderr


def test_a_ledger_of_another_provider_is_new(
    *, unattended: Any, manifest: Any, sandbox: Any, serve_sandbox: Any, tag: str
) -> None:
    shots, other = str(manifest(*rows(tag, 1))), serve_sandbox("--inference-s", "0.1")
    assert unattended.run("run", shots, "--results", "one.csv", "--yes", "--new-ledger").code == 0
    unattended.more["WAVESPEED_BASE_URL"] = other.url
    refused = unattended.here("run", shots, "--results", "other.csv", "--yes")
    assert (refused.code, sandbox.submitted(tag).total(), other.submitted(tag).total()) == (2, 1, 0)
    assert f"it holds no take of {other.url}" in refused.stderr


def test_the_permission_holds_for_today_only(unattended: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    command = ("run", str(manifest(*rows(tag, 1))), "--results", "out.csv", "--yes")
    for other_day in (days_away(-2), days_away(2)):  # two, for midnight may pass
        typed = unattended.here(*command, "--new-ledger", other_day)
        assert typed.code == 2
        assert f'--new-ledger: found "{other_day}"; allowed: nothing, or the UTC date of today' in typed.stderr
        unattended.more["ANIMATIC_NEW_LEDGER"] = other_day
        exported = unattended.here(*command)
        assert exported.code == 2
        assert f"(ANIMATIC_NEW_LEDGER says {other_day})" in exported.stderr
        del unattended.more["ANIMATIC_NEW_LEDGER"]
    assert sandbox.submitted(tag).total() == 0


def test_a_date_that_is_none_is_named(unattended: Any, manifest: Any, sandbox: Any, tag: str) -> None:
    command = ("run", str(manifest(*rows(tag, 1))), "--results", "out.csv", "--yes")
    for nonsense in ("--new-ledger=tomorrow", "--new-ledger=2026-02-30", "--new-ledger="):
        typed = unattended.here(*command, nonsense)
        assert (typed.code, "--new-ledger: found" in typed.stderr) == (2, True), typed.stderr
    stands_alone = unattended.here(*command, "--new-ledger", "tomorrow")
    assert stands_alone.code == 2, stands_alone.stderr
    for nonsense in ("tomorrow", "2026-02-30", "1"):
        unattended.more["ANIMATIC_NEW_LEDGER"] = nonsense
        exported = unattended.here(*command)
        assert exported.code == 2
        assert f'ANIMATIC_NEW_LEDGER: found "{nonsense}"' in exported.stderr
        assert "Traceback" not in exported.stderr
    assert sandbox.submitted(tag).total() == 0


def test_the_embedded_sandbox_needs_no_permission(unattended: Any, manifest: Any, tag: str) -> None:
    shots = str(manifest({"prompt": f"push in {tag}"}))
    ended = unattended.run("run", shots, "--results", "out.csv", "--sandbox", "--json")
    assert (ended.code, ended.json["submitted"]) == (0, 1), ended.stderr
    (witness,) = unattended.home.rglob("accepted.jsonl")
    assert len(read_witness(witness.parent)) == 1


def test_at_a_terminal_a_new_ledger_is_named_before_the_question(
    *, unattended: Any, manifest: Any, sandbox: Any, tools: Any, tag: str
) -> None:
    shots = str(manifest(*rows(tag, 2)))
    code, shown = tools.at_a_terminal(unattended, [("[y/N]", "n")], "run", shots, "--results", "out.csv")
    before, question, _ = shown.partition("Buy 2 takes for $5.00? [y/N]")
    assert (code, sandbox.submitted(tag).total()) == (2, 0), shown
    assert question
    assert f"ledger: {unattended.ledger} {IS_NEW}" in unwrapped(before)
    code, shown = tools.at_a_terminal(unattended, [("[y/N]", "y")], "run", shots, "--results", "out.csv")
    assert (code, sandbox.submitted(tag).total()) == (0, 2), shown


@pytest.fixture
def made(unattended: Any, manifest: Any, sandbox: Any, tag: str) -> str:
    """A manifest of twelve takes that the account has made, bought on the first laptop."""
    shots = str(manifest(*rows(tag, 12)))
    ended = unattended.run("run", shots, "--results", "first.csv", "--yes", "--new-ledger")
    assert (ended.code, sandbox.submitted(tag).total()) == (0, 12), ended.stderr
    return shots


def test_a_second_laptop_is_shown_the_takes_that_the_account_has_made(
    *, unattended: Any, made: str, sandbox: Any, tools: Any, tag: str
) -> None:
    laptop = unattended.another()
    said = "12 takes of this plan were made already: shot-01 take 1, shot-02 take 1, "
    refused = laptop.here("run", made, "--results", "second.csv", "--yes")
    assert (refused.code, said in refused.stderr) == (2, True), refused.stderr
    assert "animatic ledger import RESULTS" in refused.stderr
    assert said in laptop.run("plan", made).stdout
    code, shown = tools.at_a_terminal(laptop, [("[y/N]", "n")], "run", made, "--results", "second.csv")
    before, question, _ = shown.partition("Buy 12 takes for $30.00? [y/N]")
    assert (code, bool(question), said in unwrapped(before)) == (2, True, True), shown
    assert "shot-12 take 1" in unwrapped(before)
    assert sandbox.submitted(tag).total() == 12


def test_takes_the_account_has_made_are_named_before_buying(
    *, unattended: Any, made: str, sandbox: Any, tools: Any, tag: str
) -> None:
    laptop, seen_first = unattended.another(), list[str]()

    def watched(path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
        if path.endswith("/veo2-i2v"):
            seen_first.append("submission")
        elif path.endswith("/predictions"):
            seen_first.append("list")
        return ask()

    with lying(sandbox.url, watched) as liar:
        laptop.more["WAVESPEED_BASE_URL"] = liar.url
        ended = laptop.run("run", made, "--results", "second.csv", "--yes", "--new-ledger")
    assert (ended.code, sandbox.submitted(tag).total()) == (0, 24), "it was agreed to"
    assert "12 takes of this plan were made already" in ended.stderr
    assert seen_first[0] == "list"


def test_only_takes_of_this_plan_are_named(
    *, unattended: Any, made: str, manifest: Any, sandbox: Any, tools: Any, tag: str
) -> None:
    laptop = unattended.another()
    new = {"prompt": f"never made {tag}", "shot_id": "new"}
    twice = {"prompt": f"push in 1 {tag}", "shot_id": "twice", "takes": "2"}
    mixed = str(manifest(new, twice, name="mixed.csv"))
    shown = laptop.run("plan", mixed).stdout
    assert "1 takes of this plan were made already: twice take 1. " in shown, shown
    other = str(manifest(new, name="new.csv"))
    assert "; none of them is of this plan" in laptop.run("plan", other).stdout
    assert sandbox.submitted(tag).total() == 12


def without_inputs(path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
    """The API as it is documented: neither the list nor a result shows what was asked for."""
    if "/predictions" not in path:
        return ask()

    def stripped(data: Any) -> Any:
        for each in [data, *data.get("items", [])]:
            for name in ("input", "inputs"):
                each.pop(name, None)
        return data

    return altered(ask(), stripped)


def test_where_inputs_are_not_echoed_the_number_of_predictions_is_named(
    *, unattended: Any, manifest: Any, serve_sandbox: Any, tools: Any, tag: str
) -> None:
    own, shots = serve_sandbox("--inference-s", "0.1"), str(manifest(*rows(tag, 12)))
    said = "this account made 12 predictions of these models in the last 7 days; the list does not say of what"
    with lying(own.url, without_inputs) as liar:
        unattended.more["WAVESPEED_BASE_URL"] = liar.url
        began = unattended.run("run", shots, "--results", "first.csv", "--yes", "--new-ledger")
        assert (began.code, own.submitted(tag).total()) == (0, 12), began.stderr
        assert "this account made" not in began.stderr
        laptop = unattended.another()
        refused = laptop.here("run", shots, "--results", "second.csv", "--yes")
        assert (refused.code, said in refused.stderr) == (2, True), refused.stderr
        code, shown = tools.at_a_terminal(laptop, [("[y/N]", "n")], "run", shots, "--results", "second.csv")
        assert (code, said in unwrapped(shown.partition("[y/N]")[0])) == (2, True), shown
    assert own.submitted(tag).total() == 12


def test_a_list_that_cannot_be_read_is_named_before_the_question(
    *, unattended: Any, manifest: Any, sandbox: Any, tools: Any, tag: str
) -> None:
    def no_list(path: str, _: Any, ask: Callable[[], Answer]) -> Answer:
        return (404, b'{"message": "no such path"}') if path.endswith("/predictions") else ask()

    shots = str(manifest(*rows(tag, 1)))
    with lying(sandbox.url, no_list) as liar:
        unattended.more["WAVESPEED_BASE_URL"] = liar.url
        code, shown = tools.at_a_terminal(unattended, [("[y/N]", "n")], "run", shots, "--results", "out.csv")
    assert (code, sandbox.submitted(tag).total()) == (2, 0), shown
    assert "the account's list of predictions cannot be read" in shown.partition("[y/N]")[0]


def test_a_nightly_job_with_an_empty_home_buys_nothing_twice(
    *, unattended: Any, made: str, sandbox: Any, tools: Any, tag: str
) -> None:
    results = unattended.home.parent / "results"
    results.mkdir()
    for night in (1, 2):
        container = unattended.another(f"container-{night}")
        dated = results / f"{days_away(night)}.parquet"
        ended = container.here("run", made, "--results", str(dated), "--max-usd", "1000")
        assert (ended.code, dated.exists()) == (2, False), ended.stderr
        assert "12 takes of this plan were made already" in ended.stderr
    assert sandbox.submitted(tag).total() == 12


@pytest.mark.parametrize("folder", ["here", "there"])
def test_a_relative_ledger_is_refused_and_the_absolute_one_named(
    *, unattended: Any, manifest: Any, sandbox: Any, tools: Any, tag: str, folder: str
) -> None:
    shots, shell = str(manifest(*rows(tag, 1))), unattended.another(folder)
    for relative in ("data/ledger.sqlite", "./data/ledger.sqlite"):
        shell.more["ANIMATIC_LEDGER"] = f"sqlite:///{relative}"
        for command in (
            ("run", shots, "--results", "out.csv", "--yes", "--new-ledger"),
            ("plan", shots),
            ("reconcile",),
        ):
            refused = shell.here(*command)
            assert refused.code == 2, refused.stderr
            assert f"sqlite:///{shell.home}/data/ledger.sqlite" in refused.stderr
    assert not (shell.home / "data").exists()
    assert sandbox.submitted(tag).total() == 0


def test_the_absolute_ledger_is_one_ledger_from_every_folder(
    *, unattended: Any, manifest: Any, sandbox: Any, tools: Any, tag: str, tmp_path: Path
) -> None:
    shots = str(manifest(*rows(tag, 1)))
    for folder, submitted in (("here", 1), ("there", 0)):
        shell = unattended.another(folder)
        shell.more["ANIMATIC_LEDGER"] = f"sqlite:///{tmp_path}/data/ledger.sqlite"
        ended = shell.run("run", shots, "--results", "out.csv", "--yes", "--new-ledger", "--json")
        assert (ended.code, ended.json["submitted"]) == (0, submitted), ended.stderr
    assert sandbox.submitted(tag).total() == 1
