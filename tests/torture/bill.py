"""The bill of a case, a day after it: to the millionth what the sandbox's account has spent, and every difference named.

The sandbox's own account is the judge: what it says that it has accepted, charged and given back. The bill and the
ledger are held against each other by the product, and against that account here.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from animatic.ledger import look_into
from animatic.results.billing.bill import Bill, compare_bill
from animatic.results.billing.comparison import Difference, Line
from animatic.sandbox.config import SandboxConfig
from animatic.sandbox.moments import moment_from
from animatic.sandbox.predictions import Predictions
from animatic.sandbox.server import serve
from animatic.sandbox.witness import Accepted, read_witness
from animatic.takes.money.amounts import microusd
from animatic.takes.states import PAID, State
from animatic.wavespeed.client import WaveSpeedClient
from torture.canary import KEY

LATER_S = 86_400.0
BALANCE_USD = 100_000.0


async def require_true_bill(folder: Path, ledger_url: str, provider: str) -> Bill | None:
    """Read the bill a day after the last purchase, and hold it against the account; None where nothing was bought."""
    accepted = read_witness(folder)
    if not accepted:
        return None
    moments = [moment_from(each.accepted_at) for each in accepted]
    first, now = datetime.fromtimestamp(min(moments), UTC), max(moments) + LATER_S
    config = SandboxConfig(
        folder=folder, key=KEY, renders=False, syncs=False, balance_usd=BALANCE_USD, clock_offset_s=now - time.time()
    )
    async with serve(config) as sandbox:
        with look_into(ledger_url, may_be_restored=True) as opened:
            async with WaveSpeedClient(sandbox.url, KEY) as client:
                bill = await compare_bill(opened, client, provider, first - timedelta(hours=1))
                spent = microusd(BALANCE_USD) - microusd(await client.balance_usd())
    given_back = given_back_by(folder, now)
    assert bill.reading.problem is None, bill.reading.problem
    assert bill.everything.net == spent, f"the bill comes to {bill.everything.net}, the account has spent {spent}"
    require_explained(bill.lines, accepted, given_back)
    assert sum((each.charged or 0) - (each.refunded or 0) for each in bill.lines) == spent
    return bill


def given_back_by(folder: Path, now: float) -> set[str]:
    """Return the predictions whose price the account has given back."""
    predictions = Predictions(SandboxConfig(folder=folder, syncs=False))
    try:
        return {each.accepted.id for each in predictions._all if each.refunded_at <= now}
    finally:
        predictions.close()


def require_explained(lines: Sequence[Line], accepted: Sequence[Accepted], given_back: set[str]) -> None:
    """Check that each line differs exactly where the account says so, and by as much."""
    price_of = {each.id: microusd(each.price_usd) for each in accepted}
    ours = {each.prediction_id for each in lines if each.bought is not None}
    expected: Counter[tuple[str, Difference]] = Counter()
    for name in price_of.keys() - ours:
        expected[name, Difference.NO_TAKE] += 1
    for each in lines:
        if each.bought is not None and each.prediction_id is not None:
            expected.update((each.prediction_id, kind) for kind in _expected(each, price_of, given_back))
    found = Counter((each.prediction_id or "", kind) for each in lines for kind in each.differences)
    assert found == expected, f"named: {found - expected}; not named: {expected - found}"


def _expected(line: Line, price_of: Mapping[str, int], given_back: set[str]) -> set[Difference]:
    """Return what differs of an attempt, a day later, by the account alone."""
    bought, name = line.bought, line.prediction_id or ""
    assert bought is not None
    if bought.state not in PAID:
        return set()
    if name not in price_of:
        return {Difference.MISSING}
    kinds: set[Difference] = set()
    if bought.quoted_microusd is not None and bought.quoted_microusd != price_of[name]:
        kinds.add(Difference.QUOTE)
    if bought.state is State.FAILED and name not in given_back:
        kinds.add(Difference.UNREFUNDED)
    if bought.state is State.COMPLETED and name in given_back:
        kinds.add(Difference.REFUNDED)
    return kinds
