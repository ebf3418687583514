"""The folder of a fleet: its ports and passwords, what its parts keep, their logs, and its processes."""

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build/fleet"
_KEPT = FOLDER / "fleet.json"
_PREFERRED = {"api": 4200, "postgres": 15432, "redis": 16379, "sandbox": 8787}


@dataclass(frozen=True)
class Fleet:
    """Ports on 127.0.0.1 and passwords, chosen once for a folder."""

    ports: dict[str, int]
    passwords: dict[str, str]

    def port(self, part: str) -> int:
        """Return the port of a part."""
        return self.ports[part]

    @property
    def api(self) -> str:
        """URL of Prefect's API."""
        return f"http://127.0.0.1:{self.port('api')}/api"


def own_folder(path: Path) -> Path:
    """Make a folder that no other user can look into."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def load_fleet() -> Fleet:
    """Return the fleet of this checkout as it is kept; choose ports and passwords the first time."""
    if not _KEPT.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        _write(Fleet(dict(_PREFERRED), {part: secrets.token_urlsafe(24) for part in ("api", "postgres", "redis")}))
    return Fleet(**json.loads(_KEPT.read_text(encoding="utf-8")))


def with_free_ports(fleet: Fleet) -> Fleet:
    """Return a fleet that does not run with another port for each that is taken."""
    moved = replace(fleet, ports={part: _free_port(port) for part, port in fleet.ports.items()})
    _write(moved)
    return moved


def _write(fleet: Fleet) -> None:
    write_private(_KEPT, json.dumps(asdict(fleet)))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        file.write(text)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as listening:
                return int(listening.getsockname()[1])
        except OSError:
            continue
    raise OSError("no port is free on 127.0.0.1")
