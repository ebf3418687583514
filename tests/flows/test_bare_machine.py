"""The demo and a run where there is next to nothing: no user, no HOME, a root that cannot be written to.

`ANIMATIC_HOME` is enough. The demo is typed in a folder that others filled, among proxies, and is traced.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from bare_machine import PATH, command, enter, folder, why_not
from hostile import fill
from traced import STRACE, touched, tracing

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

ANIMATIC = str(Path(sys.executable).with_name("animatic"))
BARE = {"PATH": PATH, "LANG": "C.UTF-8"}
PROXIES = [form for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for form in (name, name.lower())]


@pytest.fixture(scope="module")
def machine() -> Iterator[Path]:
    """The one folder of a bare machine; skipped with its reason where there can be none."""
    problem = why_not()
    if problem is not None:
        pytest.skip(problem)
    with folder() as shell:
        yield shell


@dataclass(frozen=True)
class Demo:
    """The demo as it ended, with lists of what it left in its folder and what it named in the others' folder."""

    ended: "subprocess.CompletedProcess[str]"
    left: list[str]
    marks: list[str]
    named: set[str]
    proxied: bool


@pytest.fixture(scope="module")
def demo(machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Once: its folder is gone when it ends, so lists are made before that, by the same shell."""
    with ExitStack() as stack:
        proxy = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        theirs = stack.enter_context(folder())
        stack.callback(subprocess.run, ["rm", "-rf", *map(str, (theirs / "theirs", theirs / "outside"))], check=True)
        marks = machine / "marks"  # where the command could leave some
        fill(theirs / "theirs", theirs / "unused", theirs / "outside")
        (theirs / "unused").rmdir()
        trace = machine / "trace"
        traced = [] if STRACE is None else tracing(trace)
        environment = BARE | {"ANIMATIC_HOME": f"{machine}/home", **dict.fromkeys(PROXIES, _url_of(proxy))}
        words = (
            f'mkdir {marks}; cd {theirs}/theirs; code=0; "$@" || code=$?; '
            f"cd {machine}; echo ====; find home -type f -o -type d; echo ====; ls {marks}; echo ====; "
            f"cat {trace} 2>/dev/null; exit $code"
        )
        out = f"{machine}/home/animatic-demo"
        ended = enter(machine, ["sh", "-c", words, "sh", *traced, ANIMATIC, "demo", "--out", out], environment, 600)
        proxy.settimeout(0)
        try:
            proxy.accept()[0].close()
            proxied = True
        except BlockingIOError:
            proxied = False
        reported, left, marked, calls = ended.stdout.split("====\n", 3)
        kept = tmp_path_factory.mktemp("demo") / "trace"
        kept.write_text(calls)
        named = {each.path for each in touched(kept, theirs / "theirs")} if STRACE else set[str]()
        named = {path for path in named if Path(path).is_relative_to(theirs)}
        return Demo(
            subprocess.CompletedProcess([], ended.returncode, reported, ended.stderr),
            left.split(),
            marked.split(),
            named - {str(theirs / "theirs"), str(theirs)},
            proxied,
        )


def _url_of(proxy: socket.socket) -> str:
    return f"http://127.0.0.1:{proxy.getsockname()[1]}"


@pytest.mark.long
def test_the_demo_needs_nothing_but_animatic_home(demo: Demo) -> None:
    assert demo.ended.returncode == 0, demo.ended.stderr
    assert "not as meant" not in demo.ended.stderr
    assert {f"home/animatic-demo/{name}" for name in ("results.parquet", "results.csv", "contact-sheet.jpg")} <= {
        *demo.left
    }
    clips = [path for path in demo.left if path.startswith("home/animatic-demo/clips/")]
    assert len(clips) == 14 + 1  # and the table that describes them
    assert len([path for path in demo.left if path.startswith("home/logs/") and path.endswith(".log")]) == 4
    assert {"home/prefect/prefect.db", "home/tmp", "home/empty"} <= {*demo.left}


@pytest.mark.long
def test_the_demo_reads_nothing_of_the_folder_that_it_is_typed_in(demo: Demo) -> None:
    assert demo.marks == []
    assert demo.named == set()


@pytest.mark.long
def test_the_demo_connects_to_no_proxy(demo: Demo) -> None:
    assert not demo.proxied


@pytest.mark.parametrize("where", [(), ("--sandbox",)], ids=["api", "sandbox"])
@pytest.mark.parametrize("name", ["run", "plan", "results"])
def test_without_any_home_what_is_missing_is_named(machine: Path, name: str, where: tuple[str, ...]) -> None:
    results = ("--results", "out.parquet") if name != "plan" else ()
    script = f'printf "image,prompt\\nhttps://x.example/a.png,push in\\n" > {machine}/s.csv; exec "$@"'
    ended = enter(machine, ["sh", "-c", script, "sh", ANIMATIC, name, "s.csv", *results, *where], BARE)
    _assert_refused(ended)
    assert "HOME: not set, and user id 54321 has no home in the password file; set ANIMATIC_HOME" in ended.stderr


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"HOME": "/nowhere"}, "/nowhere/.local/share/animatic"),
        ({"ANIMATIC_HOME": "/nowhere/animatic"}, "/nowhere/animatic"),
    ],
    ids=["HOME", "ANIMATIC_HOME"],
)
def test_a_home_that_cannot_be_written_to_is_named(machine: Path, given: dict[str, str], named: str) -> None:
    ended = enter(machine, [ANIMATIC, "demo", "--out", f"{machine}/demo"], BARE | given | {"TMPDIR": str(machine)})
    _assert_refused(ended)
    assert named in ended.stderr
    assert "set ANIMATIC_HOME to a folder that can be written to" in ended.stderr


def test_a_missing_place_for_temporary_files_is_named(machine: Path) -> None:
    ended = enter(machine, ["sh", "-c", f"mkdir home; cd /; HOME={machine}/home exec {ANIMATIC} demo"], BARE)
    _assert_refused(ended)
    assert "TMPDIR: no folder for temporary files" in ended.stderr
    assert "ANIMATIC_HOME" in ended.stderr


def test_what_animatic_home_makes_is_its_owners_alone(machine: Path) -> None:
    script = (
        'umask 022; printf "image,prompt\\nhttps://x.example/a.png,push in\\n" > s.csv; "$@"; '
        "echo ====; find home ! -user 54321 -o -perm /077"
    )
    words = ["sh", "-c", script, "sh", ANIMATIC, "plan", "s.csv", "--sandbox"]
    ended = enter(machine, words, BARE | {"ANIMATIC_HOME": f"{machine}/home"})
    reported, _, open_to_others = ended.stdout.partition("====\n")
    assert "1 to buy" in reported
    assert open_to_others.splitlines() == []


def _assert_refused(ended: "subprocess.CompletedProcess[str]") -> None:
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("animatic: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_bare_machine_has_no_user_home_or_writable_place(machine: Path) -> None:
    script = 'id -un; echo "home: $HOME"; touch /tmp/x /var/tmp/x /root/x "$1/x"; touch here && echo wrote'
    ended = enter(machine, ["sh", "-c", script, "sh", str(Path(__file__).parent)], BARE)
    assert ended.stdout.splitlines() == ["54321", "home: ", "wrote"], ended.stdout
    assert ended.stderr.count("touch:") == 4
    assert command(machine, ["true"])[0] == "unshare"
    assert os.geteuid() == 0
