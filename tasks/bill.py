"""Show a bill in Prefect: a summary, and a table of what differs."""

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from animatic.results.billing.bill import Bill
from animatic.results.billing.table import rows_of
from animatic.results.billing.words import as_markdown
from tasks.policies import NEVER_CACHED
from tasks.results import artifact_key

MOST_ROWS = 200


@task(name="publish-bill", task_run_name="publish bill", cache_policy=NEVER_CACHED, persist_result=False)
async def publish_bill(bill: Bill, deployment: str | None) -> None:
    """One Markdown summary, and one table of what differs (at most 200 rows); each account has artifacts of its own."""
    key = artifact_key(f"{deployment or 'run'} bill", bill.account)
    await acreate_markdown_artifact(as_markdown(bill), key=f"{key}-summary", description="The newest bill")
    rows = list(rows_of(bill.differing[:MOST_ROWS]))
    description = "What differs between the newest bill and the ledger"
    await acreate_table_artifact(rows, key=f"{key}-differences", description=description)
