"""The day's budget in the ledger: what counts for which day, and that all who buy at once never exceed it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest

from animatic.errors import BudgetError, DayBudgetError
from animatic.takes.money.amounts import microusd
from animatic.takes.states import BuyingPolicy, State

WAVESPEED, MONDAY, TUESDAY = "https://api.wavespeed.ai", date(2026, 3, 2), date(2026, 3, 3)


async def spent(ledger: Any, provider: str = WAVESPEED, day: date = MONDAY) -> tuple[float, int]:
    found = await ledger.opened.spent_on(provider, day)
    return found.cost_microusd / 1e6, found.unpriced


def bought(usd: float | None = 2.5, day: date = MONDAY, provider: str = WAVESPEED, **more: Any) -> dict[str, Any]:
    return {"cost_usd": usd, "spends_on": day, "provider": provider, **more}


async def test_all_runs_count_together_with_a_limit_or_without(ledger: Any) -> None:
    await ledger.begin("run-2")
    await ledger.buy("a" * 64, **bought())
    await ledger.buy("b" * 64, **bought(3.0, run_id="run-2", day_microusd=microusd(5.5)))
    assert await spent(ledger) == (5.5, 0)
    with pytest.raises(
        DayBudgetError, match=r"exceed the limit of \$5\.50 for 2026-03-02 \(UTC\), of which .* \$5\.50"
    ):
        await ledger.buy("c" * 64, **bought(0.001, day_microusd=microusd(5.5)))
    assert await spent(ledger) == (5.5, 0)
    assert await ledger.committed_usd() == 2.5
    assert await ledger.find("c" * 64) is None


async def test_each_day_and_each_account_has_its_own(ledger: Any) -> None:
    limit = microusd(2.5)
    await ledger.buy("a" * 64, **bought(day_microusd=limit))
    await ledger.buy("b" * 64, **bought(day=TUESDAY, day_microusd=limit))
    await ledger.buy("c" * 64, **bought(provider=f"{WAVESPEED}#north", day_microusd=limit))
    assert await spent(ledger) == await spent(ledger, day=TUESDAY) == (2.5, 0)
    assert await spent(ledger, f"{WAVESPEED}#north") == (2.5, 0)
    assert await spent(ledger, f"{WAVESPEED}#south") == (0.0, 0)


async def test_the_embedded_sandbox_is_never_counted(ledger: Any) -> None:
    await ledger.buy(**bought(provider="sandbox", day_microusd=0))
    assert ledger.rows("SELECT * FROM spending") == []
    assert ledger.rows("SELECT spent_on FROM attempt") == [(None,)]


@pytest.mark.parametrize("state", [State.UNSENT, State.REJECTED])
async def test_what_was_not_bought_is_given_back_to_its_own_day(ledger: Any, state: State) -> None:
    await ledger.buy("a" * 64, **bought(day=TUESDAY))
    attempt_id = await ledger.intend("b" * 64, **bought(3.0))
    await ledger.conclude(attempt_id, state)
    assert (await spent(ledger), await spent(ledger, day=TUESDAY)) == ((0.0, 0), (2.5, 0))
    assert await ledger.committed_usd() == 2.5


async def test_what_may_have_been_bought_counts_until_its_absence_is_proven(ledger: Any) -> None:
    attempt_id = await ledger.intend(**bought())
    await ledger.conclude(attempt_id, State.UNKNOWN)
    assert await spent(ledger) == (2.5, 0)
    await ledger.do("move", attempt_id, State.ABSENT, {"error": "not there"})
    await ledger.do("give_back", attempt_id)
    assert await spent(ledger) == (0.0, 0)


async def test_a_failed_take_and_each_further_attempt_count(ledger: Any) -> None:
    await ledger.finish(await ledger.buy(**bought()), state=State.FAILED, error_code=5000)
    await ledger.buy(**bought(day=TUESDAY, policy=BuyingPolicy(retry_failed=True, attempts=3)))
    assert (await spent(ledger), await spent(ledger, day=TUESDAY)) == ((2.5, 0), (2.5, 0))


async def test_an_unsent_take_that_goes_again_counts_for_the_new_day(ledger: Any) -> None:
    await ledger.conclude(await ledger.intend(**bought()), State.UNSENT)
    await ledger.intend(**bought(day=TUESDAY, nonce="n2"))
    assert (await spent(ledger), await spent(ledger, day=TUESDAY)) == ((0.0, 0), (2.5, 0))


async def test_an_unknown_price_is_counted_apart_and_refused_by_a_limit(ledger: Any) -> None:
    await ledger.buy("a" * 64, **bought(None))
    assert await spent(ledger) == (0.0, 1)
    with pytest.raises(BudgetError, match=r"ANIMATIC_MAX_USD_PER_DAY: the price of a take .* cannot be had"):
        await ledger.buy("b" * 64, **bought(None, day_microusd=microusd(5)))


async def test_the_option_that_limits_a_run_is_the_one_that_is_named(ledger: Any) -> None:
    with pytest.raises(BudgetError, match=r"^--spend-up-to: buying this take .* raise --spend-up-to to go on$"):
        await ledger.buy(**bought(max_usd=1.0, limited_by="--spend-up-to"))


def test_four_who_buy_at_once_never_exceed_the_day(ledger: Any) -> None:
    """Each has the ledger open for itself, as a process has; every one of them wants more than all of the day."""

    def buy_all(number: int) -> int:
        mine = type(ledger)(ledger)
        try:
            return asyncio.run(_buy_all(mine, number, 50))
        finally:
            mine.opened.close()

    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(buy_all, range(4)))
    assert sum(counts) == 40
    assert ledger.rows("SELECT reserved_microusd, unpriced FROM spending") == [(40_000_000, 0)]
    assert ledger.rows("SELECT count(*), sum(quoted_microusd) FROM attempt") == [(40, 40_000_000)]
    assert ledger.rows("SELECT sum(committed_microusd) FROM run") == [(40_000_000,)]


async def _buy_all(mine: Any, number: int, wanted: int) -> int:
    await mine.begin(f"buyer-{number}")
    values = bought(1.0, run_id=f"buyer-{number}", day_microusd=40_000_000)
    takes = (f"{number}{take:063d}" for take in range(wanted))
    found = await asyncio.gather(*(mine.intend(take, **values) for take in takes), return_exceptions=True)
    refused = [each for each in found if isinstance(each, BaseException)]
    assert all(isinstance(each, DayBudgetError) for each in refused)
    return wanted - len(refused)
