"""The whole run: manifest -> takes -> results."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from animatic.errors import FixInputError
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from animatic.takes.states import BuyingPolicy
from flows.archiving import open_archive
from flows.flow_states import end_of, ended, name_run, refused
from flows.interrupts import Interrupts
from flows.order import Order, RowOptions
from flows.planning import check_manifest, plan_takes, price
from flows.priced_run import open_results
from flows.process import HOLDS_UP_S, end_within
from flows.run import open_run
from flows.schedule import session_of_schedule
from flows.session import SESSION
from flows.settlement import settle
from tasks.begun import BEGUN, Begun


def _form(**bounds: Any) -> Any:
    """Return bounds of a parameter for Prefect's form and its API; `Order` checks them again, with words of its own."""
    return Field(json_schema_extra=bounds)


@flow(name="animate", flow_run_name=name_run, persist_result=False)
async def animate(  # noqa: PLR0913, PLR0917 - the parameters of a deployment, one by one, so that Prefect's UI can ask for them
    manifest: Annotated[str, _form(minLength=1)],
    results: Annotated[str, _form(pattern=r"\.(parquet|csv|jsonl|PARQUET|CSV|JSONL)$")],
    max_usd: Annotated[float, _form(minimum=0)] | None = None,
    skip_invalid: bool = False,
    retry_failed: bool = False,
    attempts: Annotated[int, _form(minimum=1, maximum=10)] = 1,
    archive: str | None = None,
    clip_name: str = DEFAULT_CLIP_NAME,
    only: list[Annotated[str, _form(pattern="=")]] | None = None,
    limit: Annotated[int, _form(minimum=1)] | None = None,
    map: list[Annotated[str, _form(pattern="=")]] | None = None,  # noqa: A002 - the option's name
    models: str | None = None,
) -> State[None]:
    """Buy every take of a manifest that was not bought before, wait for the clips, and write the results table.

    Safe to run again at any time, after any crash: the ledger is asked before anything is bought.

    Args:
        manifest: URI of the shots: .csv, .tsv, .xlsx, .jsonl or .parquet.
        results: URI of the table to write; the suffix picks .parquet, .csv or .jsonl.
        max_usd: never commit more than this in this run. Required where no one was asked and takes cost money.
        skip_invalid: run the good rows of a manifest that has bad ones.
        retry_failed: buy takes again that an earlier run left failed or rejected.
        attempts: how often a take may be bought in this run when WaveSpeed reports the failure as its own.
        archive: URI of the folder that clips are put into; None is STEM.clips beside the results, empty is none.
        clip_name: how clips are named.
        only: rows to buy, as COLUMN=VALUE; several values of a column add up, several columns must all fit.
        limit: the most rows to buy.
        map: columns that are read under another name, as NAME=COLUMN.
        models: a folder of JSON files with the schemas of models; None is WaveSpeed's own list.
    """
    session = SESSION.get() or await session_of_schedule()
    BEGUN.set(Begun())
    session.end.set_running_or_notify_cancel()
    interrupts, summary, problem = Interrupts(), None, None
    try:
        order = Order(
            manifest, results, max_usd, skip_invalid, BuyingPolicy(retry_failed, attempts), archive, clip_name,
            RowOptions(only or (), limit, map or (), models),
        )  # fmt: skip
        async with open_run(order, session) as run:
            checked = await check_manifest(run)
            settling = await settle(run)
            plan = await plan_takes(run, checked)
            priced = await price(run, plan)
            async with open_archive(run, plan, interrupts) as archiving:
                buying = await open_results(run, priced, settling, interrupts, archiving)
                async with interrupts.obeyed(buying.stop):
                    try:
                        await buying.buy()
                    finally:
                        summary = await buying.report()
    except FixInputError as error:
        problem = error
        return refused(error)
    except BaseException as error:
        problem = error
        raise
    else:
        return ended(summary, interrupts)
    finally:
        end_within(HOLDS_UP_S)
        session.end.set_result(end_of(summary, problem, interrupts))
