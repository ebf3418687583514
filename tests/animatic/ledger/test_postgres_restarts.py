"""A PostgreSQL server that dies, has just started or asks for a password: what a ledger on it says and does then."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from torture.cluster import Cluster, cluster, program

from animatic.errors import LedgerAwayError, LedgerUnusableError
from animatic.ledger import dead_runs, open_ledger
from animatic.ledger.opening import find_database


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A server of the test's own, that has just started."""
    monkeypatch.setenv("ANIMATIC_HOME", str(tmp_path / "home"))
    try:
        program("initdb")
    except LookupError as error:
        pytest.skip(str(error))
    with cluster() as made:
        yield made


async def test_with_the_server_down_every_run_counts_as_alive_and_none_begins(server: Cluster) -> None:
    with open_ledger(server.url) as ledger, open_ledger(server.url) as other:
        ledger.transactions.patience.longest_s = 0.5
        async with ledger.run("run-1", "file:///shots.csv"):
            assert dead_runs(server.url)("run-2") is False, "sessions of a moment ago were lost with the server"
            server.kill()
            assert ledger.is_alive("run-2")
            with pytest.raises(LedgerAwayError, match=r"look if the server runs.*Nothing was bought"):
                async with other.run("run-3", "file:///shots.csv"):
                    pytest.fail("it began")
            elsewhere = find_database(server.url).elsewhere()
            with contextlib.closing(elsewhere), pytest.raises(LedgerAwayError):
                elsewhere.live_among(["run-2"])
            with pytest.raises(LedgerAwayError, match="look if the server runs"):
                await ledger.answer()
        server.start()
        await ledger.answer()


def test_the_error_for_a_wrong_password_names_the_ways_to_give_it(server: Cluster) -> None:
    with psycopg.connect(server.url) as db:
        db.execute("CREATE ROLE buyer LOGIN PASSWORD 'right'")
    server.stop()
    rules = server.folder / "data" / "pg_hba.conf"
    rules.write_text("host all buyer 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    server.start()
    url = server.url.replace("postgres@", "buyer:wrong@")
    with pytest.raises(
        LedgerUnusableError, match=r"give the password by PGPASSWORD, \.pgpass or a service file"
    ) as raised:
        open_ledger(url)
    assert not isinstance(raised.value, LedgerAwayError), "waiting does not mend it"
    assert "wrong" not in str(raised.value)
