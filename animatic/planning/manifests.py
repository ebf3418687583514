"""A manifest from its URI: read, its stills probed, every row judged. Buys nothing."""

from collections.abc import Mapping

import pyarrow as pa

from animatic import storage
from animatic.manifest import Manifest, RawManifest, check, local_stills, read_table
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.media.local_stills import probe_still
from animatic.media.stills import Still
from animatic.results.schema import RESULTS_SCHEMA
from animatic.storage.spool import Spool
from animatic.web.network import DIRECT, Network

# Arrow's own allocator keeps what it has once used, some 30 MB more of a run that reads its rows batch by batch.
pa.set_memory_pool(pa.system_memory_pool())


def read_manifest(uri: str, network: Network = DIRECT) -> RawManifest:
    """Read the manifest behind a URI into table form.

    Raises:
        LocationError: it cannot be read.
        ManifestError: it cannot be read as what its suffix says.
    """
    with storage.open_copy(uri, max_bytes=MAX_FILE_BYTES, network=network) as copy:
        return read_table(storage.name_of(uri), copy, Spool())


def manifest_sha256(uri: str, network: Network = DIRECT) -> str:
    """Return the SHA-256 of the manifest's bytes as they are now. Raises LocationError: it cannot be read."""
    return storage.sha256_of(uri, max_bytes=MAX_FILE_BYTES, network=network)


def check_manifest(
    uri: str, raw: RawManifest, stills: Mapping[str, Still | str], provider: str, written_provider: str | None = None
) -> Manifest:
    """Judge every row; faults are in what comes back. `written_provider` is as in `manifest.check`."""
    return check(
        raw,
        stills=stills,
        storyboard_default=storage.stem_of(uri),
        provider=provider,
        rows=Spool(),
        left_out=frozenset(RESULTS_SCHEMA.names),
        folder=storage.absolute_uri(uri).rpartition("/")[0],
        written_provider=written_provider,
    )


def load_manifest(uri: str, provider: str, written_provider: str | None = None, network: Network = DIRECT) -> Manifest:
    """Read, probe and check in one go, where no task runs are needed."""
    raw = read_manifest(uri, network)
    stills = {path: probe_still(uri, path, network) for path in local_stills(raw)}
    return check_manifest(uri, raw, stills, provider, written_provider)
