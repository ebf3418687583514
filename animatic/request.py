"""What is sent for a take: its inputs, the URL of its still, its price, and the intent that comes before it.

A still that was not uploaded and a price that was not quoted when the run began are asked for when a take turns out to
be bought after all: one that another run could not send, or that was proven never to have been accepted.
"""

import asyncio
import json
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from animatic.errors import NeverAgainError, TryLaterError
from animatic.ledger.records import Intent
from animatic.plan import PricedBy, priced_by
from animatic.shots import Take
from animatic.terms import Terms
from animatic.wavespeed.client import WaveSpeedClient

Upload = Callable[[Take], Awaitable[str]]
"""Uploads the local still of a take; where it can be fetched then."""


class Requests:
    """The requests of one run. Make it inside the event loop."""

    def __init__(self, terms: Terms, client: WaveSpeedClient, upload: Upload | None = None) -> None:
        self._terms, self._client, self._upload = terms, client, upload
        self._now = asyncio.get_running_loop().time
        self._image_urls: dict[str, str] = {}
        self._prices_usd = dict(terms.prices_usd)
        self._quoted_at: dict[PricedBy, float] = dict.fromkeys(terms.prices_usd, self._now())
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def know_uploads(self, urls: Mapping[str, str]) -> None:
        """Remember where uploaded stills are, by what identifies them (`sha256:…`)."""
        self._image_urls.update(urls)

    def price_usd(self, take: Take) -> float | None:
        """What the take costs, as far as that is known."""
        return self._prices_usd.get(priced_by(take.shot), self._terms.price_usd)

    async def make_ready(self, take: Take) -> None:
        """Upload the still and ask for the price, where one is missing or, with a budget, the price is old.

        Raises:
            TryLaterError: the still cannot be uploaded now, or a budget depends on a price that cannot be had now.
            NeverAgainError, LocationError: the still cannot be uploaded.
        """
        still, kind = take.shot.still, priced_by(take.shot)
        if self._is_to_upload(take) and self._upload is not None:
            async with self._one_at_a_time[still]:
                if self._is_to_upload(take):
                    self._image_urls[still] = await self._upload(take)
        if self._is_to_quote(kind):
            async with self._one_at_a_time[str(kind)]:
                if self._is_to_quote(kind):
                    await self._quote(take, kind)

    def _is_to_upload(self, take: Take) -> bool:
        return take.shot.is_local and take.shot.still not in self._image_urls

    def _is_to_quote(self, kind: PricedBy) -> bool:
        if kind not in self._quoted_at:
            return True
        return self._terms.max_usd is not None and self._now() - self._quoted_at[kind] > self._terms.quote_age_s

    async def _quote(self, take: Take, kind: PricedBy) -> None:
        """Ask for a price; where that fails, the one that we have will do."""
        try:
            self._prices_usd[kind] = await self._client.price_usd(take.shot.model, self.inputs(take))
        except TryLaterError:
            if self._terms.max_usd is not None and self.price_usd(take) is None:
                raise
        except NeverAgainError:
            pass
        self._quoted_at[kind] = self._now()

    def inputs(self, take: Take) -> dict[str, str]:
        """The body of a submission. Source: the veo2-i2v page."""
        shot = take.shot
        return {
            "prompt": shot.prompt,
            "image": self._image_url(take),
            "aspect_ratio": shot.aspect_ratio,
            "duration": shot.duration,
        }

    def intent(self, take: Take) -> Intent:
        """What the ledger is told before the submission, dated by the API's clock."""
        shot = take.shot
        asked = {
            "aspect_ratio": shot.aspect_ratio,
            "duration": shot.duration,
            "image": shot.still,
            "prompt": shot.prompt,
            "take": take.number,
        }
        clock = self._client.clock
        return Intent(
            fingerprint=take.fingerprint,
            provider=self._terms.provider,
            model=shot.model,
            duration=shot.duration,
            request=json.dumps(asked, sort_keys=True, ensure_ascii=False),
            run_id=self._terms.run_id,
            policy=self._terms.policy,
            image_url=self._image_url(take),
            cost_usd=self.price_usd(take),
            max_usd=self._terms.max_usd,
            nonce=secrets.token_hex(8),
            window_from=clock.earliest(),
            window_to=clock.latest() + timedelta(seconds=self._client.submit_deadline_s),
        )

    def _image_url(self, take: Take) -> str:
        return self._image_urls[take.shot.still] if take.shot.is_local else take.shot.still
