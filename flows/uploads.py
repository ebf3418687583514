"""Uploads of a run: the local stills of its plan up front, others when a take turns out to be bought after all."""

import asyncio
import functools
from collections.abc import Sequence

from animatic.buying.shoot import Shoot
from animatic.errors import NeverAgainError, TryLaterError
from animatic.media.local_stills import LocalStills
from animatic.media.uploads import UploadMemory, Uploads
from animatic.planning.plan import Plan
from animatic.takes.shots import Take
from flows.run import Run
from tasks.stills import groups_of, name_of, upload_stills


class RunUploads:
    """Uploads of one run. Its limits hold for all of them, early or late."""

    def __init__(self, run: Run) -> None:
        settings = run.session.settings
        self.memory = UploadMemory(run.desk, settings.account, settings.base_url, settings.network)
        self._uploads = Uploads(LocalStills(run.order.manifest, settings.network), run.client, self.memory)
        self._underway: asyncio.Future[list[dict[str, str] | BaseException]] | None = None
        self._is_given_up = False

    def give_up(self) -> None:
        """Cancel what is under way, since nothing is bought by it."""
        self._is_given_up = True
        if self._underway is not None:
            self._underway.cancel()

    async def upload_planned(self, plan: Plan, shoot: Shoot) -> None:
        """Upload the local stills of what there is to buy, each once, and let the shoot know where they are."""
        groups = groups_of(await asyncio.to_thread(plan.stills_to_upload))
        self._underway = asyncio.gather(*(self._upload(group) for group in groups), return_exceptions=True)
        try:
            uploads = await self._underway
        except asyncio.CancelledError:
            if not self._is_given_up:
                raise
            return
        finally:
            self._underway = None
        for upload in uploads:
            if isinstance(upload, TryLaterError | NeverAgainError):
                shoot.stop_signal.stop_buying(str(upload))
            elif isinstance(upload, BaseException):
                raise upload
            else:
                shoot.know_uploads(upload)

    async def upload_late(self, take: Take) -> str:
        """Upload the still of a take that was not in the plan to buy."""
        (url,) = (await self._upload([take])).values()
        return url

    async def _upload(self, takes: Sequence[Take]) -> dict[str, str]:
        name = name_of([take.shot.image for take in takes])
        return await upload_stills(name, functools.partial(self._uploads.upload, takes))
