"""One submission: its inputs, the URLs of its files, its price, and the intent that comes before it.

A file that was not uploaded and a price that was not quoted when the run began are asked for when a take turns out to
be bought after all: one that another run could not send, or that was proven never to have been accepted.
"""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import timedelta

from animatic.errors import BudgetError, NeverAgainError, TryLaterError
from animatic.ledger import Intent
from animatic.machine.waiting import Event, new_event, wake
from animatic.planning.config import RunConfig
from animatic.takes.canonical import canonical_still
from animatic.takes.inputs import Inputs, request_of
from animatic.takes.money.amounts import Quote, price_of
from animatic.takes.schemas import PriceClass
from animatic.takes.shots import Take
from animatic.takes.stills import LocalFile
from animatic.wavespeed.client import WaveSpeedClient

EARLY = 0.99
"""A price is asked for again a little before it is too old, since the reservation takes a moment too."""

SHORT_WAIT_S = 1.0
"""A wait too short for a fresh price to grow too old."""

ASKS_AGAIN_S = 30.0
"""Seconds until a price that could not be had is asked for again."""

Upload = Callable[[LocalFile], Awaitable[str]]
"""Uploads a local file; where it can be fetched then."""

Log = Callable[[str], None]


class Requests:
    """The requests of one run. Make it inside the event loop. `warn` is called where a price could not be refreshed."""

    def __init__(
        self, config: RunConfig, client: WaveSpeedClient, upload: Upload | None = None, warn: Log = lambda _: None
    ) -> None:
        self._config, self._client, self._upload, self._warn = config, client, upload, warn
        self._now = asyncio.get_running_loop().time
        self._urls: dict[str, str] = {}  # of uploads, by what identifies them
        self._awaited: defaultdict[str, list[Event]] = defaultdict(list)
        self._on_their_way = set[str]()
        self._quotes = dict(config.quotes)
        age_s = {price_class: quote.age_s(time.time()) for price_class, quote in config.quotes.items()}
        self._quoted_at: dict[PriceClass, float] = {
            price_class: self._now() - age_s[price_class] for price_class in config.quotes
        }
        self._ask_at: dict[PriceClass, float] = {
            price_class: at + EARLY * config.quote_age_s for price_class, at in self._quoted_at.items()
        }
        self._has_warned: set[PriceClass] = set()
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def know_uploads(self, urls: Mapping[str, str]) -> None:
        """Remember where uploaded files are, by what identifies them (`sha256:…`)."""
        self._urls.update(urls)

    def await_uploads(self, identities: Iterable[str]) -> None:
        """Record that files are being uploaded by those who know where they are next."""
        self._on_their_way.update(identities)

    def end_uploads(self, identities: Iterable[str]) -> None:
        """Record that uploads are over, and wake those who wait for them."""
        for identity in identities:
            self._on_their_way.discard(identity)
            for event in self._awaited.pop(identity, ()):
                wake(event)

    def uploads_awaited(self, take: Take) -> Iterator[Event]:
        """Yield events to wait for, one after the other: the files of a take that are on their way."""
        for identity in take.shot.paths:
            if identity in self._on_their_way:
                event = new_event()
                self._awaited[identity].append(event)
                yield event

    def forget_upload(self, identity: str, url: str) -> None:
        """Forget where an uploaded file was, unless it has been uploaded again since."""
        if self._urls.get(identity) == url:
            del self._urls[identity]

    def price(self, take: Take) -> int | None:
        """Return what the take costs, in millionths of a dollar, as far as that is known."""
        config, price_class = self._config, take.shot.price_class
        share = config.stand_ins.get(price_class, config.share_microusd)
        return price_of(self._quotes.get(price_class), config.price_microusd, share)

    def is_ready(self, take: Take, waited_s: float) -> bool:
        """Tell if its files are uploaded and the price is fresh enough."""
        is_stale = waited_s > SHORT_WAIT_S and self._is_to_quote(take.shot.price_class)
        return take.shot.paths.keys() <= self._urls.keys() and not is_stale

    async def make_ready(self, take: Take) -> None:
        """Upload its files and ask for the price, where one is missing or the price is old.

        Raises:
            TryLaterError: a file cannot be uploaded now, or a limit depends on a price that cannot be had now.
            FileRefusedError: the API refuses a file.
            NeverAgainError, LocationError: a file cannot be uploaded.
            BudgetError: a limit depends on a price that is too old, and a fresh one cannot be had.
        """
        price_class = take.shot.price_class
        for file in take.shot.files:
            async with self._one_at_a_time[file.identity]:
                if file.identity not in self._urls and self._upload is not None:
                    self._urls[file.identity] = await self._upload(file)
        if self._is_to_quote(price_class):
            async with self._one_at_a_time[str(price_class)]:
                if self._is_to_quote(price_class):
                    await self._quote(take, price_class)

    def _is_to_quote(self, price_class: PriceClass) -> bool:
        return self._now() >= self._ask_at.get(price_class, 0.0)

    async def _quote(self, take: Take, price_class: PriceClass) -> None:
        """Ask for a price; where that fails, go on at the one that we have as long as that may be."""
        problem: Exception
        try:
            price = await self._client.quote(take.shot.model, self.inputs(take))
        except (TryLaterError, NeverAgainError) as error:
            problem = error
        else:
            before = self._quotes.get(price_class)
            if not price.is_floor or before is None or before.is_floor:
                self._quotes[price_class] = Quote(price.microusd, price.is_floor)
                self._quoted_at[price_class] = self._now()
                self._ask_at[price_class] = self._now() + EARLY * self._config.quote_age_s
                return
            problem = TryLaterError("only a base price can be had now")
            if price.microusd > before.microusd:  # it has risen by this much at least
                self._quotes[price_class] = Quote(price.microusd)
        self._go_on_without(take, price_class, problem)

    def _go_on_without(self, take: Take, price_class: PriceClass, problem: Exception) -> None:
        """Decide whether a take may be bought though its price could not be asked for.

        Raises:
            TryLaterError, BudgetError: it may not.
        """
        config = self._config
        self._ask_at[price_class] = self._now() + min(ASKS_AGAIN_S, config.quote_age_s)
        quoted_at, quote = self._quoted_at.get(price_class), self._quotes.get(price_class)
        if config.limit_name is None:
            if price_class not in self._has_warned:
                self._has_warned.add(price_class)
                how = "at the last one" if self.price(take) is not None else "at a price that is not known"
                self._warn(f"no fresh price can be had ({problem}); there is no limit, so the run goes on {how}")
            return
        if self.price(take) is None and isinstance(problem, TryLaterError):
            raise problem
        is_quoted = quote is not None and not quote.is_floor and quoted_at is not None
        if is_quoted and self._now() - (quoted_at or 0.0) > config.last_quote_s:
            raise BudgetError(
                f"{config.limit_name}: no fresh price could be had for {config.last_quote_s / 60:.0f} minutes "
                f"({problem}); what is not bought yet stays pending. Run again when WaveSpeed quotes prices"
            )

    def inputs(self, take: Take) -> Inputs:
        """Return the body of a submission: the row as it is written."""
        return take.shot.inputs.with_files(self._uploads(take))

    def intent(self, take: Take) -> Intent:
        """Return the intent that the ledger keeps before the submission, dated by the API's clock."""
        shot = take.shot
        clock = self._client.clock
        return Intent(
            fingerprint=take.fingerprint,
            provider=self._config.provider,
            model=shot.model,
            latency_class=shot.latency_class.values,
            request=request_of(shot.inputs, take.number),
            run_id=self._config.run_id,
            policy=self._config.policy,
            uploads=self._uploads(take),
            quoted_microusd=self.price(take),
            max_microusd=self._config.max_microusd,
            nonce=secrets.token_hex(8),
            window_from=clock.earliest(),
            window_to=clock.latest() + timedelta(seconds=self._client.submit_deadline_s),
            origin=self._config.origins.get(take.fingerprint),
            looks=self._looks(take),
            replaces=self._config.renewals.get(take.fingerprint),
            limited_by=self._config.limited_by,
            spends_on=clock.now().date(),
            day_microusd=self._config.day_microusd,
        )

    def _looks(self, take: Take) -> dict[str, int]:
        """Return what was seen of the take's stills on the web, as far as they were looked at lately."""
        looks, shot = self._config.looks, take.shot
        stills = map(canonical_still, shot.schema.stills_on_web(shot.inputs) if looks else ())
        return {still: looks[still] for still in stills if still in looks}

    def _uploads(self, take: Take) -> dict[str, str]:
        """Return where the local files of a take are, by what identifies them."""
        return {identity: self._urls[identity] for identity in take.shot.paths if identity in self._urls}
