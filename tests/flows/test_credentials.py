"""Accounts on a schedule: a block for each, named by a parameter that never holds a key; one server, one ledger."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]
"""Prefect leaves sockets to the garbage collector."""


@pytest.fixture
def scheduled(
    *, prefect: Any, manifest: Any, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs the flow as a schedule does: without a session, in an environment that leads nowhere and has no key."""
    from flows.animate import animate  # noqa: PLC0415 - imports Prefect

    environment = {
        "WAVESPEED_BASE_URL": "http://127.0.0.1:9",
        "ANIMATIC_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}",
        "ANIMATIC_POLL_FLOOR_S": "0.1",
        "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WAVESPEED_API_KEY", raising=False)
    path = manifest({"prompt": f"push in {tag}"})

    def run(credentials: str) -> Any:
        results = str(tmp_path / f"{credentials[:20]}.jsonl")
        more: dict[str, Any] = {"credentials": credentials, "spend_up_to": 5, "archive": ""}
        ending: Any = animate(str(path), results, **more, return_state=True)
        return asyncio.run(ending)

    return run


def make(name: str, **fields: Any) -> None:
    from flows.credentials import WaveSpeedCredentials  # noqa: PLC0415 - imports Prefect

    saving: Any = WaveSpeedCredentials(**fields).asave(name, overwrite=True)
    asyncio.run(saving)


def test_two_accounts_share_a_server_and_a_ledger(
    *, scheduled: Callable[..., Any], sandbox: Any, tag: str, tmp_path: Path, tools: Any
) -> None:
    for name in ("north", "south"):
        make(name, api_key=tools.KEY, account_name=name.title(), level="ultra", base_url=sandbox.url)
    assert [scheduled(name).name for name in ("north", "south", "north")] == ["Completed"] * 3
    assert sandbox.submitted(tag).total() == 2
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as db:
        accounts = {f"{sandbox.url}#{name}" for name in ("north", "south")}
        assert {each for (each,) in db.execute("SELECT provider FROM take")} == accounts
        assert {*db.execute("SELECT provider, reserved_microusd FROM spending")} == {
            (each, 2_500_000) for each in accounts
        }
        assert {each for (each,) in db.execute("SELECT provider FROM starts")} <= accounts
    held = (tmp_path / "ledger.sqlite").read_bytes()
    assert tools.KEY.encode() not in held


def test_an_inbox_buys_with_the_block_that_it_names(
    *, scheduled: Callable[..., Any], sandbox: Any, tag: str, tmp_path: Path, tools: Any
) -> None:
    from flows.inbox import inbox  # noqa: PLC0415 - imports Prefect

    del scheduled
    make("inner", api_key=tools.KEY, account_name="inner", level="ultra", base_url=sandbox.url)
    folder = tmp_path / "inbox"
    folder.mkdir()
    tools.write_manifest(folder / "ep.csv", [{"prompt": f"{tag} inbox"}])
    more: dict[str, Any] = {"max_usd": 5, "quiet_s": 0, "options": {"archive": ""}}
    playing: Any = inbox(str(folder), credentials="inner", **more, return_state=True)
    state = asyncio.run(playing)
    assert (state.name, state.message) == ("Completed", "1 manifest: 1 done")
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as db:
        assert db.execute("SELECT provider FROM take").fetchall() == [(f"{sandbox.url}#inner",)]


def test_what_is_unknown_is_settled_with_the_block_of_its_account(
    *, scheduled: Callable[..., Any], sandbox: Any, tag: str, tmp_path: Path, tools: Any
) -> None:
    from flows.animate import animate  # noqa: PLC0415 - imports Prefect
    from flows.reconcile import reconcile  # noqa: PLC0415 - imports Prefect

    del scheduled
    for name in ("east", "west"):
        make(name, api_key=tools.KEY, account_name=name, level="ultra", base_url=sandbox.url)
    shots = tmp_path / "lost.csv"
    tools.write_manifest(shots, [{"prompt": f"{tag} [sandbox:reset-before]"}])
    buying: Any = animate(
        str(shots), str(tmp_path / "lost.jsonl"), credentials="east", max_usd=5, archive="", return_state=True
    )
    assert asyncio.run(buying).name == "Failed"

    def settle(name: str | None) -> tuple[str | None, str | None]:
        settling: Any = reconcile(name, return_state=True)
        state = asyncio.run(settling)
        return state.name, state.message

    assert settle("east") == ("Failed", "open: 1 take")
    assert settle("west") == ("Completed", "reconcile: nothing to settle")
    assert settle(None)[0] == "Refused"  # there is no key but those of the blocks


def test_a_block_that_is_not_there_or_wrong_ends_refused(scheduled: Callable[..., Any], tools: Any) -> None:
    make("bent", api_key=tools.KEY, account_name="two words")
    for name, said in (
        ("nowhere", "credentials: found no block wavespeed-credentials/nowhere on the Prefect server; "),
        ("bent", 'credentials: account_name: found "two words"; allowed: '),
        (f"{tools.KEY}{'0' * 60}", "credentials: allowed: the name of a WaveSpeedCredentials block"),
    ):
        state = scheduled(name)
        assert (state.name, state.message.startswith(said)) == ("Refused", True), state.message
        assert tools.KEY not in state.message


def test_the_type_of_block_can_be_registered_and_hides_the_key(prefect: Any, tools: Any) -> None:
    from animatic.pace.limits import LEVELS  # noqa: PLC0415 - with the others
    from flows.credentials import Level, WaveSpeedCredentials  # noqa: PLC0415 - imports Prefect

    assert [each.value for each in Level] == [*LEVELS]
    registered: Any = WaveSpeedCredentials.register_type_and_schema()
    if asyncio.iscoroutine(registered):
        asyncio.run(registered)
    found = prefect.read_block_type_by_slug("wavespeed-credentials")
    assert found.name == "WaveSpeed Credentials"
    assert tools.KEY not in repr(WaveSpeedCredentials(api_key=tools.KEY))
