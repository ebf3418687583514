"""The doctor's free questions to the API: is it there, does it take the key, what time, balance and prices."""

import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from animatic.errors import AccountRefusedError, NeverAgainError, TryLaterError
from animatic.planning.quotes import quote_each
from animatic.takes.inputs import Inputs
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.money.amounts import dollars
from animatic.takes.money.funds import signed_dollars
from animatic.takes.veo2 import ASPECT_RATIO, DURATION, VEO2
from animatic.wavespeed.client import WaveSpeedClient
from flows.command.doctor.findings import Finding, fault, note, ok
from flows.settings import Settings

PLAUSIBLE_SKEW_S = 60.0
SLOW_S = 5.0
NO_KEY = "animatic-doctor-without-a-key"
"""Sent where no key is set: the answer still tells that the API is there, and what time it is."""


async def look_at_account(settings: Settings) -> AsyncGenerator[Finding]:
    """Yield what the API answers. With a key that is refused, or without an answer, it is asked no further."""
    has_key = settings.api_key is not None
    key = settings.require_key() if has_key else NO_KEY
    async with WaveSpeedClient(settings.base_url, key, network=settings.network) as client:
        began, balance_usd, problem = time.monotonic(), 0.0, None
        try:
            balance_usd = await client.balance_usd()
        except (TryLaterError, NeverAgainError) as error:
            problem = error
        took_s = time.monotonic() - began
        for finding in _reached(settings, problem, took_s, has_key=has_key):
            yield finding
        if client.clock.is_told:
            yield clock_finding((datetime.now(UTC) - client.clock.now()).total_seconds())
        if problem is not None or not has_key:
            return
        yield _balance(balance_usd)
        yield await _prices(client)


def _reached(settings: Settings, problem: Exception | None, took_s: float, *, has_key: bool) -> list[Finding]:
    if problem is None:
        answered = f"{settings.base_url} answered in {took_s * 1_000:,.0f} ms, and takes the key"
        return [note("API", f"{answered}; that is slow") if took_s > SLOW_S else ok("API", answered)]
    if isinstance(problem, AccountRefusedError) and not has_key:
        return [ok("API", f"{settings.base_url} answered in {took_s * 1_000:,.0f} ms (asked without a key)")]
    return [fault("API", str(problem))]


def clock_finding(skew_s: float) -> Finding:
    """Return what the difference between this machine's clock and the API's means; positive: this one is ahead."""
    if abs(skew_s) <= PLAUSIBLE_SKEW_S:
        return ok("clock", f"within {PLAUSIBLE_SKEW_S:.0f} s of WaveSpeed's")
    side = "ahead of" if skew_s > 0 else "behind"
    return note(
        "clock",
        f"this machine's clock is {abs(skew_s):,.0f} s {side} WaveSpeed's. Takes are told apart by WaveSpeed's, but "
        "the times in tables and logs are this machine's: set it, best by NTP",
    )


def _balance(balance_usd: float) -> Finding:
    text = f"the account has {signed_dollars(round(balance_usd * 1e6))}"
    return (
        ok("balance", text) if balance_usd > 0 else note("balance", f"{text}; no take can be bought until it has more")
    )


async def _prices(client: WaveSpeedClient) -> Finding:
    ratio = ASPECT_RATIO.default
    classes = {
        value: VEO2.price_class(Inputs({DURATION.name: value, ASPECT_RATIO.name: ratio})) for value in DURATION.allowed
    }
    quotes, problems = await quote_each(client, list(classes.values()))
    if problems:
        return note("prices", f"no quote: {next(iter(problems.values()))}. ANIMATIC_PRICE_USD says what a take costs")
    quoted = ((value, quotes[each]) for value, each in classes.items())
    shown = (f"{'from ' if quote.is_floor else ''}{dollars(quote.microusd)} for {value}" for value, quote in quoted)
    return ok("prices", f"{DEFAULT_MODEL}: {', '.join(shown)}")
