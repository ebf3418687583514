"""Setting up: locks that agree, and uv that finds what pip finds and is never needed."""

import base64
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools/environment.py"
LOCKS = [ROOT / f"requirements{part}.lock" for part in ("", "-dev", "-bench", "-docs", "-uv", "-fleet")]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setting_up", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(lock: Path) -> dict[str, str]:
    """Each release of a lock with its marker, and what it is pinned to."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)(?: ; ([^\\]+))?", lock.read_text(), re.MULTILINE)
    return {f"{name} {marker.strip()}": version for name, version, marker in found}


def releases(lock: Path) -> set[tuple[str, str]]:
    """Each release of a lock, whatever its marker."""
    return {(name.partition(" ")[0], version) for name, version in pins(lock).items()}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_a_hash_for_every_release_and_no_index(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE), "an option such as --index-url"
    blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(lock))
    assert all("--hash=sha256:" in block for block in blocks)


def test_no_version_differs_between_locks() -> None:
    whole: dict[str, str] = {}
    for lock in LOCKS:
        for name, version in pins(lock).items():
            assert whole.setdefault(name, version) == version, f"{lock.name}: {name}"


def test_a_run_installs_nothing_that_only_tests_and_benchmarks_need() -> None:
    names = {name.partition(" ")[0] for name in pins(LOCKS[0])}
    assert not names & {"pytest", "hypothesis", "ruff", "pyright", "duckdb", "matplotlib", "wavespeed", "uv", "sphinx"}
    assert {"prefect", "aiohttp", "av", "hatchling", "editables"} <= names
    for lock in LOCKS[1:3]:
        assert pins(LOCKS[0]).items() <= pins(lock).items(), "each is whole"
    assert releases(LOCKS[0]) <= releases(LOCKS[3]), "whole too; what notebooks need widens some markers"


def test_pips_settings_of_a_command_override_global_ones(script: ModuleType) -> None:
    listed = r"""
:env:.find-links='/env'
global.index-url='https://mirror.example/simple'
global.extra-index-url='\nfile:///opt/one\nfile:///opt/two'
global.find-links='/global'
install.index-url='https://install.example/it\'s'
download.index-url='https://other.example'
"""
    assert script.pips_options(listed.replace(r"it\'s", "its")) == {
        "index-url": "https://install.example/its",
        "extra-index-url": "file:///opt/one file:///opt/two",
        "find-links": "/env",
    }
    assert script.pips_options("") == {}


@pytest.mark.parametrize(
    ("environ", "is_lock", "reported"),
    [
        (
            {},
            False,
            {
                "UV_DEFAULT_INDEX": "https://mirror",
                "UV_INDEX": "file:///opt/one file:///opt/two",
                "UV_FIND_LINKS": "{here}",
                "UV_INDEX_STRATEGY": "unsafe-best-match",
                "SSL_CERT_FILE": "/ca.pem",
            },
        ),
        ({}, True, {"UV_DEFAULT_INDEX": "https://mirror", "SSL_CERT_FILE": "/ca.pem"}),
        ({"UV_INDEX_URL": "https://own", "SSL_CERT_FILE": "/own.pem"}, False, {}),
    ],
)
def test_uv_gets_pips_settings_unless_it_has_its_own(
    script: ModuleType, tmp_path: Path, environ: Mapping[str, str], reported: Mapping[str, str], *, is_lock: bool
) -> None:
    pip = {
        "index-url": "https://mirror",
        "extra-index-url": "file:///opt/one file:///opt/two",
        "find-links": f"{tmp_path} /nowhere",
        "cert": "/ca.pem",
    }
    expected = {name: value.format(here=tmp_path) for name, value in reported.items()}
    assert script.uv_environment(pip, environ, is_lock=is_lock) == expected


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A virtual environment beside a lock of one small wheel, which lies in a folder that only pip is given."""
    venv.create(tmp_path / ".venv", with_pip=True, symlinks=True)
    (tmp_path / "wheels").mkdir()
    wheel = tmp_path / "wheels/small-1.0-py3-none-any.whl"
    record = "".join(f"small-1.0.dist-info/{name},,\n" for name in ("METADATA", "WHEEL", "RECORD")) + "small.py,,\n"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("small.py", "answer = 42\n")
        file.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        file.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("small-1.0.dist-info/RECORD", record)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "requirements.lock").write_text(f"small==1.0 \\\n    --hash=sha256:{digest}\n")
    (tmp_path / "requirements-uv.lock").write_text(f"uv==0.0.1 \\\n    --hash=sha256:{'0' * 64}\n")
    return tmp_path


def install(checkout: Path, lock: str = "requirements.lock") -> "subprocess.CompletedProcess[str]":
    """Install the lock where nothing but the folder of wheels can be reached, and pip alone is configured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    pips = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    command = [str(checkout / ".venv/bin/python"), str(SCRIPT), "install", lock]
    return subprocess.run(
        command, cwd=checkout, env=kept | pips, capture_output=True, text=True, timeout=120, check=False
    )


def installer_of(checkout: Path) -> str:
    (installer,) = checkout.glob(".venv/lib/python*/site-packages/small-1.0.dist-info/INSTALLER")
    return installer.read_text().strip()


def give_uv(checkout: Path) -> None:
    """The uv of this environment, as if it had been installed there."""
    (info,) = Path(sys.prefix).glob("lib/python*/site-packages/uv-*.dist-info")
    (packages,) = checkout.glob(".venv/lib/python*/site-packages")
    shutil.copytree(info, packages / info.name)
    (checkout / ".venv/bin/uv").symlink_to(Path(sys.prefix) / "bin/uv")
    version = info.name.removeprefix("uv-").removesuffix(".dist-info")
    (checkout / "requirements-uv.lock").write_text(f"uv=={version} \\\n    --hash=sha256:{'0' * 64}\n")


def test_where_uv_cannot_be_had_pip_installs_the_same(checkout: Path) -> None:
    ended = install(checkout)
    assert (ended.returncode, installer_of(checkout)) == (0, "pip"), ended.stderr
    assert "uv could not install it; pip does" in ended.stderr


def test_uv_installs_from_the_indexes_that_pip_is_given(checkout: Path) -> None:
    give_uv(checkout)
    ended = install(checkout)
    assert (ended.returncode, installer_of(checkout), ended.stderr) == (0, "uv", "")


def test_a_file_with_another_hash_is_installed_by_neither(checkout: Path) -> None:
    give_uv(checkout)
    other = base64.b16encode(os.urandom(32)).decode().lower()
    (checkout / "wrong.lock").write_text(f"small==1.0 \\\n    --hash=sha256:{other}\n")
    assert install(checkout, "wrong.lock").returncode != 0
    assert not list(checkout.glob(".venv/lib/python*/site-packages/small*"))
