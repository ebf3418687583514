"""Four hosts, several manifests, one account at the ultra level: each host a network namespace with a line of its own.

The sandbox is served to them over TLS, the ledger is on a PostgreSQL server that they reach over TLS too. The sandbox's
log of accepted submissions is the witness.
"""

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.contest import Studio, environment, write_manifest
from benchmarks.ideal import ideal_makespan_s, most_at_once, most_in_window
from benchmarks.process import Measured, measure
from benchmarks.server import Account, served, takes_of
from benchmarks.sizes import Result, Sizes, say
from tools.hosts.network import Host, Network
from tools.hosts.parts import Servers

ACCOUNT, TAKES, HOSTS, MANIFESTS = Account(5_000, 5_000, 55.0), 20_000, 4, 8
DEADLINE_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Ran:
    """One manifest, carried out on one host."""

    host: str
    took: Measured
    statuses: Counter[str]


def run(studio: Studio, sizes: Sizes) -> Result:
    """Run all manifests, as many at once as there are hosts; count at the witness."""
    takes = sizes.takes or TAKES
    hosts = sizes.rows[0] if sizes.rows else HOSTS
    account = Account(
        ACCOUNT.starts_per_minute, sizes.in_flight or ACCOUNT.in_flight, sizes.median_s or ACCOUNT.median_s
    )
    studio.warm()
    shared = studio.room("hosts")
    with Network() as network, Servers(network.address, shared) as servers:
        servers.start_postgres()
        pem = servers.authority.certificate_for(network.address)
        flags = ("--host", network.address, "--tls-cert", str(pem), "--tls-key", str(pem))
        with served(shared / "sandbox", account, *flags, authority=servers.authority.file) as server:
            env = servers.ledger | {
                "WAVESPEED_BASE_URL": server.url,
                "WAVESPEED_API_KEY": server.key,
                "SSL_CERT_FILE": str(servers.authority.file),
                "ANIMATIC_STARTS_PER_MINUTE": str(account.starts_per_minute),
                "ANIMATIC_MAX_IN_FLIGHT": str(account.in_flight),
                "ANIMATIC_POLL_FLOOR_S": f"{account.floor_s:.3f}",
                "ANIMATIC_QUEUED_AHEAD": "0",  # so that takes in flight can be counted exactly
                "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
            }
            each = takes // MANIFESTS

            def work(number: int) -> list[Ran]:
                host = network.hosts[number]
                return [_carry_out(studio, host, f"m{at}", each, env) for at in range(number, MANIFESTS, hosts)]

            for _ in range(hosts):
                network.add_host()
            with ThreadPoolExecutor(hosts) as pool:
                ran = [one for some in pool.map(work, range(hosts)) for one in some]
            server_cpu_s, stats = server.cpu_s(), server.stats()
    return _found(shared / "sandbox", account, ran, each * MANIFESTS, hosts) | {
        "server_cpu_s": round(server_cpu_s, 1),
        "refused": stats.get("refused_rate", 0),
    }


def _carry_out(studio: Studio, host: Host, name: str, takes: int, env: dict[str, str]) -> Ran:
    room = studio.room(f"{host.name}-{name}")
    manifest, out = write_manifest(room / "shots.parquet", takes, name), room / "out.parquet"
    command = [sys.executable, "-m", "flows.command.cli", "run", str(manifest), "--results", str(out)]
    command = host.command([*command, "--yes", "--json", "--no-archive"])
    took = measure(command, environment(room, studio.code) | env, room, deadline_s=DEADLINE_S)
    if took.exit_code or not took.is_done:
        say(f"{host.name}, {name}: exit {took.exit_code}\n{took.stderr[-1_500:]}")
    statuses = pq.read_table(out, columns=["status"])["status"].to_pylist() if out.exists() else []
    say(f"{host.name}, {name}: {took.wall_s:.0f} s, {took.cpu_s:.0f} s of CPU, {dict(Counter(statuses))}")
    return Ran(host.name, took, Counter(statuses))


def _found(sandbox: Path, account: Account, ran: list[Ran], takes: int, hosts: int) -> Result:
    seen = takes_of(sandbox)
    times = Counter(each.prompt for each in seen)
    starts = sorted(each.accepted_at for each in seen)
    last = max((each.seen_at or each.final_at) for each in seen)
    cpu_s = sum(each.took.cpu_s for each in ran)
    found: Result = {
        "hosts": hosts,
        "manifests": len(ran),
        "takes": takes,
        "starts_per_minute": account.starts_per_minute,
        "in_flight": account.in_flight,
        "bought_twice": sum(count - 1 for count in times.values()),
        "lost": takes - len(times),
        "not_seen_final": sum(each.seen_at is None for each in seen),
        "statuses": dict(sum((each.statuses for each in ran), Counter())),
        "exit_codes": [each.took.exit_code for each in ran],
        "most_starts_a_minute": most_in_window(starts),
        "most_in_flight": most_at_once((each.accepted_at, each.final_at) for each in seen),
        "makespan_s": round(last - starts[0], 1),
        "ideal_s": round(
            ideal_makespan_s([each.latency_s for each in seen], account.starts_per_minute, account.in_flight), 1
        ),
        "cpu_ms_a_take": round(cpu_s / takes * 1_000, 2),
        "rss_mb": round(max(each.took.rss_mb for each in ran)),
    }
    say(f"{hosts} hosts: {found}")
    return found
