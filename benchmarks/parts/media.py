"""Media workers, 1, 2 and 4 of them: clips archived and checked a second, each worker on a quarter of a core.

Each worker is a host of its own: a network namespace with a line of 2 MB a second, in a control group that gives all of
its processes together 25 ms of CPU in each 100 ms. Clips are of 1 MB, 5 seconds at 24 frames: on a slow machine a
worker is held up by its quarter of a core, on a fast one by its line. Prefect's server, PostgreSQL, the sandbox and the
run that hands the clips over are outside of both limits; so four workers leave them one core of two.

Each round has as many clips for each worker: 240, of takes that were bought before. Timed is from the moment in which
the first flow run has begun to the last check in the ledger. So flow runs that begin later count, and so does the end,
when a worker may have nothing left to take. The start of the first is `flow_runs_after_s`, from the first batch in the
ledger, and apart: it is the same for any number of workers. `of_linear` is clips a second, against as many times those
of one worker; `cores` are of all the time, with the start.
"""

import os
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contest import Studio, environment, write_manifest
from benchmarks.process import Measured, measure
from benchmarks.server import ROOT, Account, Served, served
from benchmarks.sizes import Result, Sizes, say
from tools.hosts.network import Host, Network
from tools.hosts.parts import PREFECT, Servers

ACCOUNT = Account(60_000, 5_000, 1.0)
CLIPS_A_WORKER, CLIP_BYTES, CLIP_FPS, LINE = 240, 1_000_000, 24, "16mbit"
WORKERS = (1, 2, 4)
QUARTER_US, PERIOD_US, SHARES = 25_000, 100_000, 16_384
DEADLINE_S = 1_200.0
POOL, DEPLOYMENT = "animatic-media", "media/media"
_GROUPS = Path("/sys/fs/cgroup/cpu,cpuacct"), Path("/sys/fs/cgroup/cpu")
_USED = "select extract(epoch from min(handed_at)), count(*), sum(times_taken) from media where run_id = %s"
_HOLDERS = "select holder from media where run_id = %s"
_STARTED = f"select extract(epoch from started_at) from run where run_id in ({_HOLDERS}) order by 1"
_LAST = "select extract(epoch from max(checked_at)), count(*) from quality where checked_at > %s"


