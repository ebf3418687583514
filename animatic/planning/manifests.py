"""A manifest from its URI: read, its stills probed, every row judged. Buys nothing."""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from animatic import storage
from animatic.manifest import Manifest, RawManifest, check, local_stills, read_table
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.media.local_stills import LocalStills
from animatic.results.columns import RESULTS_SCHEMA
from animatic.storage.spool import Spool
from animatic.takes.stills import Still
from animatic.web.network import DIRECT, Network

Probe = Callable[[Sequence[str]], Mapping[str, Still | str]]

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


def load_manifest(
    uri: str,
    provider: str,
    written_provider: str | None = None,
    network: Network = DIRECT,
    probe: Probe | None = None,
) -> Manifest:
    """Read a manifest, probe its local stills and judge every row; faults are in what comes back.

    `written_provider` is as in `manifest.check`. `probe` may probe elsewhere, such as in task runs.

    Raises:
        LocationError: it cannot be read.
        ManifestError: it cannot be read as what its suffix says.
    """
    raw = read_manifest(uri, network)
    stills = (probe or LocalStills(uri, network).probe_all)(local_stills(raw))
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


def is_unchanged(manifest: Manifest, stills: LocalStills, probe: Probe) -> bool:
    """Tell if a manifest that was checked before is what is there now: the same bytes, and the same local stills.

    Raises:
        LocationError: it cannot be read any more.
    """
    now = storage.sha256_of(stills.manifest_uri, max_bytes=MAX_FILE_BYTES, network=stills.network)
    return now == manifest.sha256 and probe(list(manifest.stills)) == manifest.stills
