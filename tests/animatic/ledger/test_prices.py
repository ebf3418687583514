"""Prices at which takes were bought before: an estimate for those that WaveSpeed does not quote."""

from typing import Any

from animatic.takes.states import BuyingPolicy, State
from tests.animatic.ledger.conftest import INTENT

PROVIDER = "https://api.wavespeed.ai"
REQUEST = '{"image":"https://stills.example/a.png","model":"wavespeed-ai/veo2-i2v","prompt":"push in"}'
OTHER = "kwaivgi/kling-v2.1-i2v-standard"


async def prices(ledger: Any, *models: str) -> list[tuple[str, int]]:
    return [(each.model, each.microusd) for each in await ledger.opened.newest_paid(PROVIDER, models)]


async def test_the_newest_price_of_each_model_comes_first(ledger: Any) -> None:
    for number, (model, usd) in enumerate([(INTENT.model, 2.5), (OTHER, 0.25), (INTENT.model, 3)]):
        await ledger.buy(f"{number:064d}", provider=PROVIDER, model=model, request=REQUEST, cost_usd=usd)
    assert await prices(ledger, INTENT.model, OTHER) == [
        (INTENT.model, 3_000_000),
        (INTENT.model, 2_500_000),
        (OTHER, 250_000),
    ]
    (kling,) = await ledger.opened.newest_paid(PROVIDER, [OTHER])
    assert kling.inputs["prompt"] == "push in"


async def test_what_cost_nothing_or_an_unknown_sum_is_no_price(ledger: Any) -> None:
    for number, usd in enumerate((None, 0)):
        await ledger.buy(f"{number:064d}", provider=PROVIDER, request=REQUEST, cost_usd=usd)
    rejected = await ledger.intend("a" * 64, provider=PROVIDER, request=REQUEST, cost_usd=9)
    await ledger.conclude(rejected, State.REJECTED, 1001)
    await ledger.buy("b" * 64, provider="sandbox", request=REQUEST, cost_usd=9, policy=BuyingPolicy())
    assert await prices(ledger, INTENT.model) == []
