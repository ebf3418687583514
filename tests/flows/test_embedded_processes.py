"""An embedded run: what its processes get of our environment, and what may set up its Prefect.

One run, in an environment full of secrets, proxies and settings of Prefect; its children are looked at while it is
under way.
"""

import contextlib
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile import logging_settings

pytestmark = pytest.mark.timeout(400)

CANARY = "canary-of-embedded-9a2f"
SECRETS = (
    "WAVESPEED_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET",
    "GOOGLE_APPLICATION_CREDENTIALS", "GITHUB_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING",
    "PREFECT_CLIENT_CUSTOM_HEADERS", "DATABASE_URL", "SSH_AUTH_SOCK", "UV_INDEX_PASSWORD", "KUBECONFIG",
)  # fmt: skip
PASSED_ON = {
    "PATH": None, "HOME": None, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "LC_TIME": "C", "TZ": "UTC", "TERM": "dumb",
    "USER": "a person", "LOGNAME": "a person", "DO_NOT_TRACK": "1", "PYTHONPATH": None,
}  # fmt: skip
"""Variables that a child needs; with the value that this run gives them, or None for a place."""

OF_US = {"NO_PROXY": "*", "no_proxy": "*", "PYTHONSAFEPATH": "1"}
OF_SERVER = {
    "PREFECT_HOME", "PREFECT_PROFILES_PATH", "PREFECT_LOGGING_SETTINGS_PATH", "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_UI_API_URL",
    "PREFECT_UI_URL",
}  # fmt: skip
PROXIES = [form for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for form in (name, name.lower())]


@dataclass(frozen=True)
class Child:
    """A process that the run started, as /proc showed it."""

    command: list[str]
    environment: dict[str, str]
    folder: Path


@dataclass(frozen=True)
class Seen:
    """The run, its children, and the number of connections to the proxy."""

    ended: Any
    children: dict[str, Child]
    home: Path
    marks: Path
    proxied: int

    @property
    def prefect_home(self) -> Path:
        return self.home / "prefect here"


def _children_of(pid: int) -> dict[str, Child]:
    """The children by the module that they run: those that have begun to run one."""
    found: dict[str, Child] = {}
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in listed.read_text().split():
                shell = Path("/proc") / child
                command = (shell / "cmdline").read_bytes().decode().split("\0")[:-1]
                environment = dict(
                    each.partition("=")[::2] for each in (shell / "environ").read_bytes().decode().split("\0") if each
                )
                if "-m" in command:
                    folder = (shell / "cwd").readlink()
                    found[command[command.index("-m") + 1]] = Child(command, environment, folder)
    return found


def _settings_of_others(home: Path, marks: Path) -> dict[str, str]:
    """Settings of Prefect, in files and variables, each of which would be seen if it were obeyed."""
    (home / "prefect here").mkdir(parents=True)
    dead = "http://127.0.0.1:9/api"
    for name in ("variable.yml", "prefect here/logging.yml", "in-profile.yml"):
        (home / name).write_text(logging_settings(marks / name.replace("/", " ")))
    profile = f'PREFECT_API_URL = "{dead}"\nPREFECT_LOGGING_SETTINGS_PATH = "{home}/in-profile.yml"\n'
    for name in ("profiles.toml", "prefect here/profiles.toml"):
        (home / name).write_text(f'active = "theirs"\n[profiles.theirs]\n{profile}')
    return {
        "PREFECT_HOME": "prefect here",
        "PREFECT_PROFILE": "theirs",
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_LOGGING_SETTINGS_PATH": str(home / "variable.yml"),
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOCAL_STORAGE_PATH": str(marks / "storage"),
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{marks}/one.db",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{marks}/two.db",
        "PREFECT_SERVER_API_BASE_PATH": "/elsewhere",
        "PREFECT_SERVER_API_PORT": "9",
        "PREFECT_CLIENT_MAX_RETRIES": "-1",
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true",
        "PREFECT_API_SSL_CERT_FILE": str(home / "no-such-file.pem"),
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path, tools: Any) -> Seen:
    shell = tmp_path_factory.mktemp("embedded")
    home, marks, library = shell / "home", shell / "marks", shell / "library"
    for folder in (home, marks, library):
        folder.mkdir()
    settings = _settings_of_others(home, marks)
    tools.copy_database(migrated_home / ".prefect/prefect.db", home / "prefect here/prefect.db")
    tools.write_manifest(home / "shots.csv", [{"prompt": f"embedded: {name}"} for name in ("push in", "pan left")])
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://a person:{CANARY}@127.0.0.1:{proxy.getsockname()[1]}"
        run = tools.Shell(
            home,
            {name: f"{CANARY}-{name}" for name in SECRETS}
            | settings
            | {name: value for name, value in PASSED_ON.items() if value is not None}
            | dict.fromkeys(PROXIES, url)
            | {"PYTHONPATH": f":{library}:relative:", "ANIMATIC_ACCOUNT_LEVEL": "ultra", "EDITOR": "vi"},
        )
        process = run.start("run", "shots.csv", "--results", "out.parquet", "--sandbox", "--json")
        try:
            children = tools.wait_until(_both(process), 120)
            stdout, stderr = process.communicate(timeout=240)
        except BaseException:
            tools.kill_group(process)
            raise
        proxy.settimeout(0)
        proxied = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                proxy.accept()[0].close()
                proxied += 1
    return Seen((process.returncode, stdout, stderr), children, home, marks, proxied)


