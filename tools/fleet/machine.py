"""Programs of this machine that a fleet needs: Debian's PostgreSQL and Redis, installed where they are missing."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("postgresql", "redis-server")
_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")


def postgres_program(name: str) -> Path | None:
    """Return a program of the newest PostgreSQL here; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4].split(".")[0]))
    if found:
        return found[-1]
    on_path = shutil.which(name)
    return None if on_path is None else Path(on_path)


def require_programs() -> None:
    """Install what is missing. No service and no cluster of the machine is started or changed by it."""
    if postgres_program("postgres") is not None and shutil.which("redis-server"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"make fleet: found no PostgreSQL or no Redis; install them (apt-get install {' '.join(PACKAGES)})")
    print(f"installing {' and '.join(PACKAGES)}", flush=True)
    if not _NO_CLUSTER.exists():
        _NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
        _NO_CLUSTER.write_text("create_main_cluster = false\n", encoding="utf-8")
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: no service is started
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", *command], env=quietly, stdout=subprocess.DEVNULL, check=True)


def as_postgres(command: list[str]) -> list[str]:
    """Return a command that root runs as the user postgres: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]


def give_to_postgres(path: Path) -> None:
    """Make a file or folder the user postgres's own, where root is about to start it."""
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(path, owner.pw_uid, owner.pw_gid)
