"""Workers of Prefect on several hosts, whose machines, lines and servers fail while they buy.

What happened when stands in `events.jsonl` of the folder. The sandbox's log of accepted submissions is the witness.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx

from tools.hosts.faults import CUT, DATABASE, KILL, PREFECT, Fault
from tools.hosts.network import Host
from tools.hosts.parts import PREFECT as PREFECT_COMMAND
from tools.hosts.parts import Servers, run_command

POOL = "animatic"
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
SLOW_FOR_S = 4.0
LOST_AFTER_S = 75.0
"""As in `flows.server.automations`: who is cut off for less is not taken for dead."""
ROUNDS = 3
_WAY_OF_DATABASE = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}


@dataclass
class Worker:
    """A worker on a host of its own, started again whenever it has ended, as a service manager does."""

    host: Host
    home: Path
    env: Mapping[str, str]
    code: Path
    process: Any = None
    rests_until: float = 0.0

    def keep(self) -> None:
        """Start it where it does not run and may."""
        if time.monotonic() < self.rests_until or (self.process is not None and self.process.poll() is None):
            return
        command = [PREFECT_COMMAND, "worker", "start", "--pool", POOL, "--type", "process", "--limit", "1"]
        with (self.home / "worker.log").open("ab") as log:
            self.process = self.host.start([*command, "--name", self.host.name], self.env, log, self.code)

    def run_here(self) -> tuple[str, int] | None:
        """Return id and process of the flow run that is carried out here, or None."""
        for pid in self.host.pids():
            try:
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            for each in variables:
                name, _, value = each.partition(b"=")
                if name == b"PREFECT__FLOW_RUN_ID":
                    return value.decode(), pid
        return None


@dataclass
class Hit:
    """A fault that ended a run's process, or cut it off for so long that it counts as dead."""

    run: str
    at: datetime
    fault: str


