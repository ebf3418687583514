"""The bill over every scenario of the sandbox: to the millionth its account, and every difference has its name."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from torture.bill import require_true_bill
from torture.canary import KEY
from torture.matrix.stage import PROVIDER, Setup

from animatic.ledger import open_ledger
from animatic.results.billing.bill import compare_bill
from animatic.results.billing.comparison import Difference, Pending
from animatic.sandbox.scenarios import SCENARIOS
from animatic.takes.states import BuyingPolicy
from animatic.wavespeed.client import WaveSpeedClient

STOPS_THE_RUN = {"unauthorised", "unpaid", "payment-required"}
QUICK = {
    "slow": "slow=0.3",
    "stuck": "stuck",
    "drip": "drip=1",
    "not-found": "not-found=0.1",
    "late-accept": "late-accept=0.5",
}


def prompts() -> list[str]:
    """A prompt for each scenario that lets a run go on, and a few that end in other ways."""
    names = [name for name in SCENARIOS if name not in STOPS_THE_RUN and "clip" not in name]
    asked = [QUICK.get(name, name) for name in names]
    more = ["bad-gateway=billed", "conflict=billed", "request-timeout=billed", "garbage=submit", "half=submit"]
    return [f"[sandbox:{each}] a take" for each in (*asked, *more)]


async def test_over_all_scenarios_the_bill_is_the_account_to_the_millionth(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    async with setup.sandbox():
        takes = setup.takes(*prompts())
        await setup.run(takes, not_found_grace_s=0.3, take_deadline_s=6.0)
        await setup.run(takes, take_deadline_s=1.0, not_found_grace_s=0.3, policy=BuyingPolicy(retry_failed=True))
        for name in STOPS_THE_RUN:
            await setup.run(setup.takes(f"[sandbox:{name}] a take"))
        await setup.buy_elsewhere("bought in a browser")
    assert len(setup.accepted) > 50
    bill = await require_true_bill(tmp_path / "sandbox", setup.ledger.url, PROVIDER)
    assert bill is not None
    kinds = {Difference.NO_TAKE, Difference.UNREFUNDED}
    assert kinds <= set(bill.counts), bill.counts
    assert bill.of_ledger.net + bill.of_no_take.net == bill.everything.net
    assert bill.exit_code == 3


async def test_what_is_paid_back_in_time_is_pending_and_then_agreed(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    since = datetime.now(UTC) - timedelta(hours=1)
    async with setup.sandbox(refund_delay_s=600.0):
        takes = setup.takes("a take", "[sandbox:fails] a take")
        await setup.run(takes)
        async with WaveSpeedClient(setup.url, KEY) as client:
            with open_ledger(setup.ledger.url) as ledger:
                bill = await compare_bill(ledger, client, PROVIDER, since)
    assert (bill.pending, bill.counts, bill.exit_code) == ({Pending.REFUND_DUE: 1}, {}, 0)
    assert (bill.everything.net, bill.pending_microusd) == (5_000_000, 2_500_000)
    later = await require_true_bill(tmp_path / "sandbox", setup.ledger.url, PROVIDER)
    assert later is not None
    assert (later.pending, later.counts, later.everything.net) == (Counter(), Counter(), 2_500_000)


async def test_the_ledger_keeps_the_bill_and_counts_each_item_once(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    async with setup.sandbox():
        takes = setup.takes("a take", "[sandbox:fails] a take")
        await setup.run(takes)
        assert [each and each.charged_microusd for each in await setup.records(takes)] == [None, None]
    for _ in range(2):
        await require_true_bill(tmp_path / "sandbox", setup.ledger.url, PROVIDER)
        found = [each and (each.charged_microusd, each.refunded_microusd) for each in await setup.records(takes)]
        assert found == [(2_500_000, 0), (2_500_000, 2_500_000)]


async def test_a_bill_of_many_pages_is_read_whole(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    async with setup.sandbox():
        await setup.run(setup.takes(*(f"take {number}" for number in range(10)), count=16))
        await setup.run(setup.takes(*(f"[sandbox:fails] take {number}" for number in range(3)), count=16))
    bill = await require_true_bill(tmp_path / "sandbox", setup.ledger.url, PROVIDER)
    assert bill is not None
    assert (bill.everything.charges, bill.everything.refunds, bill.is_agreed) == (208, 48, True)
