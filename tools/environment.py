"""Install a lock into the virtual environment that runs this, with uv where that works, else with pip. No dependencies.

uv takes seconds where pip takes minutes; pip is what everybody has configured. So uv comes by pip, is given pip's
indexes, and is never needed: where it fails, pip does the same again.

On a terminal it says every second what it does and for how long: it can take a minute.

    python tools/environment.py install requirements.lock [--editable .]
    python tools/environment.py uv pip compile ...
"""

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

UV_LOCK = "requirements-uv.lock"

_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
_UV = (str(Path(sys.executable).with_name("uv")),)
_LOCKED = ("--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:")

_OWN = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")
"""Variables that name indexes for uv: where one of them is set, pip's indexes are not passed on."""


def pips_options(listed: str) -> dict[str, str]:
    """Return what `pip config list` says for `pip install`: an option of the command goes before a global one."""
    found: dict[str, dict[str, str]] = {}
    for line in listed.splitlines():
        match = re.match(r"(global|install|:env:)\.([\w-]+)=(.*)", line)
        if match:
            found.setdefault(match[1], {})[match[2]] = " ".join(str(ast.literal_eval(match[3])).split())
    return found.get("global", {}) | found.get("install", {}) | found.get(":env:", {})


def uv_environment(pip: Mapping[str, str], environ: Mapping[str, str], *, is_lock: bool = False) -> dict[str, str]:
    """Return the variables with which uv finds what pip finds.

    With hashes it makes no difference which index a file comes from, so all of them are asked. A lock is resolved from
    the main index alone: others may hold some files of a release, and the hashes of the others would be missing.
    """
    variables: dict[str, str] = {}
    if not any(environ.get(name) for name in _OWN):
        variables["UV_DEFAULT_INDEX"] = pip.get("index-url", "")
        if not is_lock:
            variables["UV_INDEX"] = pip.get("extra-index-url", "")
            variables["UV_FIND_LINKS"] = " ".join(_that_are_there(pip.get("find-links", "").split()))
            variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
            variables["UV_NO_INDEX"] = "1" if pip.get("no-index", "").lower() in {"1", "true", "yes", "on"} else ""
    variables["UV_INSECURE_HOST"] = pip.get("trusted-host", "")
    variables["SSL_CERT_FILE"] = pip.get("cert", "")
    variables["HTTPS_PROXY"] = variables["HTTP_PROXY"] = pip.get("proxy", "")
    variables["UV_HTTP_TIMEOUT"] = pip.get("default-timeout", pip.get("timeout", ""))
    return {name: value for name, value in variables.items() if value and not _is_set(name, environ)}


def _is_set(name: str, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(name) or environ.get(name.lower()))


def _that_are_there(places: Iterable[str]) -> list[str]:
    """Without folders that are not there: pip warns of them, uv ends."""
    return [place for place in places if "://" in place or Path(place).exists()]


def install(lock: str, *more: str) -> int:
    """Install a lock, and what `more` names in place; the exit code."""
    _ensure_pip()
    try:
        _ensure_uv()
        environment = _uv_environment()
        places = ["--no-index"] if "UV_NO_INDEX" in environment else []  # uv reads no such variable
        _run(
            f"installing what {lock} names",
            [*_UV, "pip", "install", *places, "--python", sys.executable, "--compile-bytecode", *_LOCKED, "-r", lock],
            environment,
        )
    except (OSError, subprocess.CalledProcessError):
        print("uv could not install it; pip does", file=sys.stderr)
        ended = _ended(f"installing what {lock} names", [*_PIP, "install", *_LOCKED, "-r", lock])
        if ended:
            return ended
    if not more:
        return 0
    options = ("--quiet", "--no-deps", "--no-build-isolation")
    return _ended("installing animatic itself", [*_PIP, "install", *options, *more])


def run_uv(*arguments: str) -> int:
    """Run uv as the lock has it, for resolving; the exit code."""
    _ensure_uv()
    return subprocess.run(
        [*_UV, *arguments], env={**os.environ, **_uv_environment(is_lock=True)}, check=False
    ).returncode


def _ensure_pip() -> None:
    """Have pip: an environment is made without it, which takes no time."""
    if not any(Path(sys.prefix).glob("lib/python*/site-packages/pip-*.dist-info")):
        ensuring = [sys.executable, "-m", "ensurepip", "--default-pip"]
        if _ended("installing pip", ensuring, stdout=subprocess.DEVNULL):
            sys.exit("pip cannot be installed: this Python has no ensurepip (on Debian: apt install python3-venv)")


def _ensure_uv() -> None:
    """Have the uv that the lock names."""
    wanted = re.search(r"^uv==(\S+)", Path(UV_LOCK).read_text(encoding="utf-8"), re.MULTILINE)
    there = Path(sys.prefix).glob("lib/python*/site-packages/uv-*.dist-info")
    if wanted is None or f"uv-{wanted[1]}.dist-info" not in {each.name for each in there}:
        _run("fetching uv", [*_PIP, "install", *_LOCKED, "-r", UV_LOCK], {})


def _uv_environment(*, is_lock: bool = False) -> dict[str, str]:
    listed = subprocess.run([*_PIP, "config", "list"], capture_output=True, text=True, check=True)
    return uv_environment(pips_options(listed.stdout), os.environ, is_lock=is_lock)


def _run(what: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    if code := _ended(what, command, environment):
        raise subprocess.CalledProcessError(code, command)


def _ended(
    what: str, command: Sequence[str], environment: Mapping[str, str] | None = None, stdout: int | None = None
) -> int:
    """Run a command to its end; its exit code. On a terminal, say what it is and for how long."""
    began, is_terminal = time.monotonic(), sys.stderr.isatty()
    with subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=stdout) as process:
        while True:
            if is_terminal:
                print(f"\r  {what}: {time.monotonic() - began:.0f} s ", end="", file=sys.stderr, flush=True)
            try:
                code = process.wait(1.0)
            except subprocess.TimeoutExpired:
                continue
            if is_terminal:
                print(file=sys.stderr)
            return code


if __name__ == "__main__":
    deed, *arguments = sys.argv[1:]
    sys.exit({"install": install, "uv": run_uv}[deed](*arguments))
