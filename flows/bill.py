"""The bill: what WaveSpeed charged and refunded, held against the ledger. Buys nothing."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from animatic import storage
from animatic.errors import AccountRefusedError, FixInputError, SettingsError
from animatic.ledger import look_into
from animatic.results.billing.bill import Bill, compare_bill
from animatic.results.billing.table import as_csv, require_replaceable
from animatic.results.billing.words import conclusion
from animatic.wavespeed.client import WaveSpeedClient
from flows.dates import start_of
from flows.flow_states import refused
from flows.schedule import BlockName, session_of_schedule
from flows.session import new_run_id
from flows.settings import Settings
from tasks.begun import begin
from tasks.bill import publish_bill
from tasks.deployment import deployment_name

DAYS = 7
"""The bill of so many days is read where no date is given."""


@dataclass(frozen=True, slots=True)
class BillOrder:
    """Request for a bill, checked.

    Attributes:
        until: None for now.
        csv: URI of the table to write, if any.
    """

    since: datetime
    until: datetime | None
    csv: str | None

    @classmethod
    def read(cls, since: str | None, until: str | None, csv: str | None, now: datetime) -> "BillOrder":
        """Read dates as they are typed; `until` is the last date that counts.

        Raises:
            SettingsError: they are no dates, or the wrong way round; or the table would replace another file.
        """
        first = datetime.combine(now.date() - timedelta(days=DAYS), time(), UTC)
        start = first if since is None else start_of("--since", since)
        end = None if until is None else start_of("--until", until) + timedelta(days=1)
        if start >= (now if end is None else end):
            allowed = "a date that is not in the future" if end is None else f"a date up to {until}"
            raise SettingsError(f"--since: found {start:%Y-%m-%d}; allowed: {allowed}")
        if csv is not None:
            require_replaceable(csv)
        return cls(start, end, csv)


READ: ContextVar[Bill | None] = ContextVar("animatic_bill", default=None)
"""The bill that the command has read already; a schedule reads it in the flow."""


async def read_and_compare(settings: Settings, order: BillOrder) -> Bill:
    """Read the bill, keep it in the ledger, compare, and write the table.

    Raises:
        SettingsError: there is no key, or WaveSpeed refuses it.
        TryLaterError, NeverAgainError: the bill cannot be read at all.
    """
    with look_into(settings.ledger, may_be_restored=True) as ledger:
        async with WaveSpeedClient(settings.base_url, settings.require_key(), network=settings.network) as client:
            try:
                bill = await compare_bill(ledger, client, settings.origin, order.since, order.until)
            except AccountRefusedError as error:
                raise SettingsError(str(error)) from None
    if order.csv is not None:
        await asyncio.to_thread(storage.replace_bytes, order.csv, as_csv(bill.lines))
    return bill


def name_run() -> str:
    """Return `bill` and an id that sorts by time."""
    return f"bill {new_run_id()}"


@flow(name="bill", flow_run_name=name_run, persist_result=False)
async def bill(
    since: str | None = None, until: str | None = None, csv: str | None = None, credentials: BlockName | None = None
) -> State[None]:
    """Hold WaveSpeed's bill against the ledger, and show what differs. Buys nothing.

    Args:
        since: the first UTC date, such as 2026-11-26; None is 7 days ago.
        until: the last UTC date; None is now.
        csv: URI of a CSV to write, with a row for each prediction.
        credentials: Name of the WaveSpeedCredentials block whose account's bill it is; never a key. None is the
            worker's own account.
    """
    try:
        found = READ.get()
        if found is None:
            session = await session_of_schedule(credentials)
            order = await asyncio.to_thread(BillOrder.read, since, until, csv, datetime.now(UTC))
            found = await read_and_compare(session.settings, order)
    except FixInputError as error:
        return refused(error)
    await begin(publish_bill(found, await deployment_name()))
    return Completed(message=conclusion(found)) if found.is_agreed else Failed(message=conclusion(found))
