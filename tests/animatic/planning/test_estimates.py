"""Estimates: the most that takes like one cost before, from how many, and of which inputs."""

from asked import inputs_of
from kept_plans import VEO2

from animatic.ledger import Paid
from animatic.planning.estimates import NEWEST, Estimate, estimates_from
from animatic.takes.schemas import PriceClass
from animatic.takes.veo2 import VEO2 as SCHEMA

SCHEMAS = {VEO2: SCHEMA}


def price_class(duration: str = "5s") -> PriceClass:
    return SCHEMA.price_class(inputs_of(duration=duration))


def paid(usd: float, duration: str = "5s", prompt: str = "push in") -> Paid:
    return Paid(VEO2, inputs_of(prompt, duration=duration), round(usd * 1_000_000))


def test_an_estimate_is_the_most_that_takes_like_it_cost() -> None:
    found = estimates_from([price_class()], [paid(2.5), paid(2.75, prompt="pan"), paid(4.0, "8s")], SCHEMAS)
    assert found == {price_class(): Estimate(2_750_000, 2)}
    assert str(found[price_class()]) == "about $2.75, estimated from 2 takes"


def test_without_takes_like_it_those_of_the_model_do_and_say_so() -> None:
    found = estimates_from([price_class("8s")], [paid(2.5), paid(3.0, "6s")], SCHEMAS)
    assert found[price_class("8s")] == Estimate(3_000_000, 2, is_alike=False)
    assert "of this model with other inputs" in str(found[price_class("8s")])


def test_only_the_newest_takes_count() -> None:
    found = estimates_from([price_class()], [*[paid(2.5)] * NEWEST, paid(9.0)], SCHEMAS)
    assert found[price_class()] == Estimate(2_500_000, NEWEST)


def test_a_model_that_was_never_bought_has_no_estimate() -> None:
    assert estimates_from([price_class()], [Paid("other/model", inputs_of(), 1)], SCHEMAS) == {}