def _both(process: Any) -> Callable[[], dict[str, Child] | None]:
    def claim() -> dict[str, Child] | None:
        assert process.poll() is None, process.communicate()
        children = _children_of(process.pid)
        return children if {"flows.server.prefect_server", "animatic.sandbox"} <= children.keys() else None

    return claim


def test_a_run_among_secrets_proxies_and_settings_of_others_ends_well(seen: Seen) -> None:
    code, stdout, stderr = seen.ended
    assert code == 0, stderr
    assert CANARY not in stdout + stderr
    assert '"completed": 2' in stdout


@pytest.mark.parametrize("module", ["flows.server.prefect_server", "animatic.sandbox"])
def test_a_child_gets_a_closed_list_of_variables_and_no_secret(seen: Seen, module: str) -> None:
    environment = seen.children[module].environment
    expected = PASSED_ON.keys() | OF_US.keys() | (OF_SERVER if module == "flows.server.prefect_server" else set())
    assert environment.keys() == expected
    assert {name: environment[name] for name in OF_US} == OF_US
    assert {name: environment[name] for name, value in PASSED_ON.items() if value} == {
        name: value for name, value in PASSED_ON.items() if value
    }
    assert not [name for name, value in environment.items() if CANARY in value]


@pytest.mark.parametrize("module", ["flows.server.prefect_server", "animatic.sandbox"])
def test_a_child_imports_from_no_folder_that_it_happens_to_be_in(seen: Seen, module: str) -> None:
    child = seen.children[module]
    assert child.command[1] == "-P"
    assert child.environment["PYTHONPATH"] == str(seen.home.parent / "library")
    assert child.folder == seen.home / ".local/share/animatic/empty"
    assert list(child.folder.iterdir()) == []


def test_no_key_or_password_stands_on_a_command_line(seen: Seen) -> None:
    words = [word for child in seen.children.values() for word in child.command]
    password = seen.children["flows.server.prefect_server"].environment["PREFECT_SERVER_API_AUTH_STRING"]
    assert password
    assert not [word for word in words if CANARY in word or password in word]


def test_prefects_settings_of_others_change_nothing_in_an_embedded_run(seen: Seen) -> None:
    assert list(seen.marks.iterdir()) == []


def test_a_relative_prefect_home_is_honoured_from_where_the_command_was_typed(seen: Seen) -> None:
    with contextlib.closing(sqlite3.connect(seen.prefect_home / "prefect.db")) as database:
        names = [name for (name,) in database.execute("select name from flow_run where name like 'shots %'")]
    assert names  # more than one where a run was over before its processes were seen
    assert not (seen.home / ".prefect").exists()


def test_a_run_on_loopback_connects_to_no_proxy(seen: Seen) -> None:
    assert seen.proxied == 0
