"""Prices that change, lie or go away, and the takes that may be bought again."""

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any

import httpx

from animatic.errors import BudgetError
from animatic.ledger import open_ledger
from animatic.pace.limits import Limits
from animatic.sandbox.catalogue import VEO2
from animatic.takes.states import BuyingPolicy
from torture.matrix.company import SlowReplies
from torture.matrix.lies import MODELS, PRICE, Liar, reply
from torture.matrix.stage import Setup, case, stats_of
from torture.steps import quotes

ONE_BY_ONE: dict[str, Any] = {"limits": Limits(1_000, 1), "queued_ahead": 0}


@contextlib.contextmanager
def price_list() -> Generator[dict[str, float]]:
    """The sandbox's own prices, which may be changed until the end of the block."""
    prices: Any = VEO2.price_of
    before = dict(prices)
    try:
        yield prices
    finally:
        prices.update(before)


def bill_usd(setup: Setup) -> float:
    return sum(each.price_usd for each in setup.accepted)


@case("money", "the price rises during a run with a limit", "the limit holds at the new price; the rest stays pending")
async def _price_rises(setup: Setup) -> bool:
    with price_list() as prices:
        async with setup.sandbox(inference_s=0.2):
            takes = setup.takes(*(f"take {number}" for number in range(6)))

            def rise(_: httpx.Request) -> None:
                if len(setup.accepted) >= 2:
                    prices["5s"] = 4.0

            liar = Liar(before={PRICE: rise})
            ran = await setup.run(
                takes, client={"transport": liar}, max_microusd=10_000_000, quote_age_s=0.15, **ONE_BY_ONE
            )
            assert "--max-usd" in (ran.shoot.stop_signal.reason or ""), ran.shoot.stop_signal.reason
            assert [each.price_usd for each in setup.accepted] == [2.5, 2.5, 4.0]
            assert bill_usd(setup) <= 10.0
            assert await setup.states(takes) == ["completed"] * 3 + ["planned"] * 3
            await setup.run(takes, quotes=quotes(4.0))
            assert await setup.states(takes) == ["completed"] * 6
            return prices["5s"] == 4.0 and set(setup.bought.values()) == {1}


@case("money", "a discounted price of 0", "not believed: the price counts, and the limit holds")
async def _free(setup: Setup) -> bool:
    def free(_: httpx.Request, reported: dict[str, Any]) -> dict[str, Any]:
        return reported | {"data": reported["data"] | {"discounted_price": 0}}

    async with setup.sandbox():
        takes, liar = setup.takes(*(f"take {number}" for number in range(4))), Liar(after={PRICE: free})
        ran = await setup.run(takes, client={"transport": liar}, quotes={}, max_microusd=5_000_000, **ONE_BY_ONE)
        assert ran.progress.reserved == (5_000_000, 0)
        assert bill_usd(setup) == 5.0
        assert (await setup.states(takes)).count("planned") == 2
        return liar.lied[PRICE] > 0


@case(
    "money",
    "the price goes away during a run with a limit",
    "on at the last quote for a while, then the rest is pending",
)
async def _price_goes_away(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.3):
        takes = setup.takes(*(f"take {number}" for number in range(8)))

        def gone(_: httpx.Request) -> httpx.Response | None:
            return reply(500, "away") if setup.accepted else None

        liar = Liar(before={PRICE: gone, MODELS: gone})
        ran = await setup.run(
            takes, client={"transport": liar}, max_microusd=50_000_000, quote_age_s=0.2, last_quote_s=1.0,
            take_deadline_s=20.0, **ONE_BY_ONE,
        )  # fmt: skip
        bought = len(setup.accepted)
        assert "no fresh price" in (ran.shoot.stop_signal.reason or ""), (ran.shoot.stop_signal.reason, bought)
        assert 2 <= bought < 8, bought
        assert await setup.states(takes) == ["completed"] * bought + ["planned"] * (8 - bought)
        assert bill_usd(setup) <= 50.0
        free = await setup.run(takes, client={"transport": liar}, quotes=quotes(age_s=10_000.0))
        assert await setup.states(takes) == ["completed"] * 8
        assert any("there is no limit" in line for line in free.warnings), free.warnings
        assert set(setup.bought.values()) == {1}
        return liar.lied[PRICE] > 1


@case("money", "only a base price can be had", "a floor is no price: nothing is bought under a limit without one")
async def _only_a_floor(setup: Setup) -> bool:
    async with setup.sandbox():
        takes = setup.takes("one", "two")
        liar = Liar(before={PRICE: lambda _: reply(404, "no such endpoint")})
        reported: dict[str, Any] = {"client": {"transport": liar}, "quotes": {}, "max_microusd": 9_000_000}
        ran = await setup.run(takes, **reported)
        assert "cannot be had" in (ran.shoot.stop_signal.reason or ""), ran.shoot.stop_signal.reason
        assert not setup.accepted
        said = await setup.run(
            takes, **reported, price_microusd=1_000_000
        )  # too little: it costs the base price at least
        assert said.progress.reserved == (5_000_000, 0)
        assert await setup.states(takes) == ["completed"] * 2
        return liar.lied[PRICE] >= 4 and liar.asked[MODELS] >= 2


@case("company", "two runs with --retry-failed", "one retry, by one of them; the other takes what came of it")
async def _one_retry(setup: Setup) -> bool:
    policy = BuyingPolicy(retry_failed=True)
    async with setup.sandbox(inference_s=0.6):
        takes = setup.takes("[sandbox:fails] one", "[sandbox:rejects] two")
        await setup.run(takes)
        assert await setup.states(takes) == ["failed", "rejected"]
        both = await asyncio.gather(
            *(
                setup.run(takes, policy=policy, client={"transport": SlowReplies(1.0), "submit_deadline_s": 20.0})
                for _ in range(2)
            )
        )
        assert await setup.states(takes) == ["failed", "rejected"]
        assert setup.bought == {"[sandbox:fails] one": 2}, setup.bought
        assert sum(ran.progress.submissions for ran in both) == 1
        refused = (await stats_of(setup))["refused_rejects"]
        assert refused == 2, f"refused {refused} times"
        later = await setup.run(takes, policy=policy)
        assert later.progress.submissions == 1, "a run that begins later may retry"
        return all(ran.error is None for ran in both)


@case("money", "a limit that is reached to the cent by several runs", "each run has a limit of its own, and keeps it")
async def _several_limits(setup: Setup) -> bool:
    async with setup.sandbox(inference_s=0.2):
        takes = setup.takes(*(f"take {number}" for number in range(7)))
        halves = takes[:3], takes[3:]
        reported: dict[str, Any] = {"max_microusd": 5_000_000}
        both = await asyncio.gather(*(setup.run(half, **reported) for half in halves))
        with open_ledger(setup.ledger.url) as opened:
            reserved = [await opened.reserved_by(ran.run_id) for ran in both]
        assert reserved == [(5_000_000, 0)] * 2
        assert not any(isinstance(ran.error, BudgetError) for ran in both)
        assert all("--max-usd" in (ran.shoot.stop_signal.reason or "") for ran in both)
        return bill_usd(setup) == 10.0
