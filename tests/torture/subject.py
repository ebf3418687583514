"""A whole run without Prefect: what the parts of the proof kill, cut off from power, and start again.

The steps are those of `flows.run`, called in the same order on the same functions.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from animatic import storage
from animatic.buying.shoot import Shoot
from animatic.ledger import open_ledger
from animatic.ledger.transactions import Transactions
from animatic.pace.limits import Limits
from animatic.planning.config import RunConfig
from animatic.planning.manifests import ManifestFile
from animatic.progress import Progress
from animatic.results.writer import ResultsWriter
from animatic.takes.states import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient
from torture.canary import KEY
from torture.ledgers import Place
from torture.steps import GIVE_UP_S, Settling, plan_of

PROVIDER = "sandbox"
SETTLE_S = 600.0


@dataclass(frozen=True)
class Setup:
    """The folder of one subject, with its manifest; ledger and results appear in it."""

    folder: Path

    @property
    def ledger(self) -> Place:
        return Place(self.folder)

    @property
    def manifest(self) -> Path:
        return self.folder / "shots.csv"

    @property
    def results(self) -> Path:
        return self.folder / "out.parquet"


def write_manifest(folder: Path, prompts: list[str]) -> Setup:
    """A setup with a manifest of these prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    setup = Setup(folder)
    lines = [f'https://stills.example/{number}.png,"{prompt}"' for number, prompt in enumerate(prompts)]
    setup.manifest.write_text("\n".join(["image,prompt", *lines]) + "\n")
    return setup


_SHARED: dict[str, Any] = {}


def share_statements(transactions: Transactions) -> None:
    """Let all ledgers of a process, and of those that are forked from it, use the statements that one has compiled."""
    engine: Any = transactions.engine
    name = engine.dialect.name  # statements of one database are none of the other's
    engine.dialect = _SHARED.setdefault(f"dialect of {name}", engine.dialect)
    engine._compiled_cache = _SHARED.setdefault(f"compiled for {name}", engine._compiled_cache)


async def run_subject(setup: Setup, url: str, run_id: str, key: str = KEY, **more: Any) -> int:
    """One run from manifest to results, with another configuration if any; return the number of submissions that the API accepted in it."""
    uri = storage.absolute_uri(str(setup.manifest))
    manifest = ManifestFile(str(setup.manifest), PROVIDER).load()
    with open_ledger(setup.ledger.url, waits_for_company=False) as opened:
        share_statements(opened.transactions)
        await opened.require_sound()
        async with opened.run(run_id, uri) as run, WaveSpeedClient(url, key) as client:
            give_up_s, settle_s = more.get("give_up_s", GIVE_UP_S), more.pop("settle_s", SETTLE_S)
            settling = Settling(opened, client, PROVIDER, run_id, settle_s, give_up_s)
            await settling.settle()
            plan = await plan_of(opened, uri, manifest, run_id, BuyingPolicy())
            writer = ResultsWriter(plan.manifest, plan.final_attempts(), run_id, opened)
            await writer.write(str(setup.results))
            progress = Progress()
            usual = {"poll_floor_s": 0.03, "take_deadline_s": 20.0, "not_found_grace_s": 0.3}
            config = RunConfig(run_id, PROVIDER, Limits(5_000, 100), **(usual | more))
            shoot = Shoot(config, client, run, progress)
            await shoot.prepare()
            try:
                await shoot.shoot(list(plan.takes_to_do()))
                settled = await settling.settle()
                await shoot.shoot(plan.find([*settled.adopted, *settled.absent]))
            finally:
                await writer.write(str(setup.results))
    return progress.submissions


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("url")
    parser.add_argument("run_id")
    options = parser.parse_args()
    accepted = asyncio.run(run_subject(Setup(options.folder), options.url, options.run_id))
    sys.stdout.write(json.dumps({"submissions": accepted}) + "\n")
