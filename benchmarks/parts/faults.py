"""Workers on five hosts, whose machines, lines, database and Prefect server fail at random while they buy.

A worker of Prefect on each host, the sandbox over TLS, the ledger and Prefect's records on PostgreSQL, Redis between
Prefect's API and its services, and the automations of `flows.server.automations`. The sandbox's log of accepted
submissions is the witness, counted at the end.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from animatic.sandbox.witness import read_witness
from benchmarks.contest import Studio, write_manifest
from benchmarks.ideal import most_at_once, most_in_window
from benchmarks.server import Account, Served, served, takes_of
from benchmarks.sizes import Result, Sizes, say
from tools.hosts.faults import CUT, DATABASE, KILL, PREFECT, Fault, drawn
from tools.hosts.network import Network
from tools.hosts.parts import Servers
from tools.hosts.trial import ROUNDS, Trial, Worker

SEED = 18


@dataclass(frozen=True, slots=True)
class Scale:
    """Size of a trial: takes, hosts, manifests, the account, faults of each name, and seconds between them."""

    takes: int
    hosts: int
    manifests: int
    account: Account
    counts: Mapping[str, int]
    every_s: float
    longest_s: float = 5_400.0


FULL = Scale(5_000, 5, 4, Account(600, 250, 15.0), {KILL: 20, CUT: 10, DATABASE: 5, PREFECT: 5}, 16.0)
SMALL = Scale(200, 2, 1, Account(300, 40, 5.0), {KILL: 1, CUT: 1}, 10.0, 900.0)


def run(studio: Studio, sizes: Sizes) -> Result:
    """Play the whole trial, or with `--takes` as much of it as that."""
    scale = FULL
    if sizes.takes is not None:
        share = sizes.takes / FULL.takes
        counts = {name: max(round(count * share), 1) for name, count in FULL.counts.items()}
        scale = Scale(sizes.takes, FULL.hosts, FULL.manifests, FULL.account, counts, FULL.every_s)
    return play(studio.room("faults", is_fresh=True), studio.code, scale)


def play(folder: Path, code: Path, scale: Scale, faults: Sequence[Fault] | None = None, seed: int = SEED) -> Result:
    """Play one trial with the code of a checkout; return the counts. Without `faults` they are drawn from the seed."""
    with Network() as network, Servers(network.address, folder) as servers:
        servers.start_postgres()
        servers.start_prefect()
        pem = servers.authority.certificate_for(network.address)
        flags = ("--host", network.address, "--tls-cert", str(pem), "--tls-key", str(pem))
        with served(folder / "sandbox", scale.account, *flags, authority=servers.authority.file) as server:
            workers = [_worker(network, servers, server, code, scale) for _ in range(scale.hosts)]
            trial = Trial(servers, workers, folder, folder / "sandbox/accepted.jsonl")
            deployment = trial.deploy(code)
            each, rest = divmod(scale.takes, scale.manifests)
            manifests = [
                write_manifest(folder / f"m{number}.parquet", each + (number < rest), f"m{number}")
                for number in range(scale.manifests)
            ]
            planned = drawn(scale.counts, seed, scale.every_s) if faults is None else faults
            rounds: list[Counter[str]] = []
            while len(rounds) < ROUNDS:
                runs = [trial.start_run(deployment, each, _results(each)) for each in manifests]
                trial.note("round", runs=runs)
                states = trial.until_ended(runs, () if rounds else planned, scale.longest_s)
                rounds.append(_statuses(manifests))
                trial.note("round is over", states=list(states.values()), statuses=dict(rounds[-1]))
                if rounds[-1] == Counter(completed=scale.takes):
                    break
            takeovers = trial.takeovers()
            known = {row[0] for row in trial.ledger_rows("SELECT prediction_id FROM attempt")}
            states_of = Counter(row[0] for row in trial.ledger_rows("SELECT state FROM attempt"))
    seen = takes_of(folder / "sandbox")
    times = Counter(each.prompt for each in seen)
    undisturbed = sorted(each["after_s"] for each in takeovers if each["is_undisturbed"])
    found: Result = {
        "takes": scale.takes,
        "hosts": scale.hosts,
        "seed": seed,
        "faults": dict(trial.done),
        "wall_s": round(time.monotonic() - trial.began),
        "rounds": [dict(each) for each in rounds],
        "bought_twice": sum(count - 1 for count in times.values()),
        "lost": scale.takes - rounds[-1]["completed"],
        "silent": sum(each.id not in known for each in read_witness(folder / "sandbox")),
        "attempts": dict(states_of),
        "most_starts_a_minute": most_in_window(sorted(each.accepted_at for each in seen)),
        "most_in_flight": most_at_once((each.accepted_at, each.final_at) for each in seen),
        "starts_per_minute": scale.account.starts_per_minute,
        "in_flight": scale.account.in_flight,
        "takeovers": takeovers,
        "taken_over_within_s": {
            "count": len(undisturbed),
            "median": undisturbed[len(undisturbed) // 2] if undisturbed else None,
            "longest": undisturbed[-1] if undisturbed else None,
        },
    }
    say(f"faults: { ({key: value for key, value in found.items() if key != 'takeovers'}) }")
    return found


def _worker(network: Network, servers: Servers, server: Served, code: Path, scale: Scale) -> Worker:
    host = network.add_host()
    home = servers.folder / host.name
    home.mkdir()
    env = (
        servers.prefect(home)
        | servers.ledger
        | {
            "PYTHONPATH": str(code),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "ANIMATIC_HOME": str(home / "animatic"),
            "WAVESPEED_BASE_URL": server.url,
            "WAVESPEED_API_KEY": server.key,
            "SSL_CERT_FILE": str(servers.authority.file),
            "ANIMATIC_STARTS_PER_MINUTE": str(scale.account.starts_per_minute),
            "ANIMATIC_MAX_IN_FLIGHT": str(scale.account.in_flight),
            "ANIMATIC_POLL_FLOOR_S": f"{scale.account.floor_s:.3f}",
            "ANIMATIC_QUEUED_AHEAD": "0",
            "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
        }
    )
    return Worker(host, home, env, code)


def _results(manifest: Path) -> Path:
    return manifest.with_name(f"{manifest.stem}.results.parquet")


def _statuses(manifests: list[Path]) -> Counter[str]:
    found = Counter[str]()
    for each in manifests:
        if _results(each).exists():
            found.update(pq.read_table(_results(each), columns=["status"])["status"].to_pylist())
    return found
