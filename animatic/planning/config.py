"""Configuration of a run as plain values: the provider, the pace, the prices, and what it may buy again. Pure."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from animatic.pace.latencies import USUAL_LATENCY_S
from animatic.pace.limits import Limits
from animatic.takes.chains import Origin
from animatic.takes.money.amounts import FRESH_S, GOES_ON_S, Quote
from animatic.takes.money.budgets import MAX_USD, MAX_USD_PER_DAY
from animatic.takes.schemas import PriceClass
from animatic.takes.states import BuyingPolicy


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Configuration of a run, as plain values.

    Attributes:
        provider: whom takes are bought from, part of each fingerprint.
        quotes: what a take costs, by price class.
        max_microusd: the most that this run may reserve, in millionths of a dollar, or None.
        price_microusd: of a take where no quote can be had, if that was said.
        share_microusd: of a take whose price is not known, where a person agreed to a limit for all of them.
        stand_ins: the most that a take may cost where no quote can be had, by price class.
        agreed: fingerprints of the takes that a person approved, or None where all may be bought.
        poll_floor_s: never look at the same take again sooner than this.
        take_deadline_s: a take that is not final this long after we began to watch it is left for the next run.
        give_up_s: a take that is not final this long after its submission is held, and no longer holds a slot.
        not_found_grace_s: how long the API may go on saying that it does not know a prediction which it accepted.
        polls_per_second: result queries of this process, on average.
        queued_ahead: how many takes WaveSpeed is given beyond those it may work on at once; None: as many as are done
            before we see it.
        quote_age_s: a price older than this is asked for again before something is bought at it.
        usual_latency_s: latency of a take where none was seen yet, for forecasts.
        origins: the take whose last frame each chained take starts from, by its fingerprint.
        looks: what was seen lately of stills on the web, by canonical URL: ids of looks.
        renewals: takes to buy again since a still has changed, each with the attempt that is to be replaced.
        limited_by: the option that sets `max_microusd`.
        day_microusd: the most that all runs together may reserve in a UTC day at this provider, or None.
        last_quote_s: how long a run with a limit goes on at the last quote where it cannot be asked for again.
    """

    run_id: str
    provider: str
    limits: Limits
    poll_floor_s: float
    take_deadline_s: float
    not_found_grace_s: float = 120.0
    give_up_s: float = 86_400.0
    quote_age_s: float = FRESH_S
    last_quote_s: float = GOES_ON_S
    usual_latency_s: float = USUAL_LATENCY_S
    polls_per_second: float = 500.0
    queued_ahead: int | None = None
    policy: BuyingPolicy = field(default_factory=BuyingPolicy)
    max_microusd: int | None = None
    limited_by: str = MAX_USD
    day_microusd: int | None = None
    price_microusd: int | None = None
    share_microusd: int | None = None
    stand_ins: Mapping[PriceClass, int] = field(default_factory=dict[PriceClass, int])
    agreed: Container[str] | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    quotes: Mapping[PriceClass, Quote] = field(default_factory=dict[PriceClass, Quote])
    looks: Mapping[str, int] = field(default_factory=dict[str, int])
    renewals: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def limit_name(self) -> str | None:
        """The option or variable that limits what the run may spend; None where nothing does."""
        if self.max_microusd is not None:
            return self.limited_by
        return None if self.day_microusd is None else MAX_USD_PER_DAY
