"""Write the results table, and show its summary in Prefect."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from animatic import storage
from animatic.progress import Progress
from animatic.results.stats import TableStats
from animatic.results.summary import RunSummary
from animatic.results.writer import ResultsWriter
from tasks.deployment import deployment_name
from tasks.policies import NEVER_CACHED

PROGRESS_EVERY_S = 15.0
LAST_UPDATE_WITHIN_S = 3.0


@task(
    name="write-results",
    task_run_name="write {uri}",
    cache_policy=NEVER_CACHED,
    persist_result=False,
    retries=2,
    retry_delay_seconds=2,
)
async def write_results(writer: ResultsWriter, uri: str) -> TableStats:
    """Replace the results file as a whole, and return its statistics: a reader sees the old table or this one.

    Raises:
        LocationError: it cannot be written.
    """
    return await writer.write(uri)


@asynccontextmanager
async def progress_shown(progress: Progress) -> AsyncGenerator[None]:
    """Keep one progress artifact at the share of takes that are done, for the length of the block, the end included."""
    ended = asyncio.Event()
    showing = asyncio.create_task(_show_progress(progress, ended))
    try:
        yield
    finally:
        ended.set()  # not cancelled: a block that is over before the artifact is made still leaves one
        await asyncio.wait([showing], timeout=LAST_UPDATE_WITHIN_S)


async def _show_progress(progress: Progress, ended: asyncio.Event) -> None:
    artifact = await acreate_progress_artifact(progress=_percent(progress), description="Takes with a final answer")
    is_over = False
    while not is_over:
        with contextlib.suppress(TimeoutError):
            is_over = await asyncio.wait_for(ended.wait(), PROGRESS_EVERY_S)
        with contextlib.suppress(Exception):  # one update that fails: the next may not
            await aupdate_progress_artifact(artifact, progress=_percent(progress))


def _percent(progress: Progress) -> float:
    return round(100.0 * progress.done / progress.total, 1) if progress.total else 100.0


@task(name="publish-summary", task_run_name="publish summary", cache_policy=NEVER_CACHED, persist_result=False)
async def publish_summary(summary: RunSummary, manifest: str) -> None:
    """One Markdown summary, and one table of what is not `completed` (at most 200 rows).

    Each deployment and manifest has artifacts of its own, so that a run never hides that of another manifest.
    """
    key = artifact_key(await deployment_name(), manifest)
    name = storage.name_of(manifest)
    await acreate_markdown_artifact(
        summary.as_markdown(), key=f"{key}-summary", description=f"The newest run of {name}"
    )
    rows = [dict(row) for row in summary.not_completed]
    description = f"Takes of {name} that are not completed"
    await acreate_table_artifact(rows, key=f"{key}-not-completed", description=description)


def artifact_key(deployment_name: str | None, manifest: str) -> str:
    """Return the beginning of the keys of a manifest's artifacts, such as `nightly-shots-1f9a3c`.

    `manifest` is an absolute URI: manifests of one name in different folders have different keys.
    """
    words = re.sub(r"[^a-z0-9]+", "-", f"{deployment_name or 'run'} {storage.stem_of(manifest)}".lower()).strip("-")
    return f"{words[:60].strip('-')}-{hashlib.sha256(manifest.encode()).hexdigest()[:6]}"
