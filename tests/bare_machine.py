"""A machine that has next to nothing, as a hardened container is: `python tests/bare_machine.py [--proxy] COMMAND…`.

The command runs as a user without an entry in the password file, without HOME, and with a root file system that cannot
be written to; it gets one small folder in memory, named by TMPDIR. Without a command: the tests of the flows.
Needs root and Linux. Nothing of it is left when the command ends.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
USER = 54_321
DEAD_PROXY = "http://127.0.0.1:9"
NEEDED = ("unshare", "setpriv", "mount")

PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"

_ENTER = f"""
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755,uid={USER},gid={USER},size=1g tmpfs "$0"
%s
while read -r _ _ _ _ point options _; do
    case "$point" in
        /proc|/proc/*|/sys|/sys/*|/dev|/dev/*|"$0") continue ;;
    esac
    mount -o remount,bind,ro "$(printf '%%b' "$point")" 2>/dev/null || true
done < /proc/self/mountinfo
cd "$0"
exec setpriv --reuid {USER} --regid {USER} --clear-groups --inh-caps=-all --bounding-set=-all "$@"
"""


def _opened() -> str:
    """Lines that show others the folders of Python and of this code, where those lie in a folder that is closed."""
    needed = sorted({Path(sys.base_prefix), Path(sys.prefix), ROOT})
    closed = {top for each in needed if (top := _closed_above(each))}
    lines: list[str] = []
    for top in sorted(closed):
        inside = [each for each in needed if each.is_relative_to(top)]
        keep = [f"$0/keep{number}" for number in range(len(inside))]
        for shell, each in zip(keep, inside, strict=True):
            lines += [f'mkdir "{shell}"', f'mount --bind "{each}" "{shell}"']
        lines.append(f'mount -t tmpfs -o mode=0755 tmpfs "{top}"')
        for shell, each in zip(keep, inside, strict=True):
            lines += [f'mkdir -p "{each}"', f'mount --move "{shell}" "{each}"', f'rmdir "{shell}"']
    return "\n".join(lines)


def _closed_above(shell: Path) -> Path | None:
    """The first folder above a place that others may not enter."""
    return next((each for each in reversed(shell.parents) if not each.stat().st_mode & 0o001), None)


def why_not() -> str | None:
    """Return the reason why no bare machine can be made here, or None."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or not sys.platform.startswith("linux"):
        return f"a bare machine needs Linux with {', '.join(missing or NEEDED)}"
    if os.geteuid() != 0:
        return "a bare machine needs root, to take everything away from another user"
    with folder() as shell:
        write = f"! touch '{ROOT}/x' 2>&1 && touch '{shell}/x' && {sys.executable} -c 'import flows.command.cli'"
        tried = enter(shell, ["sh", "-c", write], {"PATH": PATH})
    return None if tried.returncode == 0 else f"a bare machine cannot be made here: {tried.stderr.strip()[-300:]}"


@contextmanager
def folder() -> Iterator[Path]:
    """A place for the one folder that a bare machine can write to."""
    shell = Path(tempfile.mkdtemp(prefix="bare-", dir="/var/tmp" if Path("/var/tmp").is_dir() else None))
    shell.chmod(0o755)
    try:
        yield shell
    finally:
        shell.rmdir()


def command(shell: Path, words: Sequence[str]) -> list[str]:
    """The command line that runs another on a bare machine whose one folder is `shell`, where it begins."""
    return ["unshare", "--mount", "sh", "-c", _ENTER % _opened(), str(shell), *words]


def enter(
    shell: Path, words: Sequence[str], environment: Mapping[str, str], timeout_s: float = 300.0
) -> "subprocess.CompletedProcess[str]":
    """Run a command on a bare machine to its end."""
    return subprocess.run(
        command(shell, words),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def main() -> int:
    """Run a command, or the tests of the flows, with a proxy in the environment if that is wanted."""
    words = sys.argv[1:]
    proxied = words[:1] == ["--proxy"]
    words = words[proxied:]
    problem = why_not()
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        return 2
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    proxies = {form: DEAD_PROXY for name in names for form in (name, name.lower())} if proxied else {}
    with folder() as shell:
        tests = [sys.executable, "-m", "pytest", f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")]
        tests += [f"--basetemp={shell}/pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile"]
        words = words or [*tests, str(ROOT / "tests/flows")]
        environment = {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "TMPDIR": str(shell),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": f"{shell}/hypothesis",
        } | proxies
        return subprocess.run(command(shell, words), env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
