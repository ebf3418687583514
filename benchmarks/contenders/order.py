"""Order of a contest: the input of every contender, and the form of its output."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MODEL = "wavespeed-ai/veo2-i2v"
FINAL = frozenset({"completed", "failed", "cancelled", "timeout", "deleted"})

Row = dict[str, str]
"""The four fields of a submission."""

Got = tuple[str, str, str]
"""Prediction id, output URL, status."""


@dataclass(frozen=True, slots=True)
class Order:
    """A manifest to buy, and what the account allows.

    Attributes:
        median_s: of the latency, for who looks for the first time only then; floor_s: between looks.
        is_early: look from the start.
    """

    manifest: Path
    out: Path
    in_flight: int
    starts_per_minute: int
    median_s: float
    floor_s: float
    is_early: bool
    base_url: str
    key: str

    def rows(self) -> list[Row]:
        """The manifest, in order."""
        columns = ["prompt", "image", "aspect_ratio", "duration"]
        return pq.read_table(self.manifest, columns=columns).to_pylist()

    def write(self, got: list[Got]) -> None:
        """The results, in the manifest's order."""
        ids, urls, statuses = zip(*got, strict=True) if got else ((), (), ())
        pq.write_table(pa.table({"prediction_id": ids, "output_url": urls, "status": statuses}), self.out)


def read_order() -> Order:
    """From the command line; where the API is, from the environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--starts-per-minute", type=int, required=True)
    parser.add_argument("--median-s", type=float, required=True)
    parser.add_argument("--floor-s", type=float, required=True)
    parser.add_argument("--early", action="store_true", dest="is_early")
    told: dict[str, Any] = vars(parser.parse_args())
    return Order(**told, base_url=os.environ["WAVESPEED_BASE_URL"], key=os.environ["WAVESPEED_API_KEY"])


def got_from(data: dict[str, Any]) -> Got:
    """A row of the results from the `data` of a final answer."""
    return data["id"], (data["outputs"] or [""])[0], data["status"]
