"""Object stores: the package of each, and how it is opened and written to.

A store is asked anew each time, never a client's memory of an earlier listing. Every request has a time limit and a
bounded number of tries, which the clients keep; a file is there as a whole once its last request is answered.
"""

import errno
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4

_REQUEST_WITHIN_S = 300.0
"""Longest time of one request to GCS, for a part of 8 MiB; its client has none of its own."""

_TRIES_OF_S3 = {"retries": {"mode": "standard", "total_max_attempts": 5}}
"""Tries of one request. In the mode `standard`, botocore waits 20 s at most between two of them."""


@dataclass(frozen=True, slots=True)
class Store:
    """An object store.

    Attributes:
        package: that speaks with it.
        extra: of animatic, which brings the package.
        upload: options that bound what an upload holds in memory.
        options: of the file system, where the operator's fsspec configuration has no such ones.
        root: word for what an object's path begins with.
        logger: of its client.
    """

    package: str
    extra: str
    upload: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    root: str = "bucket"
    logger: str = ""


S3 = Store("s3fs", "s3", {"chunksize": _PART_BYTES, "max_concurrency": _PARTS_AT_ONCE}, {"config_kwargs": _TRIES_OF_S3})
GCS = Store("gcsfs", "gcs", {"chunksize": _PART_BYTES}, {"requests_timeout": _REQUEST_WITHIN_S}, logger="gcsfs")
AZURE = Store("adlfs", "azure", {"max_concurrency": _PARTS_AT_ONCE}, root="container", logger="azure")

STORES: Mapping[str, Store] = {"s3": S3, "gs": GCS, "gcs": GCS, "az": AZURE, "abfs": AZURE, "abfss": AZURE}
"""Stores by scheme. They show an object once all of it is there.

Their `put_file` sends one request, or parts that it completes or gives up: test_stores.py tries that. Their
`open(path, "wb")` does not: leaving its `with` completes the file, after an error too.
"""


class NoBucketError(FileNotFoundError):
    """There is no bucket or container of this name."""


def is_refusal(error: Exception) -> bool:
    """Tell if a store refuses, whatever is tried again."""
    is_of_gcs = isinstance(error, OSError) and str(error).startswith("Forbidden")  # all that gcsfs says
    return is_of_gcs or isinstance(error, PermissionError) or _status(error) in {401, 403}


def is_passing(error: Exception) -> bool:
    """Tell if an error is one that may pass: a server's own, throttling, or a connection that failed."""
    status = _status(error)
    if status is not None:
        return status == 429 or status >= 500
    is_busy = isinstance(error, OSError) and error.errno in _OF_S3
    return is_busy or isinstance(error, ConnectionError) or type(error).__name__ in _OF_CONNECTIONS


_OF_S3 = frozenset({errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO)})
"""Numbers that s3fs gives to 5xx, `SlowDown` and what it does not know."""

_OF_CONNECTIONS = frozenset({
    "ClientConnectorError", "ClientOSError", "ConnectTimeoutError", "ConnectionClosedError", "EndpointConnectionError",
    "IncompleteReadError", "ReadTimeoutError", "ServerDisconnectedError", "ServiceRequestError", "ServiceResponseError",
    "HTTPClientError", "ResponseParserError",
})  # fmt: skip
"""Names of clients' exceptions for connections that fail."""


def _status(error: Exception) -> int | None:
    """Return the HTTP status that an exception of a client carries, as each of them calls it."""
    found = (str(getattr(error, name, "")) for name in ("code", "status", "status_code"))
    return next((int(value) for value in found if value.isdecimal()), None)


def options_of(scheme: str) -> dict[str, Any]:
    """Return the options that a store's file system is opened with; none for other schemes."""
    store = STORES.get(scheme)
    if store is None:
        return {}
    # They log what they raise as well, GCS with a traceback.
    logging.getLogger(store.logger).setLevel(logging.CRITICAL)
    if store is GCS:
        # Else gcsfs asks a gRPC service for the type of each bucket: no emulator answers it, nor is it needed.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from fsspec.config import conf  # noqa: PLC0415 - files on disk need none of it

    names = [name for name, each in STORES.items() if each is store]
    configured = {option for name in names for option in conf.get(name, {})}
    return {"use_listings_cache": False} | {
        name: value for name, value in store.options.items() if name not in configured
    }