@dataclass
class Trial:
    """One trial: runs of manifests, and the faults that they meet."""

    servers: Servers
    workers: Sequence[Worker]
    folder: Path
    witness: Path
    began: float = field(default_factory=time.monotonic)
    hits: list[Hit] = field(default_factory=list[Hit])
    done: Counter[str] = field(default_factory=Counter[str])
    disturbed: list[datetime] = field(default_factory=list[datetime])
    turn: threading.Lock = field(default_factory=threading.Lock)

    def note(self, event: str, **more: Any) -> None:
        """Write down what is done, and when."""
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **more}
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(f"{time.monotonic() - self.began:7.1f} s  {event} {more or ''}", flush=True)

    def deploy(self, code: Path, most_starts: int = 60) -> str:
        """Put pool, deployment and automations on the server; return the id of the deployment `once`."""
        env = {**self.workers[0].env, "PYTHONPATH": str(code)}
        run_command([PREFECT_COMMAND, "work-pool", "create", POOL, "--type", "process", "--overwrite"], env, code)
        file = str(code / "deployments/prefect.yaml")
        run_command([PREFECT_COMMAND, "--no-prompt", "deploy", "--name", "once", "--prefect-file", file], env, code)
        automations = [sys.executable, "-m", "flows.server.automations", "--most-starts", str(most_starts)]
        run_command(automations, env, code)
        return cast("Any", self.servers.ask("GET", "/deployments/name/animate/once"))["id"]

    def start_run(self, deployment: str, manifest: Path, results: Path) -> str:
        """Start a run of a manifest; return its id."""
        given = {"manifest": str(manifest), "results": str(results), "max_usd": 1_000_000, "archive": ""}
        body = {"parameters": given, "state": {"type": "SCHEDULED"}}
        return cast("Any", self._asked("POST", f"/deployments/{deployment}/create_flow_run", body))["id"]

    def keep_all(self) -> None:
        """Start again what has ended by itself: workers and servers."""
        for worker in self.workers:
            worker.keep()
        for name, part in self.servers.parts.items():
            if part.process is not None and part.process.poll() is not None:
                self.note("ended by itself", part=name, exit_code=part.process.returncode)
                part.start()

    def until_ended(self, runs: Sequence[str], faults: Sequence[Fault], longest_s: float) -> dict[str, str]:
        """Strike with one fault after another, once something is bought, until all runs have ended.

        Return the name of each's last state.
        """
        until, waiting = time.monotonic() + longest_s, list(faults)
        next_at = math.inf
        threads: list[threading.Thread] = []
        states: dict[str, str] = {}
        while time.monotonic() < until:
            self.keep_all()
            states = self._states(runs) or states
            if len(states) == len(runs) and all(name.startswith("=") for name in states.values()):
                break
            if next_at == math.inf and waiting and self.witness.exists() and self.witness.stat().st_size:
                next_at = time.monotonic() + waiting[0].after_s
            if waiting and time.monotonic() >= next_at and (thread := self._strike(waiting[0])) is not None:
                threads.append(thread)
                waiting.pop(0)
                next_at = time.monotonic() + (waiting[0].after_s if waiting else 0.0)
            time.sleep(0.5)
        for thread in threads:
            thread.join(200)
        self.keep_all()
        if waiting:
            self.note("faults left over, since the runs had ended", count=len(waiting))
        return {run: name.removeprefix("=") for run, name in states.items()}

    def _states(self, runs: Sequence[str]) -> dict[str, str] | None:
        """Return the name of each run's state, after `=` where it is final; None while the server is away."""
        try:
            chosen = {"flow_runs": {"id": {"any_": list(runs)}}}
            found = cast("Any", self.servers.ask("POST", "/flow_runs/filter", chosen))
        except httpx.HTTPError:
            return None
        if found is None:
            return None
        return {
            each["id"]: ("=" if each["state_type"] in FINAL else "") + each["state_name"]
            for each in found
            if each["state_name"]
        }

    def _asked(self, method: str, path: str, body: object = None) -> object:
        until = time.monotonic() + 120
        while True:
            try:
                if (reply := self.servers.ask(method, path, body)) is not None:
                    return reply
            except httpx.HTTPError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(path)
            time.sleep(0.5)

    def _strike(self, fault: Fault) -> threading.Thread | None:
        """Begin a fault, and return the thread that ends it; None where there is nothing to hit yet."""
        if fault.name in {DATABASE, PREFECT}:
            thread = threading.Thread(target=self._restart, args=(fault,), daemon=True)
        else:
            busy = [worker for worker in self.workers if not worker.host.is_cut and worker.run_here() is not None]
            if not busy:
                return None
            worker = busy[int(fault.pick * len(busy))]
            thread = threading.Thread(target=self._hit, args=(fault, worker), daemon=True)
        self.done[fault.name] += 1
        thread.start()
        return thread

    def _restart(self, fault: Fault) -> None:
        with self.turn:  # two at once would start a server twice, and lose sight of one
            self._restart_now(fault)

    def _restart_now(self, fault: Fault) -> None:
        names = ["postgres"] if fault.name == DATABASE else ["prefect-api", "prefect-services"]
        parts = [self.servers.parts[name] for name in names]
        self.note(fault.name, way=fault.way, lasts_s=round(fault.lasts_s, 1))
        self.disturbed.append(datetime.now(UTC))
        for part in parts:
            part.end(_WAY_OF_DATABASE[fault.way])
        time.sleep(fault.lasts_s)
        for part in parts:
            part.start()
        self.disturbed.append(datetime.now(UTC))
        self.note(f"{fault.name} is back")

    def _hit(self, fault: Fault, worker: Worker) -> None:
        if "slow" in fault.way:
            worker.host.slow("48kbit")  # so that submissions are on their way
            time.sleep(SLOW_FOR_S)
        run = worker.run_here()
        self.note(fault.name, host=worker.host.name, way=fault.way, lasts_s=round(fault.lasts_s, 1), run=run and run[0])
        if run is not None and (fault.way != "worker alone" if fault.name == KILL else fault.lasts_s > LOST_AFTER_S):
            self.hits.append(Hit(run[0], datetime.now(UTC), fault.name))
        if fault.name == CUT:
            worker.host.cut(is_seen=fault.way == "carrier lost")
            time.sleep(fault.lasts_s)
            worker.host.mend()
        else:
            worker.rests_until = time.monotonic() + fault.lasts_s
            self._kill(fault, worker, None if run is None else run[1])
            worker.host.full_speed()
        self.note(f"{fault.name} is over", host=worker.host.name)

    def _kill(self, fault: Fault, worker: Worker, pid: int | None) -> None:
        if fault.way == "run alone" and pid is not None:
            os.kill(pid, signal.SIGKILL)
        elif fault.way == "worker alone" and worker.process is not None and worker.process.poll() is None:
            worker.process.kill()
        else:
            worker.host.kill()

    def takeovers(self) -> list[dict[str, Any]]:
        """Return for each hit how many seconds later the run was Running again, in a new process.

        A hit is undisturbed if neither another hit on the run nor a server's restart came before that.
        """
        found: list[dict[str, Any]] = []
        for hit in self.hits:
            states = cast("Any", self._asked("GET", f"/flow_run_states/?flow_run_id={hit.run}"))
            moments = [(datetime.fromisoformat(each["timestamp"]), each) for each in states]
            later = sorted((at, each["type"]) for at, each in moments if at > hit.at)
            again = next((at for at, kind in later if kind == "RUNNING"), None)
            ended = next((at for at, kind in later if kind in FINAL), None)
            if again is None or (ended is not None and ended < again):
                found.append({"fault": hit.fault, "run": hit.run, "after_s": None, "is_undisturbed": False})
                continue
            between = [*self.disturbed, *(other.at for other in self.hits if other is not hit and other.run == hit.run)]
            is_undisturbed = not any(hit.at < at < again for at in between)
            after_s = round((again - hit.at).total_seconds(), 1)
            found.append({"fault": hit.fault, "run": hit.run, "after_s": after_s, "is_undisturbed": is_undisturbed})
        return found

    def ledger_rows(self, statement: str) -> list[Any]:
        """Return what the ledger says."""
        with self.servers.connect() as connection:
            return connection.execute(statement.encode()).fetchall()
