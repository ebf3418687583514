"""Probe local stills, and upload those that will be sent. Both are free to repeat; Prefect remembers the probes."""

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any, TypeAlias, TypeVar

from prefect import task

from animatic.errors.text import one_line
from animatic.media.local_stills import LocalStills
from animatic.planning.sound import Look
from animatic.takes.seen_stills import LookedAt
from animatic.takes.stills import FoundStill, MediaFile, MissingStill, Still
from tasks.begun import begin
from tasks.policies import PROBE_EXPIRY, RETRIED, content_key, keyed_by_argument

T = TypeVar("T")

Probed: TypeAlias = list[str | int | None] | str
"""Result of probing a path, as JSON keeps it."""

MOST_TASKS = 40
STILLS_ALONE = 20


async def probe_in_tasks(stills: LocalStills, paths: Sequence[str]) -> dict[str, FoundStill]:
    """Probe local stills in task runs; Prefect remembers the probe of each group of contents."""
    digests = await asyncio.to_thread(stills.digests, paths)
    groups = list(groups_of(paths))
    probed = await asyncio.gather(
        *(
            begin(
                probe_stills(
                    name_of(group),
                    functools.partial(stills.probe_all, group),
                    content_key(*(f"{path}={digests[path]}" for path in group)),
                )
            )
            for group in groups
        )
    )
    return {path: still for found in probed for path, still in read_probed(found).items()}


@task(
    name="probe-stills",
    task_run_name="probe {name}",
    cache_policy=keyed_by_argument("probe-shown"),
    cache_expiration=PROBE_EXPIRY,
    result_serializer="json",
)
async def probe_stills(
    name: str,  # noqa: ARG001 - shown by Prefect
    probe: Callable[[], Mapping[str, FoundStill]],
    cache_key: str,  # noqa: ARG001 - read by the cache policy
) -> dict[str, Probed]:
    """Probe stills: return the attributes of each, in order, or its fault, by path. Remembered by content."""
    found = await asyncio.to_thread(probe)
    return {path: still if isinstance(still, str) else list(astuple(still)) for path, still in found.items()}


def read_probed(probed: Mapping[str, Probed]) -> dict[str, FoundStill]:
    """Return the results of `probe_stills` as values."""
    return {path: found if isinstance(found, str) else _read(found) for path, found in probed.items()}


def _read(found: Sequence[Any]) -> FoundStill:
    """Return what has these attributes: one that is missing has one, audio and video three."""
    return MissingStill(*found) if len(found) == 1 else MediaFile(*found) if len(found) == 3 else Still(*found)


async def decode_in_tasks(stills: LocalStills, wanted: Mapping[str, Still]) -> dict[str, str | None]:
    """Decode local stills in task runs; return by SHA-256 what is wrong with each, None where nothing is.

    Raises:
        LocationError: a still has changed since it was probed.
    """
    damages: dict[str, str | None] = {}
    for group in groups_of(list(wanted)):
        some = {path: wanted[path] for path in group}
        key = content_key(*(still.sha256 for still in some.values()))
        damages |= await begin(decode_stills(name_of(group), functools.partial(stills.find_damages, some), key))
    return damages


@task(
    name="decode-stills",
    task_run_name="decode {name}",
    cache_policy=keyed_by_argument("decode"),
    cache_expiration=PROBE_EXPIRY,
    result_serializer="json",
)
async def decode_stills(
    name: str,  # noqa: ARG001 - shown by Prefect
    decode: Callable[[], Awaitable[dict[str, str | None]]],
    cache_key: str,  # noqa: ARG001 - read by the cache policy
) -> dict[str, str | None]:
    """Decode stills whole: return what is wrong with each, by SHA-256. Remembered by content."""
    return await decode()


async def look_in_task(look: Look, urls: Sequence[str]) -> Mapping[str, LookedAt]:
    """Look at stills on the web in a task run. The ledger remembers what was seen, not Prefect."""
    name = name_of([one_line(urls[0].partition("?")[0], 200), *urls[1:]])  # a query may hold a signature
    return await begin(look_at_stills(name, functools.partial(look, urls)))


@task(name="look-at-stills", task_run_name="look at {name}", persist_result=False)
async def look_at_stills(
    name: str,  # noqa: ARG001 - shown by Prefect
    look: Callable[[], Awaitable[Mapping[str, LookedAt]]],
) -> Mapping[str, LookedAt]:
    """Look at stills on the web: what was seen, by URL."""
    return await look()


@task(
    name="upload-stills",
    task_run_name="upload {name}",
    **RETRIED,
)
async def upload_stills(
    name: str,  # noqa: ARG001 - shown by Prefect
    upload: Callable[[], Awaitable[dict[str, str]]],
) -> dict[str, str]:
    """Upload stills, unless the account has them; where each is, by its hash.

    The ledger remembers uploads, not Prefect: a URL is good for one account only, and must be forgotten when it dies.

    Raises:
        LocationError: a still has changed since the plan was made.
        TryLaterError: the API is away, after retries.
    """
    return await upload()


def groups_of(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Items one by one while they are few, else in at most `MOST_TASKS` groups."""
    size = 1 if len(items) <= STILLS_ALONE else math.ceil(len(items) / MOST_TASKS)
    return (items[at : at + size] for at in range(0, len(items), size))


def name_of(paths: Sequence[str]) -> str:
    """Return the first still, and how many more there are."""
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0]
