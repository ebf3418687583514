"""The doctor: what it finds of a key, an API, a ledger and Prefect, and the one take that it buys when told to."""

import os
from pathlib import Path
from typing import Any

import pytest
from recorded import differences, read_recordings, replayed

from animatic.results.reading import decode
from animatic.wavespeed.recordings import Recording
from flows.command.doctor.account import clock_finding
from flows.command.doctor.findings import FindingLevel, fault, note, ok, summary_line

KEY = "canary-key-0f1e2d3c"


def findings(ended: Any) -> dict[str, tuple[str, str]]:
    """Level and text of each finding, by its subject; the worst where there are several."""
    order = ["ok", "note", "fault"]
    found: dict[str, tuple[str, str]] = {}
    for each in ended.json["findings"]:
        known = found.get(each["subject"], ("ok", ""))
        if order.index(each["verdict"]) >= order.index(known[0]):
            found[each["subject"]] = (each["verdict"], each["text"])
    return found


def test_all_is_well_where_key_api_and_prefect_answer(shell_with_server: Any) -> None:
    shell_with_server.more["ANIMATIC_STARTS_PER_MINUTE"] = "100"
    ended = shell_with_server.run("doctor")
    assert ended.code == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-1].startswith("nothing is in the way of a run")
    subjects = {line[6:18].strip(): line[:6].strip() for line in lines[:-1]}
    assert subjects["key"] == subjects["API"] == subjects["balance"] == subjects["prices"] == "ok"
    assert subjects["ledger"] == "note"
    assert "ANIMATIC_STARTS_PER_MINUTE" in ended.stdout
    assert KEY not in ended.stdout + ended.stderr


def test_a_wrong_key_is_a_fault_with_the_apis_words(shell: Any) -> None:
    shell.more["WAVESPEED_API_KEY"] = "wrong"
    ended = shell.run("doctor", "--json")
    found = findings(ended)
    assert ended.code == ended.json["exit_code"] == 2
    assert found["API"][0] == "fault"
    assert "401" in found["API"][1]
    assert "balance" not in found
    assert found["Prefect"][0] == "fault"
    assert "PREFECT_API_URL" in found["Prefect"][1]


def test_without_a_key_the_api_is_still_reached(shell_with_server: Any) -> None:
    del shell_with_server.more["WAVESPEED_API_KEY"]
    found = findings(shell_with_server.run("doctor", "--json"))
    assert found["key"] == ("fault", found["key"][1])
    assert "not set" in found["key"][1]
    assert found["API"][0] == "ok"
    assert found["clock"][0] == "ok"


def test_settings_that_cannot_be_used_are_each_a_fault(shell: Any) -> None:
    shell.more |= {"ANIMATIC_ACOUNT_LEVEL": "gold", "ANIMATIC_POLL_FLOOR_S": "never"}
    ended = shell.run("doctor")
    assert ended.code == 2
    faults = [line for line in ended.stdout.splitlines() if line.startswith("fault")]
    assert ["ANIMATIC_ACCOUNT_LEVEL" in line for line in faults] == [True, False]
    assert "ANIMATIC_POLL_FLOOR_S" in faults[1]


def test_a_damaged_ledger_and_a_dead_api_are_faults(shell: Any) -> None:
    shell.ledger.parent.mkdir(parents=True)
    shell.ledger.write_bytes(b"no database" * 100)
    shell.more["WAVESPEED_BASE_URL"] = "http://127.0.0.1:9"
    ended = shell.run("doctor", "--json")
    found = findings(ended)
    assert ended.code == 2
    assert found["ledger"][0] == found["API"][0] == "fault"


@pytest.mark.parametrize("options", [("--buy-one",), ("--max-usd", "5")])
def test_a_take_is_bought_only_with_a_limit(shell: Any, options: tuple[str, ...]) -> None:
    ended = shell.run("doctor", *options)
    assert ended.code == 2
    assert "--max-usd" in ended.stderr


@pytest.fixture(scope="module")
def recordings() -> dict[str, list[Recording]]:
    """Recordings that a test of this module has made, by name."""
    return {}


def test_one_take_is_bought_once_and_its_replies_kept(
    shell_with_server: Any, sandbox: Any, recordings: dict[str, list[Recording]]
) -> None:
    shell = shell_with_server
    before = sandbox.submitted("animatic doctor").total()
    ended = shell.run("doctor", "--buy-one", "--max-usd", "5", "--out", "kept", "--json")
    assert ended.code == 0, ended.stderr
    found = findings(ended)
    assert sandbox.submitted("animatic doctor").total() == before + 1
    for subject in ("result", "flags", "times", "list", "bill", "refusals", "upload", "output", "recordings"):
        assert found[subject][0] == "ok", found[subject]
    assert "echoes its inputs" in found["list"][1]
    assert "the same bytes" in found["upload"][1]
    kept = shell.home / "kept"
    table = decode((kept / "one-take.parquet").read_bytes(), "one-take.parquet")
    assert table["status"].to_pylist() == ["completed"]
    recordings["sandbox"] = read_recordings(kept / "recordings")
    assert {each.call for each in recordings["sandbox"]} >= {"submit", "result", "list", "bill", "upload", "balance"}
    for path in (kept / "recordings").iterdir():
        assert KEY not in path.read_text()
    again = shell.run("doctor", "--buy-one", "--max-usd", "5", "--out", "kept", "--json")
    assert again.code == 0
    assert "nothing was submitted" in findings(again)["one take"][1]
    assert sandbox.submitted("animatic doctor").total() == before + 1
    assert read_recordings(kept / "recordings") == recordings["sandbox"]


async def test_the_sandbox_answers_as_its_recordings(recordings: dict[str, list[Recording]]) -> None:
    if "sandbox" not in recordings:
        pytest.skip("the test that makes them did not run")
    async with replayed(recordings["sandbox"]) as pairs:
        assert {recording.call: differences(recording, ours) for recording, ours in pairs} == {
            recording.call: [] for recording, _ in pairs
        }
        changed = Recording("balance", {}, {"status": 200, "body": {"code": 200, "data": {"balance": "12", "more": 1}}})
        ours = next(each for recording, each in pairs if recording.call == "balance")
        assert differences(changed, ours) == ["data.balance: string there, number here", "data.more: not here"]


def test_a_clock_that_is_far_off_is_told() -> None:
    assert clock_finding(-30).verdict is FindingLevel.OK
    assert "400 s ahead of" in clock_finding(400).text
    assert "behind" in clock_finding(-400).text


def test_the_last_line_counts_what_is_in_the_way() -> None:
    assert summary_line([ok("a", "b")]) == "nothing is in the way of a run"
    assert summary_line([fault("a", "b"), note("c", "d")]) == "1 thing is in the way of a run; 1 to know of"


def test_findings_are_wrapped_on_a_terminal_only() -> None:
    finding = ok("ledger", "word " * 40)
    assert "\n" not in finding.wrapped(None)
    lines = finding.wrapped(60).splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) < 60
    assert lines[1].startswith(" " * 18 + "word")


async def test_the_sandbox_answers_as_the_live_api_did() -> None:
    folder = os.environ.get("WAVESPEED_RECORDINGS", "")
    if not folder:
        pytest.skip("WAVESPEED_RECORDINGS names no folder; `animatic doctor --buy-one` makes one for some dollars")
    async with replayed(read_recordings(Path(folder))) as pairs:
        assert {recording.call: differences(recording, ours) for recording, ours in pairs} == {
            recording.call: [] for recording, _ in pairs
        }
