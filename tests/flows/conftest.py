"""Commands as people type them, flows in this process, one sandbox and one Prefect server for all of them.

Every command gets an environment of its own making: nothing of the developer's home or settings gets in. A test tells
its takes from those of others in the shared sandbox by their prompts, which hold the name of its folder.
"""

import asyncio
import contextlib
import csv
import fcntl
import gc
import json
import os
import pty
import resource
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner
from warm import Warm

from animatic.machine.privacy import keep_private
from animatic.sandbox.witness import Accepted, read_witness
from flows.session import SESSION, RunEnd, Session
from flows.settings import Settings

KEY = "canary-key-0f1e2d3c"
ANIMATIC = (str(Path(sys.executable).with_name("animatic")),)
WARM = Warm()
"""Process that commands are forked from, where it does not matter how they start."""
STILL = "https://stills.example/a.png"
COMMAND_TIMEOUT_S = 60.0
WITHOUT_A_FLOW = frozenset({"plan", "results", "reconcile", "ledger"})
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
if not os.path.isabs(os.path.expanduser("~")):  # noqa: PTH111, PTH117 - Path raises where there is no home
    os.environ["HOME"] = tempfile.gettempdir()  # while tests are collected, which imports Prefect; then see `own_home`
_PROXIES = [form for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for form in (name, name.lower())]


@dataclass(frozen=True)
class ServedSandbox:
    """A sandbox in a process of its own; `witness` says what it accepted, `submitted` which of the given prompts."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def witness(self) -> list[Accepted]:
        return read_witness(self.folder)

    def submitted(self, part: str) -> Counter[str]:
        """Count the acceptances of each prompt with this part in it."""
        return Counter(each.inputs["prompt"] for each in self.witness if part in each.inputs["prompt"])


@contextlib.contextmanager
def _served(folder: Path, *flags: str) -> Generator[ServedSandbox]:
    base = ("--folder", str(folder), "--key", KEY, "--no-render", "--no-sync", "--spread", "0", "--die-with-parent")
    process = subprocess.Popen(
        [sys.executable, "-m", "animatic.sandbox", *base, *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_bare_environment(folder),
    )
    with process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield ServedSandbox(ready["url"], folder, process)
        finally:
            process.kill()


def _bare_environment(home: Path) -> dict[str, str]:
    """As little as a command needs; with the proxies of this machine, which no test may notice."""
    proxies = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "DO_NOT_TRACK": "1"} | proxies


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home for what runs in this process: a container's user may have none, and a developer's is not for tests.

    Nor does a proxy stand between this process and its own servers.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(tmp_path_factory.mktemp("own-home")))
        for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "ANIMATIC_HOME"):
            environment.delenv(name, raising=False)
        for name in ("NO_PROXY", "no_proxy"):  # for what tests ask by themselves; commands have to see to it
            environment.setenv(name, "127.0.0.1,localhost")
        yield


@pytest.fixture(scope="session", autouse=True)
def warm() -> Iterator[Warm]:
    """The process that commands are forked from, started with the first that needs it."""
    yield WARM
    WARM.close()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedSandbox]:
    """The sandbox that tests share: 0.3 s of inference, no limits."""
    with _served(tmp_path_factory.mktemp("sandbox"), "--inference-s", "0.3") as served:
        yield served


ServeSandbox = Callable[..., ServedSandbox]


@pytest.fixture
def serve_sandbox(tmp_path: Path) -> Iterator[ServeSandbox]:
    """Serves sandboxes of a test's own, with these flags."""
    with contextlib.ExitStack() as stack:
        yield lambda *flags, folder=tmp_path / "sandbox": stack.enter_context(_served(folder, *flags))


