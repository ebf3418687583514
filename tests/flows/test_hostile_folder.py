"""Commands typed in a folder that others filled: nothing of it is run or read but the manifest and its stills."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hostile import fill, logging_settings
from PIL import Image
from traced import NOT_TRACED, STRACE, Touched, touched, tracing

from animatic.sandbox.witness import read_witness

pytestmark = pytest.mark.timeout(600)
needs_trace = pytest.mark.skipif(STRACE is None, reason=NOT_TRACED)

ANIMATIC = str(Path(sys.executable).with_name("animatic"))
ASKED_FOR = {"shots.csv", "stills/one.png", "stills/linked.png", "stills/two.png", "out.parquet", "again.csv"}
TEMPORARY = re.compile(r"\.animatic-\w+\.tmp")
"""Beside a results file, until it is whole; none is left."""


@dataclass
class Hostile:
    """The folder, and what the commands that were typed in it did."""

    folder: Path
    marks: Path
    traces: Path
    environment: Mapping[str, str]
    files: list[Path] = field(default_factory=list[Path])
    ended: dict[str, "subprocess.CompletedProcess[str]"] = field(
        default_factory=dict[str, "subprocess.CompletedProcess[str]"]
    )

    def type(self, name: str, *arguments: str, timeout_s: float = 240.0) -> "subprocess.CompletedProcess[str]":
        """Run a command in the folder, and keep a trace of the files that it names, where there is strace."""
        traced = [] if STRACE is None else tracing(self.traces / name)
        self.ended[name] = subprocess.run(
            [*traced, ANIMATIC, *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return self.ended[name]

    def named_in_folder(self, name: str) -> dict[str, set[str]]:
        """Return the files of the folder that a command named, relative to it, each with the calls that named it."""
        found: dict[str, set[str]] = {}
        for each in touched(self.traces / name, self.folder):
            if Path(each.path).is_relative_to(self.folder):
                found.setdefault(str(Path(each.path).relative_to(self.folder)), set()).add(each.call)
        return found

    def left_marks(self) -> list[str]:
        return sorted(path.name for path in self.marks.iterdir())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Hostile:
    """The folder, with a manifest and stills; three commands were typed in it."""
    shell = tmp_path_factory.mktemp("hostile").resolve()
    folder, marks = shell / "theirs", shell / "marks"
    (shell / "traces").mkdir()
    home = shell / "home"
    home.mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": "",
        "PREFECT_HOME": str(migrated_home / ".prefect"),
        "DO_NOT_TRACK": "1",
        "WAVESPEED_API_KEY": "canary-key-of-hostile-folder",
    }
    here = Hostile(folder, marks, shell / "traces", environment)
    fill(folder, marks, shell / "outside")
    (folder / "stills").mkdir()
    Image.new("RGB", (320, 180), "navy").save(folder / "stills/one.png")
    Image.new("RGB", (320, 180), "gold").save(folder / "stills/two.png")
    (folder / "stills/linked.png").symlink_to("two.png")
    (folder / "shots.csv").write_text(
        "image,prompt\nstills/one.png,hostile: push in\nstills/linked.png,hostile: pan left\n"
    )
    here.files = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    here.type("run", "run", "shots.csv", "--results", "out.parquet", "--sandbox", "--no-archive")
    here.type("plan", "plan", "./shots.csv", "--sandbox")
    here.type("results", "results", "shots.csv", "--results", "../theirs/again.csv", "--sandbox")
    return here


COMMANDS = ("run", "plan", "results")


def test_the_folder_is_full_of_what_libraries_look_for(hostile: Hostile) -> None:
    assert len(hostile.files) > 60


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_does_its_work_in_a_hostile_folder(hostile: Hostile, command: str) -> None:
    ended = hostile.ended[command]
    assert ended.returncode == 0, ended.stderr
    made = {"run": "out.parquet", "results": "again.csv"}
    assert (hostile.folder / made.get(command, "shots.csv")).is_file()


def test_a_run_in_a_hostile_folder_buys_each_take_once(hostile: Hostile) -> None:
    accepted = read_witness(Path(hostile.environment["HOME"]) / ".local/share/animatic/sandbox")
    assert sorted(each.inputs["prompt"] for each in accepted) == ["hostile: pan left", "hostile: push in"]


def test_nothing_of_a_hostile_folder_is_executed(hostile: Hostile) -> None:
    assert hostile.left_marks() == []
    assert not (hostile.folder / "theirs").exists()


@needs_trace
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_of_a_hostile_folder_is_opened_but_manifest_stills_and_results(hostile: Hostile, command: str) -> None:
    named = hostile.named_in_folder(command)
    named.pop(".", None)  # the folder itself, to sync what was replaced in it
    assert "shots.csv" in named, "the trace is blind"
    others = {name for name in named if name not in ASKED_FOR and name != "stills"}
    assert {name for name in others if not TEMPORARY.fullmatch(name)} == set()


def test_a_hostile_folder_holds_what_it_held_and_the_results(hostile: Hostile) -> None:
    held = {path for path in hostile.folder.rglob("*") if path.is_file() or path.is_symlink()}
    assert {path.name for path in held ^ {*hostile.files}} == {"out.parquet", "again.csv"}


@pytest.mark.services
@needs_trace
def test_the_trace_and_the_marks_see_code_and_settings_that_are_read(tmp_path: Path) -> None:
    folder, marks, trace = tmp_path / "theirs", tmp_path / "marks", tmp_path / "trace"
    files = fill(folder, marks, tmp_path / "outside")
    assert len(files) > 60
    code = "import uvicorn, rich, platform, posix; open('.env').close(); posix.execve('./git', ['git'], {})"
    environment = {"PATH": "/usr/bin:/bin"}
    subprocess.run([*tracing(trace), sys.executable, "-c", code], cwd=folder, env=environment, check=False)
    found = touched(trace, folder)
    for call, name in (("openat", "uvicorn.py"), ("openat", ".env"), ("execve", "git")):
        assert Touched(call, str(folder / name)) in found
    assert Touched("openat", str(tmp_path / "outside/rich.py")) in found
    assert {path.name for path in marks.iterdir()} == {"uvicorn.py", "linked rich.py", "compiled platform"}


def test_the_logging_settings_would_run_what_they_name_in_prefect(tmp_path: Path) -> None:
    mark, settings = tmp_path / "mark", tmp_path / "logging.yml"
    settings.write_text(logging_settings(mark))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PREFECT_LOGGING_SETTINGS_PATH": str(settings)}
    subprocess.run(
        [sys.executable, "-P", "-c", "import prefect; prefect.get_run_logger"],
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert mark.is_dir()
