"""Short words for what manifests, shots and tables hold, for tests: the product reads them in batches."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from animatic.manifest import Manifest, RawManifest
from animatic.manifest.faults import Fault
from animatic.manifest.source import broken_rows
from animatic.results.stats import TableStats
from animatic.takes.inputs import Inputs
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.schemas import PriceClass
from animatic.takes.shots import Shot, Take, fingerprint
from animatic.takes.veo2 import VEO2
from animatic.wavespeed.outcomes import Busy, Unsent

GOES_AGAIN = frozenset({Unsent, Busy})
"""The only outcomes after which the same take may be sent again without leave."""


STILL = "https://stills.example/a.png"


def inputs_of(prompt: str = "push in", still: str = STILL, **changes: str) -> Inputs:
    """Return inputs of the default model, with its defaults."""
    return Inputs({"prompt": prompt, "image": still, "aspect_ratio": "16:9", "duration": "5s", **changes})


def shot_of(row: int = 1, **changes: Any) -> Shot:
    """Return a shot of the default model; each change is an attribute of it, its still, or one of its inputs."""
    own = {"shot_id": f"s{row}", "storyboard": "harbour", "image": STILL, "takes": 1}
    own |= {name: changes.pop(name) for name in own if name in changes}
    schema = replace(VEO2, model=changes.pop("model", DEFAULT_MODEL))
    inputs = inputs_of(**{"still": own["image"], **changes})
    paths = {inputs["image"]: own["image"]} if inputs["image"].startswith("sha256:") else {}
    return Shot(row, schema=schema, inputs=inputs, paths=paths, **own)


def price_class_of(duration: str = "5s", model: str = DEFAULT_MODEL) -> PriceClass:
    """Return the price class of takes of this length."""
    return PriceClass(model, Inputs({"duration": duration, "aspect_ratio": "16:9"}))


def takes_of(shot: Shot, provider: str) -> Iterator[Take]:
    """Yield the takes that a shot asks for, in order, number 1 first."""
    for number in range(1, shot.takes + 1):
        name = fingerprint(provider=provider, model=shot.model, inputs=shot.inputs, take=number)
        yield Take(name, shot, number)


def shots_in(manifest: Manifest) -> Iterator[Shot]:
    """Yield the rows without faults, in order."""
    for part in manifest.parts():
        yield from part.shots(np.flatnonzero(part.lengths))


def takes_in(manifest: Manifest) -> Iterator[Take]:
    """Yield the takes of all shots, in order. Rows that ask for the same take give the same fingerprint."""
    for part in manifest.parts():
        yield from part.takes(np.ones(len(part.take_of), bool))


def invalid_rows_in(manifest: Manifest) -> Iterator[tuple[int, str]]:
    """Yield each row with faults, in order, and its faults in one line."""
    row = 1
    for batch in manifest.rows:
        for index, text in enumerate(batch.column(0).to_pylist()):
            if text is not None:
                yield row + index, text
        row += batch.num_rows


def table_in(raw: RawManifest) -> pa.Table:
    """Return every data row and column."""
    return pa.Table.from_batches(map(raw.without_broken, raw.rows), raw.schema)


def row_faults_in(raw: RawManifest) -> list[Fault]:
    """Return the faults of rows of the wrong shape."""
    faults: list[Fault] = []
    row = 1
    for batch in raw.rows:
        faults += [raw.fault(row + index, bad) for index, bad in broken_rows(batch).items()]
        row += batch.num_rows
    return faults


def stats_of(table: pa.Table) -> TableStats:
    """Return the statistics of a whole table in memory."""
    stats = TableStats()
    fingerprints = table["fingerprint"].to_pylist()
    first = {name: index for index, name in reversed(list(enumerate(fingerprints)))}
    stats.add(table, np.array([first[name] == index for index, name in enumerate(fingerprints)], bool))
    return stats