class Group:
    """A control group with a quarter of a core."""

    def __init__(self, name: str) -> None:
        root = next(each for each in _GROUPS if each.is_dir())
        self._path = root / name
        self._usage = Path("/sys/fs/cgroup/cpuacct") / name
        for path in {self._path, self._usage}:
            path.mkdir(exist_ok=True)
        (self._path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (self._path / "cpu.cfs_quota_us").write_text(str(QUARTER_US))
        (self._path / "cpu.shares").write_text(str(SHARES))  # or what else runs on the machine would take from it

    def add(self, pid: int) -> None:
        """Put a process into it, and with it all that it will start."""
        for path in {self._path, self._usage}:
            (path / "cgroup.procs").write_text(str(pid))

    def cpu_s(self) -> float:
        """Return the CPU seconds that were used in it."""
        return int((self._usage / "cpuacct.usage").read_text()) / 1e9

    def remove(self) -> None:
        """Remove it, once its processes are gone."""
        until = time.monotonic() + 20
        for path in {self._path, self._usage}:
            while path.is_dir():
                try:
                    path.rmdir()
                except OSError:  # the kernel lets go of what was killed a little later
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Scene:
    """Values that all rounds share."""

    studio: Studio
    servers: Servers
    server: Served
    network: Network

    @property
    def env(self) -> dict[str, str]:
        """Variables of runs and workers."""
        return self.servers.ledger | {
            "WAVESPEED_BASE_URL": self.server.url,
            "WAVESPEED_API_KEY": self.server.key,
            "SSL_CERT_FILE": str(self.servers.authority.file),
            "ANIMATIC_STARTS_PER_MINUTE": str(ACCOUNT.starts_per_minute),
            "ANIMATIC_MAX_IN_FLIGHT": str(ACCOUNT.in_flight),
            "ANIMATIC_POLL_FLOOR_S": f"{ACCOUNT.floor_s:.3f}",
            "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat(),
        }

    def client(self, room: Path) -> dict[str, str]:
        """Variables of a process that talks to the Prefect server, with homes of its own."""
        return environment(room, self.studio.code) | self.servers.prefect(room / "home") | self.env


def run(studio: Studio, sizes: Sizes) -> Result:
    """Time 1, 2 and 4 workers, one after the other, each with the same number of clips."""
    clips, workers = sizes.takes or CLIPS_A_WORKER, sizes.rows or WORKERS
    studio.warm()
    shared = studio.room("media")
    with Network() as network, Servers(network.address, shared) as servers:
        servers.start_postgres()
        servers.start_prefect()
        pem = servers.authority.certificate_for(network.address)
        flags = ("--host", network.address, "--tls-cert", str(pem), "--tls-key", str(pem))
        sizes_of = ("--clip-bytes", str(CLIP_BYTES), "--clip-fps", str(CLIP_FPS))
        with served(shared / "sandbox", ACCOUNT, *flags, *sizes_of, authority=servers.authority.file) as server:
            scene = Scene(studio, servers, server, network)
            _deploy(scene, shared)
            rows = [_round(scene, count, count * clips) for count in workers]
    base = rows[0]["clips_per_s"] / rows[0]["workers"]
    for row in rows:
        row["of_linear"] = round(row["clips_per_s"] / base / row["workers"], 3)
    say(f"clips a second: {[row['clips_per_s'] for row in rows]}; of linear: {[row['of_linear'] for row in rows]}")
    return {
        "clips_a_worker": clips,
        "clip_bytes": CLIP_BYTES,
        "clip_fps": CLIP_FPS,
        "line": LINE,
        "quota": QUARTER_US / PERIOD_US,
        "rows": rows,
    }


def _deploy(scene: Scene, room: Path) -> None:
    env = scene.client(room)
    for command in (
        ["work-pool", "create", POOL, "--type", "process"],
        ["work-pool", "create", "animatic", "--type", "process"],
        ["--no-prompt", "deploy", "--all", "--prefect-file", str(ROOT / "deployments/prefect.yaml")],
    ):
        took = measure([PREFECT, *command], env, room)
        assert took.exit_code == 0, took.stdout + took.stderr


def _round(scene: Scene, workers: int, takes: int) -> Result:
    room = scene.studio.room(f"workers-{workers}")
    manifest = write_manifest(room / "shots.parquet", takes, room.name)
    bought = _animatic(scene, room, manifest, "--no-archive")
    assert bought.exit_code == 0, bought.stderr[-2_000:]
    with ExitStack() as stack:
        names = [f"{workers}-{number + 1}" for number in range(workers)]
        groups = [stack.enter_context(_worker(scene, number, name)) for number, name in enumerate(names)]
        _wait_for(scene, names)
        before, busy_s = [group.cpu_s() for group in groups], _busy_s()
        took = _animatic(scene, room, manifest, "--archive", str(room / "clips"), media=True)
        assert took.exit_code == 0, took.stderr[-2_000:]
        used = [group.cpu_s() - before_s for group, before_s in zip(groups, before, strict=True)]
        of_machine = {"run_cpu_s": round(took.cpu_s, 1), "machine_cores": round((_busy_s() - busy_s) / took.wall_s, 2)}
    return _found(scene, room, takes, workers, used) | of_machine


def _busy_s() -> float:
    """Return the CPU seconds that all of this machine has used: at as many as it has cores, it was the limit."""
    user, nice, system, _idle, _waiting, *rest = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _found(scene: Scene, room: Path, takes: int, workers: int, used: list[float]) -> Result:
    with scene.servers.connect() as db:
        query: Any = "select run_id from media order by handed_at desc limit 1"
        (run_id,) = db.execute(query).fetchone() or ("",)
        began: Any = db.execute(_USED.encode(), (run_id,)).fetchone()
        ended: Any = db.execute(
            _LAST.encode(), (datetime.fromtimestamp(float(began[0]), UTC).replace(tzinfo=None),)
        ).fetchone()
        others: Any = db.execute(b"select count(*) from media where holder = run_id").fetchone()
        started: Any = db.execute(_STARTED.encode(), (run_id,)).fetchall()
    start_s = float(started[0][0]) - float(began[0])
    seconds = float(ended[0]) - float(started[0][0])
    clips = len(list((room / "clips").glob("*.mp4")))
    assert (clips, ended[1]) == (takes, takes), (clips, ended)
    assert others[0] == 0, "workers did all of it"
    found: Result = {
        "workers": workers,
        "clips": clips,
        "batches": began[1],
        "taken": began[2],
        "flow_runs_after_s": [round(float(each[0]) - float(began[0]), 1) for each in started],
        "seconds": round(seconds, 1),
        "clips_per_s": round(clips / seconds, 3),
        "mb_per_s": round(sum(path.stat().st_size for path in (room / "clips").glob("*.mp4")) / seconds / 1e6, 2),
        "cpu_s": [round(each_s, 1) for each_s in used],
        "cores": [round(each_s / (start_s + seconds), 3) for each_s in used],
        "cpu_s_a_clip": round(sum(used) / clips, 3),
    }
    say(f"{workers} workers: {found}")
    return found


def _animatic(scene: Scene, room: Path, manifest: Path, *options: str, media: bool = False) -> Measured:
    command = [sys.executable, "-m", "flows.command.cli", "run", str(manifest), "--results", str(room / "out.parquet")]
    more = {"ANIMATIC_MEDIA_DEPLOYMENT": DEPLOYMENT} if media else {}
    return measure([*command, "--yes", "--json", *options], scene.client(room) | more, room, deadline_s=DEADLINE_S)


@contextmanager
def _worker(scene: Scene, number: int, name: str) -> Generator[Group]:
    """A media worker on a host of its own, for the length of the block."""
    host = _host(scene.network, number)
    room, group = scene.studio.room(f"worker-{number}"), Group(f"{host.name}-{time.time_ns()}")
    env: Mapping[str, str] = scene.client(room) | {"PREFECT_WORKER_QUERY_SECONDS": "2"}
    command = [PREFECT, "worker", "start", "--pool", POOL, "--type", "process", "--limit", "1", "--name", name]
    with (room / "worker.log").open("ab") as log:
        group.add(host.start(command, env, log, cwd=room).pid)
        try:
            yield group
        finally:
            host.kill()
            group.remove()


def _host(network: Network, number: int) -> Host:
    while len(network.hosts) <= number:
        network.add_host().slow(LINE)
    return network.hosts[number]


def _wait_for(scene: Scene, names: list[str]) -> None:
    """Wait until all workers have polled, and Prefect has seen it."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        found: Any = scene.servers.ask("POST", f"/work_pools/{POOL}/workers/filter", {})
        deployed: Any = scene.servers.ask("GET", f"/deployments/name/{DEPLOYMENT}")
        online = {each["name"] for each in found or () if each["status"] == "ONLINE"}
        if online >= {*names} and deployed and deployed["status"] == "READY":
            return
        time.sleep(1)
    raise AssertionError(f"workers {names} did not come up")
