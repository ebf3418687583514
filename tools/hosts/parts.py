"""Servers that hosts share: PostgreSQL, Redis and Prefect's two, outside of all hosts, killed and started at will.

PostgreSQL and Prefect's API listen on the bridge; PostgreSQL over TLS, and with a password.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import psycopg

from tools.authority import Authority
from tools.fleet.folder import ROOT, Fleet, write_private
from tools.fleet.machine import as_postgres, give_to_postgres, postgres_program
from tools.fleet.parts import server_environment

READY_WITHIN_S = 120.0
PREFECT = str(Path(sys.executable).with_name("prefect"))
_PASSED_ON = ("HOME", "LANG", "PATH", "TMPDIR", "TZ")


class NotReadyError(Exception):
    """A server did not come up."""


@dataclass
class Part:
    """One server: how it is started, and when it is ready."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    is_ready: Callable[[], bool]
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start it and wait until it is ready; once more and again where the last one has not yet let go."""
        until = time.monotonic() + READY_WITHIN_S
        self._spawn()
        while not self.is_ready():
            if time.monotonic() > until:
                raise NotReadyError(f"{self.name} is not up after {READY_WITHIN_S:.0f} s; its log: {self.log}")
            if self.process is not None and self.process.poll() is not None:
                self._spawn()
            time.sleep(0.2)

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.env),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal, all of its group for SIGKILL, and wait until it has ended."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Servers:
    """Servers on one address, in a folder of their own, all ended with the block.

    Attributes:
        authority: signs PostgreSQL's certificate; `authority.file` is what hosts trust.
        fleet: ports and passwords.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.authority = Authority(folder / "authority")
        self.fleet = Fleet(
            {name: _free_port(address) for name in ("api", "postgres", "redis")},
            {name: secrets.token_urlsafe(24) for name in ("api", "postgres", "redis")},
        )
        self.parts: dict[str, Part] = {}
        self._cluster: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for part in reversed(self.parts.values()):
            part.end(signal.SIGINT if part.name == "postgres" else signal.SIGTERM)
        if self._cluster is not None:
            shutil.rmtree(self._cluster, ignore_errors=True)

    @property
    def api(self) -> str:
        """URL of Prefect's API."""
        return f"http://{self.address}:{self.fleet.port('api')}/api"

    @property
    def ledger(self) -> dict[str, str]:
        """Variables that name the ledger, for a host."""
        query = f"sslmode=verify-full&sslrootcert={self.authority.file}"
        where = f"{self.address}:{self.fleet.port('postgres')}"
        return {
            "ANIMATIC_LEDGER": f"postgresql://animatic@{where}/animatic?{query}",
            "PGPASSWORD": self.fleet.passwords["postgres"],
        }

    def connect(self, database: str = "animatic") -> "psycopg.Connection[tuple[object, ...]]":
        """Return a connection from outside of all hosts."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.fleet.port("postgres"),
            user="animatic",
            password=self.fleet.passwords["postgres"],
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def start_postgres(self) -> Part:
        """Start a cluster of our own with two databases: the ledger's and Prefect's."""
        program = postgres_program("postgres")
        if program is None:
            raise NotReadyError("no PostgreSQL on this machine; install postgresql")
        data = self._make_cluster(program.with_name("initdb"))
        options = {
            "port": self.fleet.port("postgres"),
            "listen_addresses": f"127.0.0.1,{self.address}",
            "unix_socket_directories": "",
            "max_connections": 200,
            "ssl": "on",
            "ssl_cert_file": data.parent / "server.pem",
            "ssl_key_file": data.parent / "server.pem",
        }
        command = as_postgres([str(program), f"-D{data}", *(f"-c{name}={value}" for name, value in options.items())])
        part = self._started("postgres", command, {**_plain(), "LC_ALL": "C.UTF-8"}, self._answers)
        with self.connect("postgres") as connection:
            for database in ("animatic", "prefect"):
                connection.execute(f"CREATE DATABASE {database}".encode())
        return part

    def _make_cluster(self, initdb: Path) -> Path:
        self._cluster = folder = Path(tempfile.mkdtemp(prefix="animatic-hosts-", dir="/var/tmp"))
        folder.chmod(0o711)
        data, password, pem = folder / "data", folder / "password", folder / "server.pem"
        data.mkdir(mode=0o700)
        write_private(password, self.fleet.passwords["postgres"])
        write_private(pem, self.authority.certificate_for(self.address, "127.0.0.1").read_text(encoding="ascii"))
        for path in (data, password, pem):
            give_to_postgres(path)
        made = [str(initdb), f"-D{data}", "--username=animatic", "--auth=scram-sha-256", "--encoding=UTF8"]
        command = as_postgres([*made, "--locale=C.UTF-8", f"--pwfile={password}"])
        subprocess.run(command, env=_plain(), stdout=subprocess.DEVNULL, check=True)
        password.unlink()
        with (data / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write("hostssl all all samenet scram-sha-256\n")
        return data

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg.Error:
            return False
        return True

    def start_prefect(self) -> None:
        """Start Redis, and Prefect's API and services, each by itself."""
        port, password = self.fleet.port("redis"), self.fleet.passwords["redis"]
        config = self.folder / "redis.conf"
        write_private(config, f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndaemonize no\n')
        self._started("redis", ["redis-server", str(config)], _plain(), lambda: _accepts("127.0.0.1", port))
        env = {**server_environment(self.fleet, self.folder), "PREFECT_API_URL": self.api}
        env["PREFECT_SERVER_UI_API_URL"] = self.api
        run_command([PREFECT, "server", "database", "upgrade", "--yes"], env)
        listening = ["--host", self.address, "--port", str(self.fleet.port("api"))]
        self._started("prefect-api", [PREFECT, "server", "start", "--no-services", *listening], env, self._api_answers)
        self._started("prefect-services", [sys.executable, "-m", "flows.server.services"], env, lambda: True)

    def _api_answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.ask("GET", "/admin/version") is not None
        return False

    def ask(self, method: str, path: str, body: object = None) -> object:
        """Return what Prefect's API replies; None for an error. Raises httpx.TransportError."""
        credentials = ("animatic", self.fleet.passwords["api"])
        reply = httpx.request(method, self.api + path, json=body, auth=credentials, timeout=20, trust_env=False)
        return reply.json() if reply.is_success and reply.content else None

    def prefect(self, home: Path) -> dict[str, str]:
        """Return the variables of a client of Prefect's API with a home of its own."""
        return {
            **_plain(),
            "PREFECT_API_URL": self.api,
            "PREFECT_API_AUTH_STRING": f"animatic:{self.fleet.passwords['api']}",
            "PREFECT_HOME": str(home / "prefect"),
            "HOME": str(home),
            "DO_NOT_TRACK": "1",
        }

    def _started(self, name: str, command: Sequence[str], env: Mapping[str, str], is_ready: Callable[[], bool]) -> Part:
        part = self.parts[name] = Part(name, command, env, self.folder / f"{name}.log", is_ready)
        part.start()
        return part


def run_command(command: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT) -> None:
    """Run a command to its end. Raises NotReadyError, with its last words, where it fails."""
    ended = subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotReadyError(f"{' '.join(command[:4])}: {(ended.stderr or ended.stdout).strip()[-1_000:]}")


def _plain() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as listening:
        return int(listening.getsockname()[1])


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True
