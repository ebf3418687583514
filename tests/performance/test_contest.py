"""Contenders over a real socket: the figures that the sandbox in bench mode has of them."""

from pathlib import Path

import pytest

from benchmarks.contest import Studio
from benchmarks.server import Account, takes_of

ACCOUNT = Account(starts_per_minute=1_000, in_flight=5, median_s=0.5)


@pytest.mark.parametrize("name", ["limit", "limit_early", "sdk"])
def test_a_contender_buys_everything_once_and_the_server_measures_its_lag(tmp_path: Path, name: str) -> None:
    room = tmp_path / "room"
    (room / "home").mkdir(parents=True)
    found = Studio(tmp_path).compete(name, ACCOUNT, 12, room=room)
    assert (found.exit_code, found.completed, found.lost, found.bought_twice, found.refused) == (0, 12, 0, 0, 0)
    assert found.most_in_flight <= 5
    assert 0 < found.cpu_s < 30  # the figures themselves are tested here: seconds, not their sums or milliseconds
    assert found.ideal_s > 1.0
    assert found.ratio > 0.99
    takes = takes_of(room / "sandbox")
    assert sum(each.looks for each in takes) == round(found.looks_a_take * 12)
    assert all(each.seen_at is not None and each.seen_at >= each.final_at - 0.001 for each in takes)


def test_the_pace_of_the_limit_is_what_the_account_allows(tmp_path: Path) -> None:
    room = tmp_path / "room"
    (room / "home").mkdir(parents=True)
    found = Studio(tmp_path).compete("limit", Account(3, 10, 0.2), 4, room=room, deadline_s=90)
    assert (found.completed, found.refused, found.most_starts_a_minute) == (4, 0, 3)
    assert 60 <= found.makespan_s < 63  # the account's minute, by the server's own record of accepts
