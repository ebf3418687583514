"""Results tables as one laptop hands them to another, and a manifest whose takes end in every way."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from animatic.results import formats, reading

STILL = Path(__file__).parents[1] / "manifests/stills/lighthouse-01.jpg"
STATUSES = ["completed", "completed", "completed", "failed", "rejected", "completed"]
BOUGHT = 5


@dataclass(frozen=True)
class Bought:
    """A laptop where the takes of a manifest were bought, and the text that their prompts hold."""

    shell: Any
    shots: Path
    tag: str


def rows_of_every_end(folder: Path, tag: str) -> list[dict[str, str]]:
    """Rows of takes that end in every way, one of them of a local still."""
    shutil.copy(STILL, folder / "still.jpg")
    return [
        {"shot_id": "opening", "prompt": f"push in {tag}"},
        {"shot_id": "harbour", "prompt": f"pan left {tag}", "takes": "2"},
        {"shot_id": "bridge", "prompt": f"orbit [sandbox:fails] {tag}"},
        {"shot_id": "cellar", "prompt": f"static [sandbox:rejects] {tag}"},
        {"shot_id": "tower", "prompt": f"tilt up {tag}", "image": "still.jpg"},
    ]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return reading.decode(path.read_bytes(), path.name).to_pylist()


def write_rows(path: Path, rows: list[dict[str, Any]], like: Path) -> Path:
    """A results table of these rows, with the columns of another one."""
    schema = reading.decode(like.read_bytes(), like.name).schema
    path.write_bytes(formats.encode(pa.Table.from_pylist(rows, schema), path.suffix))
    return path


def dump(ledger: Path) -> str:
    with closing(sqlite3.connect(ledger)) as db:
        return "\n".join(db.iterdump())
