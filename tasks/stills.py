"""Probe local stills, and upload those that will be sent. Both are free to repeat; Prefect remembers the probes."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from prefect import task

from animatic.errors import TryLaterError
from animatic.media.local_stills import probe_still, upload_still
from animatic.media.stills import Still
from animatic.media.uploads import UploadMemory
from animatic.takes.shots import Take
from animatic.wavespeed.client import WaveSpeedClient
from animatic.web.network import DIRECT, Network
from tasks.policies import BACKOFF, JITTER, NEVER_CACHED, PROBE_EXPIRY, RETRIES, keyed_by_argument, may_pass


class Stills:
    """Some local stills of one manifest. Not a dataclass on purpose: Prefect would walk all of it."""

    __slots__ = ("manifest_uri", "network", "paths", "takes")

    def __init__(
        self, manifest_uri: str, paths: Sequence[str], takes: Sequence[Take] = (), network: Network = DIRECT
    ) -> None:
        self.manifest_uri = manifest_uri
        self.network = network
        self.paths = paths
        self.takes = takes

    @property
    def name(self) -> str:
        """The first still, and how many more there are."""
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.paths[0]}{more}"


@task(
    name="probe-stills",
    task_run_name="probe {stills.name}",
    cache_policy=keyed_by_argument("probe"),
    cache_expiration=PROBE_EXPIRY,
    result_serializer="json",
)
async def probe_stills(stills: Stills, cache_key: str) -> dict[str, list[str | int] | str]:  # noqa: ARG001 - read by the cache policy
    """Probe stills: return the attributes of each, in order, or its fault, by path. Remembered by content."""
    found: dict[str, list[str | int] | str] = {}
    for path in stills.paths:
        still = await asyncio.to_thread(probe_still, stills.manifest_uri, path, stills.network)
        found[path] = (
            still
            if isinstance(still, str)
            else [still.sha256, still.size_bytes, still.width, still.height, still.format]
        )
    return found


def read_probed(probed: Mapping[str, list[str | int] | str]) -> dict[str, Still | str]:
    """Return the results of `probe_stills` as values."""
    return {path: found if isinstance(found, str) else Still(*found) for path, found in probed.items()}  # pyright: ignore[reportArgumentType]


@task(
    name="upload-stills",
    task_run_name="upload {stills.name}",
    cache_policy=NEVER_CACHED,
    persist_result=False,
    retry_condition_fn=may_pass,
    retries=RETRIES,
    retry_delay_seconds=BACKOFF,
    retry_jitter_factor=JITTER,
)
async def upload_stills(stills: Stills, client: WaveSpeedClient, memory: UploadMemory) -> dict[str, str]:
    """Upload each still of these takes, unless the account has it; where each is, by its hash.

    The ledger remembers uploads, not Prefect: a URL is good for one account only, and must be forgotten when it dies.

    Raises:
        LocationError: a still has changed since the plan was made.
        TryLaterError: the API is away, after retries.
    """
    known = await memory.find([take.shot.still for take in stills.takes])

    async def upload(take: Take) -> tuple[str, str]:
        still = take.shot.still
        if still in known:
            return still, known[still]
        async with memory.room:
            url = await upload_still(client, stills.manifest_uri, take, stills.network)
        await memory.remember(still, url)
        return still, url

    try:
        async with asyncio.TaskGroup() as group:
            uploads = [group.create_task(upload(take)) for take in stills.takes]
    except BaseExceptionGroup as problems:  # one that may pass is raised only if nothing else is wrong
        raise min(problems.exceptions, key=lambda error: isinstance(error, TryLaterError)) from None
    return dict(upload.result() for upload in uploads)


def content_key(*parts: str) -> str:
    """Return a short key for any number of parts, in this order."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]
