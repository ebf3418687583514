"""Quality checks of clips by commands that are no run: `animatic results` and `animatic archive`."""

import asyncio
from collections.abc import Sequence

from animatic.ledger import Ledger
from animatic.media.clip_checks import CheckBatch, ClipChecks
from animatic.media.local_stills import LocalStills
from animatic.planning.plan import Plan
from animatic.progress import ChecksProgress
from flows.checking import Checking, fingerprints_of, paths_of
from flows.progress_words import checks_in_words
from flows.settings import Settings
from flows.terminal import PlainConsole


async def run_batch(batch: CheckBatch, checks: ClipChecks) -> None:
    """Check a batch without Prefect."""
    await checks.check(batch)


async def check_rest(checking: Checking, fingerprints: Sequence[str]) -> None:
    """Check what is left of the clips of these takes, until Ctrl-C.

    Raises:
        LedgerError, OSError: as `Checking.check_rest`.
    """
    try:
        await checking.check_rest(fingerprints)
    finally:
        await checking.close()


def check_plan(ledger: Ledger, settings: Settings, plan: Plan, local: LocalStills, console: PlainConsole) -> bool:
    """Check what is left of the clips of a manifest; tell if any was checked. Ctrl-C ends it, and nothing else."""
    progress = ChecksProgress()
    checking = Checking(ledger, settings, progress, archive="", run_batch=run_batch, local=local, paths=paths_of(plan))
    console.print("the table is written; checking the quality of clips (Ctrl-C: leave the rest to another time) …")
    try:
        asyncio.run(check_rest(checking, fingerprints_of(plan)))
    except KeyboardInterrupt:
        console.print("stopped; the next run checks the rest, or animatic results")
    except Exception as error:  # noqa: BLE001 - the table is written, and stays good
        console.print(f"the quality of clips is not all checked: {error}")
    if progress.total:
        console.print(checks_in_words(progress))
    return progress.done > 0
