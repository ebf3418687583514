"""Commands that are printed, and `next` of `--json`: typed into `sh` as they stand, whatever files are called."""

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from animatic.errors.text import command, positional, printable, shell_line
from animatic.results.reason_groups import ReasonGroup
from flows.command.next_steps import NextStep, Typed, as_dict, group_lines, next_step
from flows.terminal import folded

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "shots of today.csv",
    'it\'s "quoted".csv',
    "$(touch pwned) `touch pwned` ${HOME}.csv",
    "a;touch pwned&&b|c>d<e.csv",
    "line\nend.csv",
    "two  blanks\tand\ttabs.csv",
    "ends in a line end\n",
    "-rf",
    "--results=x",
    "~",
    "*?[a-z]!#%s%d\\n\\",
    "名前 é e\u0301 \U0001f3ac.csv",
    "\u202egnp.exe\u200b\x1b[2J\x7f.csv",
    "",
]
SHELLS = [each for each in ("sh", "bash", "dash") if shutil.which(each)]


def words_in(shell: str, line: str) -> list[str]:
    """The words that a shell makes of a line."""
    done = subprocess.run([shell, "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("word", HOSTILE)
def test_a_shell_reads_each_word_as_it_was(shell: str, word: str) -> None:
    line = shell_line(["animatic", word, "last"])
    assert words_in(shell, line) == ["animatic", word, "last"]
    assert printable(line) == line
    assert word.endswith("\n") or "\n" not in line


def test_bytes_that_are_no_text_are_kept() -> None:
    line = shell_line([os.fsdecode(b"caf\xe9.csv")])
    done = subprocess.run(["sh", "-c", f"printf %s {line}"], capture_output=True, check=True)
    assert done.stdout == b"caf\xe9.csv"


def test_a_name_that_begins_with_a_dash_is_no_option() -> None:
    assert command("plan", positional("-x.csv")) == "animatic plan ./-x.csv"


def test_a_command_is_never_broken_at_the_edge_of_the_screen() -> None:
    line = f"    {command('run', 'a' * 100, '--results', 'b  c.csv')}"
    assert folded(f"what to do, in many words: {'word ' * 20}\n{line}", 40).endswith(f"\n{line}")


NAMES = ["it's", "$(touch pwned)", "`touch pwned`", '"', "-x", "名前", "a  b"]


def groups() -> list[ReasonGroup]:
    found = []
    for status, code in [
        ("failed", 5000), ("failed", 1200), ("rejected", 400), ("rejected", 401), ("unknown", None), ("held", None),
        ("invalid", None), ("pending", None), ("not archived", None),
    ]:  # fmt: skip
        group = ReasonGroup(status, code, f"reason of {status} {code}")
        for number, name in enumerate(NAMES):
            row = {"shot_id": name, "take": 1, "fingerprint": f"{number:064x}"}
            group.add(row, 2_500_000)
        found.append(group)
    return found


@pytest.mark.parametrize("manifest", HOSTILE[:-1])
def test_every_step_after_a_run_is_a_command_that_can_be_typed(manifest: str) -> None:
    typed = Typed(manifest, manifest, ("--sandbox", "--map", f"note={manifest}", "--clip-name", "{shot_id} $(x)"))
    for group in groups():
        step = next_step([group], typed)
        assert step is not None
        said = as_dict(step)
        assert words_in("sh", str(said["next"])) == said["next_argv"] == list(step.argv)
        assert isinstance(said["advice"], str)
    lines = "\n".join(group_lines(groups(), typed)).split("\n")
    if not manifest.endswith("\n"):
        shown = {tuple(words_in("sh", line)) for line in lines if line.strip().startswith("animatic ")}
        assert len(shown) > 3
        assert all(words[0] == "animatic" for words in shown)
        assert any({f"shot_id={name}" for name in NAMES} <= {*words} for words in shown)


def test_without_a_step_there_is_no_command() -> None:
    assert as_dict(None) == {"next": None, "next_argv": None, "advice": None}
    assert as_dict(NextStep("look at it")) == {"next": None, "next_argv": None, "advice": "look at it"}


COMMANDS = "run|plan|results|reconcile|ledger|archive|new|demo|sandbox|doctor|ui"


def strings_put_together(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of f-strings in which a value stands within a command of ours."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        parts = [each.value if isinstance(each, ast.Constant) else "{}" for each in node.values]
        text = "".join(str(part) for part in parts)
        if re.search(rf"\banimatic ({COMMANDS})\b[^.;:,]*\{{\}}", text):
            yield node.lineno, text


def test_no_command_is_put_together_elsewhere() -> None:
    """`animatic.errors.text.command` quotes; a command in an f-string would not be."""
    modules = [path for top in ("flows", "tasks", "animatic") for path in (ROOT / top).rglob("*.py")]
    assert [(path, *found) for path in modules for found in strings_put_together(path)] == []


@pytest.mark.timeout(240)
def test_a_run_with_hostile_names_goes_on_by_its_own_next_command(
    shell_with_server: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell = shell_with_server
    manifest = '-it\'s $(touch pwned) `touch pwned`  "名前" é.csv'
    results = "-out  $(touch pwned) 'x'.jsonl"
    shots = [
        {"shot_id": "$(touch pwned) 'a'", "prompt": f"one {tag} [sandbox:fails]"},
        {"shot_id": '-b "c" `touch pwned`', "prompt": f"two {tag} [sandbox:moderated]"},
        {"shot_id": "名前", "prompt": f"three {tag}"},
    ]
    tools.write_manifest(shell.home / manifest, shots)
    first = shell.run("run", f"./{manifest}", "--results", results, "--json")
    assert (first.code, first.json["failed"], first.json["completed"]) == (3, 2, 1), first.stderr
    said = first.json["next"]
    assert words_in("sh", said) == first.json["next_argv"]
    shown = [line.strip() for line in first.stderr.splitlines() if line.strip().startswith("animatic ")]
    assert said in shown
    again = typed(shell, tools, said)
    assert again.returncode == 3, again.stderr
    assert sandbox.submitted(tag).total() == 4  # the one that it names was bought again, and no other
    missing = typed(shell, tools, shell_line(["animatic", "run", f"./{manifest}"]))
    assert missing.returncode == 2
    (whole,) = [line.strip() for line in missing.stderr.splitlines() if line.strip().startswith("animatic ")]
    assert words_in("sh", whole)[:4] == ["animatic", "run", f"./{manifest}", "--results"]
    assert not list(shell.home.rglob("pwned"))


def typed(shell: Any, tools: Any, line: str) -> "subprocess.CompletedProcess[str]":
    """Type a line into `sh`, where our command is at hand."""
    folder = str(Path(tools.ANIMATIC[0]).parent)
    environment = {**shell.environment, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-c", line], env=environment, cwd=shell.home, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=100, check=False,
    )  # fmt: skip


def test_the_command_shown_mends_a_ledger_that_lacks_a_table(
    shell_with_server: Any, sandbox: Any, tag: str, tools: Any
) -> None:
    shell, results = shell_with_server, 'it\'s $(touch pwned)  "out".csv'
    tools.write_manifest(shell.home / "shots.csv", [{"shot_id": "a", "prompt": f"one {tag}"}])
    assert shell.run("run", "shots.csv", "--results", results).code == 0
    shell.more["ANIMATIC_LEDGER"] = f"sqlite:///{shell.home}/other.sqlite"
    refused = shell.run("run", "shots.csv", "--results", results)
    assert (refused.code, sandbox.submitted(tag).total()) == (2, 1), refused.stderr
    (mending,) = [line.strip() for line in refused.stderr.splitlines() if line.startswith("    animatic ")]
    assert typed(shell, tools, mending).returncode == 0
    assert shell.run("run", "shots.csv", "--results", results).code == 0
    assert sandbox.submitted(tag).total() == 1
    assert not list(shell.home.rglob("pwned"))
