"""The whole run: manifest -> takes -> results."""

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from animatic.errors import FixInputError, LedgerAwayError
from animatic.media.clip_names import DEFAULT_CLIP_NAME
from animatic.takes.states import BuyingPolicy
from flows.alerting import alert_of_end
from flows.approval import approve, require_deployment
from flows.archiving import open_archive
from flows.flow_states import end_of, ended, ledger_away, name_run, refused, require_not_taken_over
from flows.interrupts import Interrupts
from flows.opening import count_reserved, open_run
from flows.order import APPROVE_WITHIN_HOURS, ApprovalRule, Order, RowOptions
from flows.planning import check_manifest, plan_takes, price
from flows.priced_run import open_results
from flows.process import HOLDS_UP_S, end_within
from flows.schedule import BlockName, session_of_schedule
from flows.session import SESSION
from flows.settlement import settle
from tasks.begun import BEGUN, Begun
from tasks.deployment import deployment_id


def _form(**bounds: Any) -> Any:
    """Return bounds of a parameter for Prefect's form and its API; `Order` checks them again, with words of its own."""
    return Field(json_schema_extra=bounds)


@flow(name="animate", flow_run_name=name_run, persist_result=False)
async def animate(  # noqa: PLR0913, PLR0917 - the parameters of a deployment, one by one, so that Prefect's UI can ask for them
    manifest: Annotated[str, _form(minLength=1)],
    results: Annotated[str, _form(pattern=r"\.(parquet|csv|jsonl|xlsx|PARQUET|CSV|JSONL|XLSX)$")],
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
    stills: str | None = None,
    check_stills: bool = False,
    decisions: str | None = None,
    follow_approved: bool = False,
    accept_estimates: bool = False,
    fewer_rows: bool = False,
    changed_stills: bool = False,
    review: str | None = None,
    spend_up_to: Annotated[float, _form(minimum=0)] | None = None,
    credentials: BlockName | None = None,
    approve_above_usd: Annotated[float, _form(minimum=0)] | None = None,
    approve_within_hours: Annotated[float, _form(exclusiveMinimum=0)] = APPROVE_WITHIN_HOURS,
) -> State[None]:
    """Buy every take of a manifest that was not bought before, wait for the clips, and write the results table.

    Safe to run again at any time, after any crash: the ledger is asked before anything is bought.

    Args:
        manifest: URI of the shots: .csv, .tsv, .xlsx, .jsonl or .parquet, or the link of a Google sheet.
        results: URI of the table to write. Its suffix picks the format: .parquet, .csv, .jsonl or .xlsx.
        max_usd: Most dollars that this run may commit. This or spend_up_to is required where takes cost money.
        skip_invalid: Run the good rows of a manifest that has bad ones.
        retry_failed: Buy takes again that an earlier run left failed or rejected.
        attempts: Times that a take may be bought in this run when WaveSpeed reports the failure as its own.
        archive: URI of the folder for clips. None is STEM.clips beside the results; an empty text archives none.
        clip_name: Names of the clips. Fields are {storyboard}, {shot_id}, {take:02}, {version:02} and {prediction_id}.
        only: Rows to buy, as COLUMN=VALUE. Several values of a column add up, several columns must all fit.
        limit: Most rows to buy. None is all of them.
        map: Columns that are read under another name, as NAME=COLUMN.
        models: Folder of JSON files with the schemas of models. None is WaveSpeed's own list.
        stills: URI of the folder that relative paths of stills start from. None is the manifest's own.
        check_stills: Look at stills on the web before anything is bought. Those that cannot be used are faults.
        decisions: URI of the table of approved and discarded takes. None is decisions.csv beside the results.
        follow_approved: Buy shots again that start from another take than the approved one.
        accept_estimates: Go by what takes cost before, as far as the ledger knows, where WaveSpeed quotes no price.
        fewer_rows: Go on although the manifest has lost more than half of its rows since it was last run.
        changed_stills: Look at stills on the web, and buy takes again whose still has changed since they were bought.
        review: URI of the folder of a review page, which is kept fresh while the run works. None makes no page.
        spend_up_to: Dollars to spend, in the manifest's order. The rest stays pending for a later run.
        credentials: Name of the WaveSpeedCredentials block to buy with; never a key. None is the worker's own account.
        approve_above_usd: Suspend a plan that costs more dollars, and ask for approval in Prefect. None never asks.
            Only a run of a deployment can be suspended.
        approve_within_hours: Hours to wait for approval. A run without one ends as Refused after them.
    """
    try:
        session = SESSION.get() or await session_of_schedule(credentials)
    except FixInputError as error:
        return refused(error)
    BEGUN.set(Begun())
    session.end.set_running_or_notify_cancel()
    interrupts, summary, problem = Interrupts(), None, None
    try:
        order = Order(
            manifest, results, max_usd, skip_invalid, BuyingPolicy(retry_failed, attempts, changed_stills), archive,
            clip_name,
            RowOptions(
                only or (), limit, map or (), models, stills, check_stills, decisions, follow_approved, fewer_rows,
                changed_stills,
            ),
            accept_estimates,
            review,
            spend_up_to,
            None if approve_above_usd is None else ApprovalRule(approve_above_usd, approve_within_hours),
        )  # fmt: skip
        require_deployment(order)
        async with open_run(order, session) as begun:
            checked = await check_manifest(begun)
            settling = await settle(begun)
            opened = await count_reserved(begun)
            plan = await plan_takes(opened, checked)
            priced = await price(opened, plan)
            approved = await approve(opened, priced)
            session.progress.max_microusd = approved.max_microusd
            async with open_archive(opened, priced.plan, interrupts) as archiving:
                buying = await open_results(approved, settling, interrupts, archiving)
                async with interrupts.obeyed(buying.stop), buying.page_kept():
                    try:
                        await buying.buy()
                    finally:
                        summary = await buying.report()
                    summary = await buying.check(summary)
    except FixInputError as error:
        problem = error
        return refused(error)
    except Exception as error:
        problem = error
        await require_not_taken_over(interrupts)
        if isinstance(error, LedgerAwayError) and deployment_id() is not None:
            return ledger_away(error)
        raise
    except BaseException as error:
        problem = error
        raise
    else:
        return ended(summary, interrupts)
    finally:
        alert_of_end(summary, problem)
        if SESSION.get() is None:  # else it is part of a command, or of an inbox, which goes on
            end_within(HOLDS_UP_S)
        session.end.set_result(end_of(summary, problem, interrupts))
