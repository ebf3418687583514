"""Show a round of an inbox in Prefect."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import acreate_table_artifact

from animatic.planning.inbox import Line
from tasks.deployment import deployment_name
from tasks.policies import NEVER_CACHED
from tasks.results import artifact_key

MOST_ROWS = 200


@task(name="publish-inbox", task_run_name="publish inbox", cache_policy=NEVER_CACHED, persist_result=False)
async def publish_inbox(prefix: str, words: str, lines: Sequence[Line]) -> None:
    """One table with a row for each manifest, what needs a person first (at most 200 rows).

    `prefix` is an absolute URI: each deployment and inbox has an artifact of its own.
    """
    key = artifact_key(f"{await deployment_name() or 'run'} inbox", prefix)
    rows = [line.as_row() for line in lines[:MOST_ROWS]]
    more = f" The first {MOST_ROWS} of {len(lines):,} are shown." if len(lines) > MOST_ROWS else ""
    await acreate_table_artifact(rows, key=key, description=f"{words}.{more}")
