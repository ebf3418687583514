"""The whole run: manifest -> takes -> results."""

from prefect import flow
from prefect.client.schemas.objects import State

from animatic.errors import FixInputError
from animatic.takes.states import BuyingPolicy
from flows.flow_states import ended, name_run, refused
from flows.process import HOLDS_UP_S, end_within
from flows.run import Order, current_session, open_run


@flow(name="animate", flow_run_name=name_run, persist_result=False)
async def animate(  # noqa: PLR0913, PLR0917 - the parameters of a deployment, one by one, so that Prefect's UI can ask for them
    manifest: str,
    results: str,
    max_usd: float | None = None,
    skip_invalid: bool = False,
    retry_failed: bool = False,
    attempts: int = 1,
) -> State[None]:
    """Buy every take of a manifest that was not bought before, wait for the clips, and write the results table.

    Safe to run again at any time, after any crash: the ledger is asked before anything is bought.

    Args:
        manifest: URI of a CSV or Parquet file of shots.
        results: URI of the table to write; the suffix picks .parquet, .csv or .jsonl.
        max_usd: never commit more than this in this run. Required where no one was asked and takes cost money.
        skip_invalid: run the good rows of a manifest that has bad ones.
        retry_failed: buy takes again that an earlier run left failed or rejected.
        attempts: how often a take may be bought in this run when WaveSpeed reports the failure as its own.
    """
    session = await current_session()
    try:
        order = Order(manifest, results, max_usd, skip_invalid, BuyingPolicy(retry_failed, attempts))
        async with open_run(order, session) as run:
            checked = await run.check_manifest()
            await run.settle()
            plan = await run.plan(checked)
            await run.price(plan)
            await run.open_results(plan)
            async with run.interruptible():
                try:
                    await run.buy(plan)
                finally:
                    session.summary = await run.report(plan)
    except FixInputError as error:
        session.refusal = error
        return refused(error)
    except Exception as error:
        session.failure = error
        raise
    finally:
        end_within(HOLDS_UP_S)
    session.is_judged = True
    return ended(session)
