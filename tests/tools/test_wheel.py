"""The wheel holds what the installed package opens beside its code, and works in an environment of its own."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from installed import Installed, installed

from flows.command.starting_file import starting_text
from flows.server.serve import DEPLOYMENTS, read_deployments

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return installed(tmp_path_factory.mktemp("installed"))


def typed(wheel: Installed, folder: Path, *arguments: str, path: Path | None = None) -> tuple[int, str]:
    """Exit code of a command, and what it said."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **({} if path is None else {"PYTHONPATH": str(path)})}
    ended = subprocess.run([*arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, f"{ended.stdout}{ended.stderr}"


def project(folder: Path, *files: str) -> Path:
    """Another project, with these files."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("answer = 42\n")
    return folder


def test_the_wheel_holds_the_fonts_and_their_licence(wheel: Installed) -> None:
    with zipfile.ZipFile(wheel.wheel) as parts:
        for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "LICENSE-DejaVu.txt"):
            path = f"animatic/media/fonts/{name}"
            assert parts.read(path) == (ROOT / path).read_bytes()


def test_init_writes_deployments_that_serve_reads(wheel: Installed, tmp_path: Path) -> None:
    code, shown = typed(wheel, tmp_path, wheel.animatic, "init", "--manifest", "s3://film/a b.csv")
    assert (code, "animatic serve prefect.yaml" in shown) == (0, True), shown
    assert f"{Path(wheel.animatic).with_name('prefect')} --no-prompt deploy --all" in shown, "it is not on the path"
    ours, theirs = read_deployments(DEPLOYMENTS), read_deployments(tmp_path / "prefect.yaml")
    assert [each["entrypoint"] for each in theirs] == [each["entrypoint"] for each in ours]
    assert theirs[0]["name"] == "shots"
    assert theirs[0]["parameters"] == {"manifest": "s3://film/a b.csv", "results": "results.parquet", "max_usd": 0}
    assert "demo" not in (tmp_path / "prefect.yaml").read_text()


def test_init_replaces_a_file_only_where_asked_to(wheel: Installed, tmp_path: Path) -> None:
    mine = tmp_path / "prefect.yaml"
    mine.write_text("mine")
    code, shown = typed(wheel, tmp_path, wheel.animatic, "init")
    assert (code, mine.read_text()) == (2, "mine")
    assert "found one already; nothing was changed. Replace it with --force" in shown
    code, shown = typed(wheel, tmp_path, wheel.animatic, "init", "--force")
    assert (code, mine.read_text()) == (0, starting_text("shots.csv", "results.parquet"))
    assert "replaced" in shown


@pytest.mark.parametrize("name", ["flows", "tasks"])
def test_a_package_of_another_project_on_the_path_is_one_sentence(wheel: Installed, tmp_path: Path, name: str) -> None:
    other = project(tmp_path / "other", f"{name}/__init__.py")
    (tmp_path / "here").mkdir()
    code, shown = typed(wheel, tmp_path / "here", wheel.animatic, "--version", path=other)
    assert (code, shown.count("\n")) == (2, 1), shown
    assert shown.startswith(f"animatic: the package {name}: found another project's, {other / name}; animatic wants")


def test_a_package_that_another_one_overwrote_is_one_sentence(wheel: Installed, tmp_path: Path) -> None:
    theirs = wheel.packages / "flows/__init__.py"
    ours = theirs.read_bytes()
    theirs.write_text("import etl\n")
    try:
        code, shown = typed(wheel, tmp_path, wheel.animatic, "--version")
    finally:
        theirs.write_bytes(ours)
    assert (code, shown.count("\n")) == (2, 1), shown
    assert "the package flows: found animatic's overwritten by another package" in shown


def test_code_of_another_project_in_the_working_folder_is_no_matter(wheel: Installed, tmp_path: Path) -> None:
    other = project(tmp_path, "flows/etl.py", "tasks/__init__.py")
    code, shown = typed(wheel, other, wheel.animatic, "--version", path=Path())
    assert (code, shown[:9]) == (0, "animatic "), shown


def test_another_projects_module_that_animatic_hides_is_one_sentence(wheel: Installed, tmp_path: Path) -> None:
    other = project(tmp_path, "flows/etl.py", "tasks/load.py")
    python = str(wheel.environment / "bin/python")
    for module in ("flows.etl", "tasks.load"):
        code, shown = typed(wheel, other, python, "-m", module)
        assert (code, shown.count("\n")) == (1, 1), shown
        assert f"the package {module[:5]} is animatic's here" in shown
        assert "an environment of its own" in shown
    code, shown = typed(wheel, other, python, "-c", "import flows.elsewhere")
    assert "No module named 'flows.elsewhere'" in shown, "one that nobody has is missing as ever"


@pytest.mark.parametrize("command", ["init", "serve"])
def test_no_deployment_begins_among_packages_that_prefect_would_import(
    wheel: Installed, tmp_path: Path, command: str
) -> None:
    other = project(tmp_path, "flows/__init__.py")
    shutil.copy(DEPLOYMENTS, other / "there.yaml")
    code, shown = typed(wheel, other, wheel.animatic, command, *(["there.yaml"] if command == "serve" else []))
    assert (code, "which Prefect would import instead of animatic's" in shown) == (2, True), shown
    assert not (other / "prefect.yaml").exists()


def test_serve_names_the_command_that_writes_a_missing_file(wheel: Installed, tmp_path: Path) -> None:
    code, shown = typed(wheel, tmp_path, wheel.animatic, "serve")
    assert (code, "animatic init writes one" in shown) == (2, True), shown


def test_serve_names_the_deployments_that_it_knows(wheel: Installed, tmp_path: Path) -> None:
    file = str(shutil.copy(DEPLOYMENTS, tmp_path))
    code, shown = typed(wheel, tmp_path, wheel.animatic, "serve", file, "--only", "demos")
    assert (code, "--only: found demos; allowed: demo, " in shown, 'did you mean "demo"?' in shown) == (
        2,
        True,
        True,
    ), shown


def test_python_m_animatic_is_the_command(wheel: Installed, tmp_path: Path) -> None:
    assert typed(wheel, tmp_path, sys.executable, "-m", "animatic", "--version")[0] == 0
