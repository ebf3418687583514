"""The parts of a fleet: how each is started, and when it is ready. The same topology as deployments/compose.yaml."""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tools.fleet.folder import FOLDER, ROOT, Fleet, own_folder, write_private
from tools.fleet.machine import as_postgres, give_to_postgres, postgres_program
from tools.fleet.processes import is_alive, logged, start

BIN = Path(sys.executable).parent
PREFECT, ANIMATIC = str(BIN / "prefect"), str(BIN / "animatic")
WORKERS = ("worker-1", "worker-2")
POOL = "animatic"
MEDIA_WORKERS = ("media-1",)
MEDIA_POOL = "animatic-media"
SANDBOX_KEY = "sandbox-key"
"""The key that the sandbox takes."""
READY_WITHIN_S = 120.0
_PASSED_ON = ("HOME", "LANG", "PATH", "TMPDIR", "TZ", "USER")
_OF_REAL_RUNS = (
    *("ANIMATIC_", "WAVESPEED_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_"),
    *("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_"),
)
"""Beginnings of the variables that workers get where takes are bought from WaveSpeed."""


class NotReadyError(Exception):
    """A part did not come up."""


def start_postgres(fleet: Fleet) -> None:
    """Start a cluster of our own, with two databases: Prefect's, and the ledger's."""
    folder = _postgres_folder()
    if not (folder / "PG_VERSION").is_file():
        _make_cluster(fleet, folder)
    options = [f"-cport={fleet.port('postgres')}", "-clisten_addresses=127.0.0.1", "-cunix_socket_directories="]
    start("postgres", as_postgres([_postgres("postgres"), f"-D{folder}", *options]), {**_plain(), "LC_ALL": "C.UTF-8"})
    _wait("postgres", lambda: _psql(fleet, "select 1") is not None)
    there = (_psql(fleet, "select datname from pg_database") or "").split()
    for database in ("prefect", "animatic"):
        if database not in there:
            _run([_postgres("createdb"), *_where(fleet), database], _postgres_client(fleet))


def _make_cluster(fleet: Fleet, folder: Path) -> None:
    own_folder(folder)
    give_to_postgres(folder)
    password = folder.with_name("postgres-password")
    write_private(password, fleet.passwords["postgres"])
    give_to_postgres(password)
    try:
        made = [_postgres("initdb"), f"-D{folder}", "--username=animatic", "--auth=scram-sha-256", "--encoding=UTF8"]
        command = as_postgres([*made, "--locale=C.UTF-8", f"--pwfile={password}"])
        subprocess.run(command, env=_plain(), stdout=subprocess.DEVNULL, check=True)
    finally:
        password.unlink()


def _postgres_folder() -> Path:
    """Return the cluster's folder: in the fleet's own, unless the user postgres cannot get there."""
    beside = own_folder(Path(f"/var/tmp/animatic-fleet-{os.getuid()}")) if _is_hidden(FOLDER) else FOLDER  # noqa: S108
    if beside != FOLDER:
        beside.chmod(0o711)
        beside = beside / str(FOLDER).strip("/").replace("/", "-")
        beside.mkdir(exist_ok=True)
        beside.chmod(0o711)
    return beside / "postgres"


