"""A sandbox that is served, as the tests of its clients see it, and the environment in which those run."""

import json
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
STILL = ROOT / "manifests" / "stills" / "lighthouse-01.jpg"
KEY = "sandbox-key"
MOST_S = 150


@dataclass(frozen=True)
class Served:
    url: str
    folder: Path

    def ask(self, path: str, body: Any = None) -> Any:
        """`data` of a reply of the API."""
        request = urllib.request.Request(
            f"{self.url}/api/v3/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {KEY}"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)["data"]

    def fetch(self, url: str) -> bytes:
        """A file of the sandbox, which needs no key."""
        assert url.startswith(self.url)
        with urllib.request.urlopen(url, timeout=60) as reply:
            return reply.read()

    def witness(self) -> list[Any]:
        """The sandbox's own word for each accepted submission, oldest first."""
        return [json.loads(line) for line in (self.folder / "accepted.jsonl").read_text().splitlines()]


def environment(home: Path, **more: str) -> dict[str, str]:
    """A home of its own and no proxies: nothing but the sandbox is there."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return (
        kept
        | {
            "HOME": str(home),
            "WAVESPEED_API_KEY": KEY,
            "NO_COLOR": "1",
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        | more
    )
