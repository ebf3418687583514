"""The ledger on a PostgreSQL server against the ledger in a file: the same takes, alternating, on one host.

The server is a cluster of its own, over TLS and with a password, as several machines would use it.
"""

import os
import statistics
from pathlib import Path

from benchmarks.contest import Studio, completed_in, write_manifest
from benchmarks.ideal import most_in_window
from benchmarks.process import measure
from benchmarks.server import Account, served, takes_of
from benchmarks.sizes import Result, Sizes, say
from tools.hosts.parts import Part, Servers

ACCOUNT, TAKES, ROUNDS = Account(5_000, 5_000, 20.0), 6_000, 3
KINDS = ("sqlite", "postgresql")


def run(studio: Studio, sizes: Sizes) -> Result:
    """Rounds of both; medians of CPU a take, the starts in a full minute, and the server's own CPU."""
    takes, rounds = sizes.takes or TAKES, sizes.rounds or ROUNDS
    account = Account(
        ACCOUNT.starts_per_minute, sizes.in_flight or ACCOUNT.in_flight, sizes.median_s or ACCOUNT.median_s
    )
    idle_s, found = studio.empty().cpu_s, {kind: list[Result]() for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS:
            found[kind].append(_bought(studio, account, takes, kind, idle_s))
        ours, other = (found[kind][-1]["cpu_ms_a_take"] for kind in reversed(KINDS))
        say(f"round {number + 1}: {ours:.2f} ms of CPU a take on PostgreSQL, {other:.2f} ms in a file")
    pairs = zip(found["postgresql"], found["sqlite"], strict=True)
    return {
        "takes": takes,
        "rounds": rounds,
        "starts_per_minute": account.starts_per_minute,
        "ratio": round(statistics.median(ours["cpu_ms_a_take"] / other["cpu_ms_a_take"] for ours, other in pairs), 3),
        "kinds": {kind: _median(runs) for kind, runs in found.items()},
    }


def _bought(studio: Studio, account: Account, takes: int, kind: str, idle_s: float) -> Result:
    room = studio.room(kind)
    manifest = write_manifest(room / "shots.parquet", takes)
    with served(room / "sandbox", account) as server, Servers("127.0.0.1", room) as servers:
        command, env = studio.command("animatic", server, room, manifest)
        postgres: Part | None = None
        if kind == "postgresql":
            postgres = servers.start_postgres()
            env |= servers.ledger
        took = measure(command, env, room, deadline_s=900.0)
        server_s = 0.0 if postgres is None or postgres.process is None else _cpu_s(postgres.process.pid)
    assert took.exit_code == 0, took.stderr
    starts = sorted(each.accepted_at for each in takes_of(room / "sandbox"))
    return {
        "cpu_ms_a_take": round((took.cpu_s - idle_s) / takes * 1_000, 3),
        "server_ms_a_take": round(server_s / takes * 1_000, 3),
        "most_starts_a_minute": most_in_window(starts),
        "completed": completed_in(room / "out.parquet"),
        "bought": len(starts),
        "wall_s": round(took.wall_s, 1),
        "rss_mb": round(took.rss_mb),
    }


def _cpu_s(postmaster: int) -> float:
    """Return the CPU of a server and of all its processes that have ended: those of our connections have."""
    fields = Path(f"/proc/{postmaster}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _median(runs: list[Result]) -> Result:
    return {name: round(statistics.median(each[name] for each in runs), 3) for name in runs[0]}