def _is_hidden(folder: Path) -> bool:
    return os.geteuid() == 0 and any(not each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def _postgres(name: str) -> str:
    return str(postgres_program(name))


def _psql(fleet: Fleet, statement: str) -> str | None:
    """Return the reply to a statement; None while the server does not answer."""
    command = [_postgres("psql"), *_where(fleet), "-dpostgres", "-qAt", "-c", statement]
    ended = subprocess.run(command, env=_postgres_client(fleet), capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else None


def _where(fleet: Fleet) -> list[str]:
    return ["-h127.0.0.1", f"-p{fleet.port('postgres')}", "-Uanimatic", "-w"]


def _postgres_client(fleet: Fleet) -> dict[str, str]:
    return {**_plain(), "PGPASSWORD": fleet.passwords["postgres"]}


def start_redis(fleet: Fleet) -> None:
    """Start Redis; its password comes on stdin, since arguments can be seen by all."""
    folder = own_folder(FOLDER / "redis")
    port, password = fleet.port("redis"), fleet.passwords["redis"]
    config = f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir "{folder}"\nappendonly yes\ndaemonize no\n'
    start("redis", ["redis-server", "-"], _plain(), config.encode())
    _wait("redis", lambda: _ping(port, password))


def _ping(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as replies:
                return [replies.readline(100), replies.readline(100)] == [b"+OK\r\n", b"+PONG\r\n"]
    except OSError:
        return False


def start_prefect(fleet: Fleet) -> None:
    """Migrate Prefect's database, then start its API and its services, each by itself."""
    own_folder(FOLDER / "prefect")
    env = server_environment(fleet)
    _run([PREFECT, "server", "database", "upgrade", "--yes"], env)
    listening = ["--host", "127.0.0.1", "--port", str(fleet.port("api"))]
    start("prefect-api", [PREFECT, "server", "start", "--no-services", *listening], env)
    start("prefect-services", [sys.executable, "-m", "flows.server.services"], env)
    _wait("prefect-api", lambda: _answers(fleet))


def _answers(fleet: Fleet) -> bool:
    credentials = ("animatic", fleet.passwords["api"])
    try:
        return httpx.get(f"{fleet.api}/admin/version", auth=credentials, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def start_sandbox(fleet: Fleet) -> None:
    """Start the sandbox, which sells takes for nothing."""
    folder = own_folder(FOLDER / "sandbox")
    where = ["--folder", str(folder), "--port", str(fleet.port("sandbox"))]
    start("sandbox", [ANIMATIC, "sandbox", *where], worker_environment(fleet))
    _wait("sandbox", lambda: f"http://127.0.0.1:{fleet.port('sandbox')}" in logged("sandbox"))


def start_workers(fleet: Fleet, pools: Mapping[str, tuple[str, ...]]) -> None:
    """Make work pools, deployments and automations, and start the workers, one run at a time each."""
    env = worker_environment(fleet)
    for pool in pools:
        _run([PREFECT, "work-pool", "create", pool, "--type", "process", "--overwrite"], env)
    _run([PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"], env)
    _run([sys.executable, "-m", "flows.server.automations"], env)
    for pool, workers in pools.items():
        for name in workers:
            options = ["--pool", pool, "--type", "process", "--limit", "1", "--name", name]
            start(name, [PREFECT, "worker", "start", *options], env)
    for name in [name for workers in pools.values() for name in workers]:
        _wait(name, lambda name=name: "started!" in logged(name))


def server_environment(fleet: Fleet, folder: Path = FOLDER) -> dict[str, str]:
    """Return the variables of Prefect's API and services: PostgreSQL keeps, Redis passes on."""
    redis = f"redis://:{fleet.passwords['redis']}@127.0.0.1:{fleet.port('redis')}"
    return {
        **_plain(),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": fleet.api,
        "PREFECT_SERVER_UI_API_URL": fleet.api,
        "PREFECT_UI_URL": fleet.api.removesuffix("/api"),
        "PREFECT_SERVER_API_AUTH_STRING": f"animatic:{fleet.passwords['api']}",
        "PREFECT_API_AUTH_STRING": f"animatic:{fleet.passwords['api']}",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
            f"postgresql+asyncpg://animatic:{fleet.passwords['postgres']}@127.0.0.1:{fleet.port('postgres')}/prefect"
        ),
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": f"{redis}/0",
        "PREFECT_SERVER_DOCKET_URL": f"{redis}/1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def worker_environment(fleet: Fleet) -> dict[str, str]:
    """Return the variables of a worker, and so of the runs that it carries out."""
    return {
        **_plain(),
        **client_environment(fleet),
        "ANIMATIC_HOME": str(own_folder(FOLDER / "home")),
        **_provider(fleet),
        **_ledger(fleet),
        "DO_NOT_TRACK": "1",
    }


def _ledger(fleet: Fleet) -> dict[str, str]:
    """Return where takes are recorded: in the fleet's PostgreSQL, unless REAL=1 and ANIMATIC_LEDGER were typed."""
    if is_real() and os.environ.get("ANIMATIC_LEDGER"):
        return {}  # its password is the typist's: PGPASSWORD, .pgpass or a service file
    url = f"postgresql://animatic@127.0.0.1:{fleet.port('postgres')}/animatic"
    return {"ANIMATIC_LEDGER": url, "PGPASSWORD": fleet.passwords["postgres"]}


def client_environment(fleet: Fleet) -> dict[str, str]:
    """Return the variables that another terminal needs."""
    return {
        "PREFECT_API_URL": fleet.api,
        "PREFECT_API_AUTH_STRING": f"animatic:{fleet.passwords['api']}",
        "PREFECT_HOME": str(own_folder(FOLDER / "prefect-client")),
    }


def is_real() -> bool:
    """Tell if takes are bought from WaveSpeed."""
    return os.environ.get("REAL") == "1"


def _provider(fleet: Fleet) -> dict[str, str]:
    """Return where takes are bought: the sandbox, unless REAL=1 was typed."""
    if is_real():
        own_ledger = ("PG",) if os.environ.get("ANIMATIC_LEDGER") else ()
        begins = (*_OF_REAL_RUNS, *own_ledger)
        return {name: value for name, value in os.environ.items() if name.upper().startswith(begins)}
    return {**_sandbox(fleet), "ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat()}


def _sandbox(fleet: Fleet) -> dict[str, str]:
    sandbox = f"http://127.0.0.1:{fleet.port('sandbox')}"
    return {"WAVESPEED_BASE_URL": sandbox, "WAVESPEED_API_KEY": SANDBOX_KEY, "ANIMATIC_ACCOUNT_LEVEL": "ultra"}


def write_environment(fleet: Fleet) -> Path:
    """Write what another terminal needs, as a shell reads it; return the file.

    The sandbox's key is in it, never one of WaveSpeed's.
    """
    path = FOLDER / "env"
    own = {name: os.environ[name] for name in ("ANIMATIC_HOME", "ANIMATIC_LEDGER") if os.environ.get(name)}
    provider = own if is_real() else _sandbox(fleet)
    variables = {**client_environment(fleet), **_ledger(fleet), **provider, "PATH": f"{BIN}:$PATH"}
    quoted = (f"export {name}={value if name == 'PATH' else shlex.quote(value)}\n" for name, value in variables.items())
    write_private(path, "".join(quoted))
    return path


def _plain() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _run(command: list[str], env: Mapping[str, str]) -> None:
    ended = subprocess.run(command, cwd=ROOT, env=dict(env), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NotReadyError(f"{' '.join(command[:4])}: {(ended.stderr or ended.stdout).strip()[-1_000:]}")


def _wait(name: str, is_ready: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while not is_ready():
        if not is_alive(name):
            last = (logged(name).strip().splitlines() or ["it logged nothing"])[-1]
            raise NotReadyError(f"{name} ended: {last}; its log: {FOLDER}/logs/{name}.log")
        if time.monotonic() > until:
            raise NotReadyError(f"{name} is not up after {READY_WITHIN_S:.0f} s; its log: {FOLDER}/logs/{name}.log")
        time.sleep(0.2)