@dataclass(frozen=True)
class PrefectServer:
    """The Prefect server that tests share. It listens before it is up, so that clients wait instead of failing."""

    url: str
    home: Path


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Prefect's database of a new home, for all processes of the tests: the first server makes it."""
    folder = tmp_path_factory.getbasetemp()
    return (folder if worker_id == "master" else folder.parent) / "migrated.db"


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[PrefectServer]:
    from flows.server import child_processes  # noqa: PLC0415 - the pure tests of this folder need none of it

    home = tmp_path_factory.mktemp("prefect")
    with contextlib.ExitStack() as stack:
        with (
            migrated_database.with_suffix(".lock").open("w") as lock,
            pytest.MonkeyPatch.context() as environment,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            if is_migrated := migrated_database.exists():
                copy_database(migrated_database, home / "prefect.db")
            environment.setenv("PREFECT_HOME", str(home))
            environment.setenv("DO_NOT_TRACK", "1")
            environment.delenv("PREFECT_API_URL", raising=False)
            served = stack.enter_context(child_processes.prefect_server(home / "server.log"))
            if not is_migrated:
                with urllib.request.urlopen(f"{served.url}/health", timeout=120):
                    copy_database(home / "prefect.db", home / "whole.db")
                (home / "whole.db").rename(migrated_database)
        yield PrefectServer(served.url, home)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database of SQLite that may be in use."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


@pytest.fixture(scope="session")
def prefect(prefect_server: PrefectServer) -> Iterator[Any]:
    """A Prefect client; for the rest of the session flows of this process talk to the shared server."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - slow, and not for pure tests
    from prefect.events.worker import EventsWorker  # noqa: PLC0415
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings  # noqa: PLC0415

    chosen = {PREFECT_API_URL: prefect_server.url, PREFECT_HOME: prefect_server.home}
    with temporary_settings(chosen), get_client(sync_client=True) as client:
        yield client
        for worker in (EventsWorker, APILogWorker):  # or they poll the server until the process ends
            worker.drain_all(timeout=10)


def write_manifest(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A CSV of these rows, each with a still where it names none."""
    names = list(dict.fromkeys(["image", *(name for row in rows for name in row)]))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows({"image": STILL} | dict(row) for row in rows)
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(path).to_pylist()


@pytest.fixture
def tag(tmp_path: Path) -> str:
    """Text that the prompts of this test hold, and no others in the shared sandbox."""
    return f"<{tmp_path.name}>"


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest of rows, each a mapping, into the test's folder."""
    return lambda *rows, name="shots.csv": write_manifest(tmp_path / name, rows)


@dataclass
class Ended:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of stdout."""
        return json.loads(self.stdout.splitlines()[-1])


@dataclass
class Shell:
    """A home folder to run commands in, and the environment that they get."""

    home: Path
    more: dict[str, str] = field(default_factory=dict)
    says_yes: bool = True
    """True if `run` gets `--yes` and may begin a ledger: takes cost money on loopback too, and no person answers."""

    archives: bool = False
    """True if `run` archives clips as it does by itself; else it gets `--no-archive`, which is quicker."""

    @property
    def environment(self) -> dict[str, str]:
        begins = {"ANIMATIC_NEW_LEDGER": datetime.now(UTC).date().isoformat()} if self.says_yes else {}
        return _bare_environment(self.home) | begins | self.more

    def start(self, *arguments: str, is_warm: bool = False, **options: Any) -> "subprocess.Popen[str]":
        """The command as a process, in a session of its own; the caller ends it. One that is warm is forked."""
        command = [*([WARM.animatic] if is_warm else ANIMATIC), *self._typed(arguments)]
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            command, env=self.environment, cwd=self.home, text=True, start_new_session=True, **options
        )

    def _typed(self, arguments: Sequence[str]) -> list[str]:
        more: list[str] = []
        if arguments[0] == "run":
            more += ["--yes"] * (self.says_yes and not {"--yes", "--max-usd", "--sandbox"} & {*arguments})
            more += ["--no-archive"] * (not self.archives and "--archive" not in arguments)
        return [*arguments, *more]

    def run(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Ended:
        """The command, run to its end: in this process where it has no flow, which saves the start of another."""
        return self.here(*arguments) if arguments[0] in WITHOUT_A_FLOW else self.apart(*arguments, timeout_s=timeout_s)

    def here(self, *arguments: str) -> Ended:
        """The command in this process, which is afterwards as before; also for a run that is refused."""
        from flows.command.cli import app, with_dates  # noqa: PLC0415 - the pure tests of this folder need none of it

        typed, logs = with_dates(self._typed(arguments), datetime.now(UTC).date().isoformat()), self.logs()
        with _as_it_was(self.environment, self.home):
            keep_private()
            ended = CliRunner().invoke(app, typed)
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        assert self.logs() == logs, "it began a flow, which is for a process of its own"
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    def apart(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Ended:
        """The command in a process of its own; killed with all that it started where that takes too long."""
        process = self.start(*arguments, is_warm=True)
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException:
            kill_group(process)
            raise
        return Ended(process.returncode, stdout, stderr)

    def another(self, name: str = "laptop") -> "Shell":
        """Return a second laptop: the same account and settings, an empty home, and nobody who says yes."""
        home = self.home.with_name(name)
        home.mkdir()
        return Shell(home, dict(self.more), says_yes=False)

    def copied(self, home: Path) -> "Shell":
        """Return this one as it is now, in another home."""
        return replace(self, home=shutil.copytree(self.home, home), more=dict(self.more))

    @property
    def ledger(self) -> Path:
        return self.home / ".local/share/animatic/ledger.sqlite"

    def logs(self) -> list[Path]:
        return sorted((self.home / ".local/state/animatic/log").glob("*.log"))


@contextlib.contextmanager
def _as_it_was(environment: Mapping[str, str], folder: Path) -> Generator[None]:
    """This environment and folder for a command, and nothing of what it does to its process afterwards."""
    before, was_in, files = dict(os.environ), Path.cwd(), resource.getrlimit(resource.RLIMIT_NOFILE)
    temporary, handlers = tempfile.tempdir, {each: signal.getsignal(each) for each in ENDING}
    umask = os.umask(0o022)
    os.umask(umask)
    try:
        os.chdir(folder)
        _replace_environment(environment)
        yield
    finally:
        os.chdir(was_in)
        _replace_environment(before)
        os.umask(umask)
        tempfile.tempdir = temporary
        resource.setrlimit(resource.RLIMIT_NOFILE, (files[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _replace_environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def kill_group(process: "subprocess.Popen[Any]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def at_a_terminal(shell: Shell, answers: Sequence[tuple[str, str]], *arguments: str) -> tuple[int, str]:
    """The command with a terminal for stdin and stderr, and all it says, what goes to stdout last.

    Each answer is typed once its question is shown, in this order.

    One that is typed before its question would be thrown away, as a person's would.
    """
    ours, theirs = pty.openpty()
    process = shell.start(*arguments, is_warm=True, stdin=theirs, stderr=theirs)
    os.close(theirs)
    shown, answered, waiting, ends = "", 0, list(answers), time.monotonic() + 60
    try:
        while time.monotonic() < ends:
            if select.select([ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    shown += os.read(ours, 65_536).decode("utf-8", "replace")
            if waiting and waiting[0][0] in shown[answered:]:
                question, answer = waiting.pop(0)
                answered = shown.index(question, answered) + len(question)
                os.write(ours, f"{answer}\n".encode())
            if process.poll() is not None:
                break
        assert process.poll() is not None, shown
        with contextlib.suppress(OSError):
            while select.select([ours], [], [], 0.2)[0]:
                shown += os.read(ours, 65_536).decode("utf-8", "replace")
        assert process.stdout is not None
        return process.returncode, shown + process.stdout.read()
    finally:
        kill_group(process)
        os.close(ours)


def new_shell(home: Path, sandbox: ServedSandbox, server: PrefectServer | None = None) -> Shell:
    """A new home; commands buy from the shared sandbox. Without a server they fail at Prefect: none listens there."""
    home.mkdir()
    settings = {
        "WAVESPEED_API_KEY": KEY,
        "WAVESPEED_BASE_URL": sandbox.url,
        "ANIMATIC_ACCOUNT_LEVEL": "ultra",
        "ANIMATIC_POLL_FLOOR_S": "0.1",
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
    }
    known = {} if server is None else {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(server.home)}
    return Shell(home, settings | known)


@pytest.fixture
def shell(tmp_path: Path, sandbox: ServedSandbox) -> Shell:
    """A new home without a Prefect server."""
    return new_shell(tmp_path / "home", sandbox)


@pytest.fixture
def shell_with_server(tmp_path: Path, sandbox: ServedSandbox, prefect_server: PrefectServer) -> Shell:
    """A new home whose commands use the shared Prefect server."""
    return new_shell(tmp_path / "home", sandbox, prefect_server)


@dataclass
class RanFlow:
    """A flow run in this process."""

    state: Any
    session: Session
    results: Path
    client: Any

    @property
    def end(self) -> RunEnd:
        return self.session.end.result(timeout=0)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return read_rows(self.results)

    @property
    def statuses(self) -> list[str]:
        return [row["status"] for row in self.rows]

    @property
    def flow_run(self) -> Any:
        return self.client.read_flow_run(self.end.flow_run_id)

    def task_runs(self) -> list[Any]:
        """Return the server's records of them, once it has caught up."""
        from uuid import UUID  # noqa: PLC0415 - needed here only

        from flows.command.prefect_end import wait_until_recorded  # noqa: PLC0415 - imports Prefect

        flow_run_id = UUID(str(self.end.flow_run_id))
        assert wait_until_recorded(flow_run_id, self.end.task_runs)
        found: list[Any] = []
        chosen = _runs_of(flow_run_id)
        while page := self.client.read_task_runs(flow_run_filter=chosen, limit=200, offset=len(found)):
            found += page
        return found

    def logs(self) -> list[Any]:
        from prefect.client.schemas.filters import LogFilter  # noqa: PLC0415 - imports Prefect
        from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

        APILogWorker.drain_all(timeout=10)
        chosen = LogFilter.model_validate({"flow_run_id": {"any_": [self.end.flow_run_id]}})
        found: list[Any] = []
        while page := self.client.read_logs(log_filter=chosen, limit=200, offset=len(found)):
            found += page
        return found

    def artifacts(self) -> list[Any]:
        return self.client.read_artifacts(flow_run_filter=_runs_of(self.end.flow_run_id))


def _runs_of(flow_run_id: Any) -> Any:
    from prefect.client.schemas.filters import FlowRunFilter  # noqa: PLC0415 - imports Prefect

    return FlowRunFilter.model_validate({"id": {"any_": [flow_run_id]}})


RunFlow = Callable[..., RanFlow]


@pytest.fixture
def settings(tmp_path: Path, sandbox: ServedSandbox) -> Settings:
    """Settings that buy from the shared sandbox into a ledger of the test's own."""
    return Settings(
        base_url=sandbox.url,
        ledger=f"sqlite:///{tmp_path / 'ledger.sqlite'}",
        account_level="ultra",
        poll_floor_s=0.1,
        new_ledger=datetime.now(UTC).date(),
    ).with_key(KEY)


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Prefect leaves sockets to the garbage collector, which would blame the next test."""
    yield
    gc.collect()


@pytest.fixture
def run_flow(tmp_path: Path, prefect: Any, settings: Settings, collected: None) -> RunFlow:
    """Runs the flow in this process, as the command does."""
    from flows.animate import animate  # noqa: PLC0415 - imports Prefect

    def run(
        manifest: Path,
        settings: Settings = settings,
        results: Path | None = None,
        *,
        is_approved: bool = True,
        purchases: Any = None,
        **parameters: Any,
    ) -> RanFlow:
        session = Session(settings, is_approved, purchases=purchases)
        table = results or tmp_path / "results.parquet"
        token = SESSION.set(session)
        parameters = {"archive": ""} | parameters
        try:
            ending: Any = animate(manifest=str(manifest), results=str(table), **parameters, return_state=True)
            state = asyncio.run(ending)
        finally:
            SESSION.reset(token)
        return RanFlow(state, session, table, prefect)

    return run


def wait_until(claim: Callable[[], Any], deadline_s: float = 30.0) -> Any:
    """Return the value of the claim once it is true; raise an assertion error where it never is."""
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        if found := claim():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not true within {deadline_s} s")


def processes_with(variable: str) -> list[int]:
    """The ids of live processes that have this `NAME=value` in their environment."""
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if _is_of(path, variable)]


def _is_of(environ: Path, variable: str) -> bool:
    try:
        return variable.encode() in environ.read_bytes().split(b"\0")  # empty for what has ended
    except OSError:
        return False


@dataclass(frozen=True)
class Tools:
    """Values that tests share; they can't import them from here."""

    KEY = KEY
    ANIMATIC = ANIMATIC
    Shell = Shell
    new_shell = staticmethod(new_shell)
    serving = staticmethod(_served)
    write_manifest = staticmethod(write_manifest)
    read_rows = staticmethod(read_rows)
    copy_database = staticmethod(copy_database)
    kill_group = staticmethod(kill_group)
    at_a_terminal = staticmethod(at_a_terminal)
    wait_until = staticmethod(wait_until)
    processes_with = staticmethod(processes_with)


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()


@pytest.fixture(scope="session")
def migrated_home(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer, migrated_database: Path
) -> Path:
    """A home whose Prefect database is up to date, which saves its embedded servers some seconds of migrations."""
    home = tmp_path_factory.mktemp("home")
    copy_database(migrated_database, home / ".prefect/prefect.db")
    return home
