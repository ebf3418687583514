"""A manifest from its URI: read, its stills probed, every row judged. Buys nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest
from types import MappingProxyType
from typing import Any, cast

import pyarrow as pa

from animatic import storage
from animatic.errors import LocationError
from animatic.manifest import (
    ALL_ROWS,
    Manifest,
    RawManifest,
    Selection,
    check,
    local_paths,
    local_stills,
    models_in,
    read_table,
)
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.media.local_stills import LocalStills
from animatic.models import BUILT_IN, Catalogue
from animatic.results.columns import RESULTS_SCHEMA
from animatic.storage.spool import Spool
from animatic.takes.stills import FoundStill
from animatic.web.network import DIRECT, Network

FindModels = Callable[[Sequence[str]], Catalogue]
Probe = Callable[[Sequence[str]], Mapping[str, FoundStill]]

# Arrow's own allocator keeps what it has once used, some 30 MB more of a run that reads its rows batch by batch.
pa.set_memory_pool(pa.system_memory_pool())


def sheet_of(uri: str) -> tuple[str, str | None]:
    """Return the URI of a file and the sheet that is meant in it: `book.xlsx#Night shots`."""
    place, mark, sheet = uri.partition("#")
    return (place, sheet) if mark and sheet and place.lower().endswith(".xlsx") else (uri, None)


def storyboard_of(uri: str) -> str:
    """Return the storyboard of rows that name none: the file's name without its suffixes."""
    place, _ = sheet_of(uri)
    stem = storage.stem_of(place)
    return stem.rpartition(".")[0] or stem if storage.name_of(place).lower().endswith(".gz") else stem


def read_manifest(uri: str, network: Network = DIRECT, mapping: Mapping[str, str] | None = None) -> RawManifest:
    """Read the manifest behind a URI into table form. `mapping` says by our name which column is read as it.

    Raises:
        LocationError: it cannot be read.
        ManifestError: it cannot be read as what its suffix says.
    """
    place, sheet = sheet_of(uri)
    with (
        storage.open_copy(place, max_bytes=MAX_FILE_BYTES, network=network) as copy,
        storage.unpacked(storage.name_of(place), copy, MAX_FILE_BYTES) as (name, file),
    ):
        raw = read_table(name, file, Spool(), mapping, sheet)
        if file is copy:
            return raw
        copy.seek(0)  # it was unpacked: the manifest is known by the bytes of the file itself
        digest = file_digest(cast("Any", copy), "sha256").hexdigest()
        return replace(raw, name=storage.name_of(place), sha256=digest)


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest's file, how it is read, and by what it is judged.

    Attributes:
        uri: the file's.
        provider, written_provider, selection: as in `manifest.check`.
        mapping: as in `read_manifest`.
        find_models: returns the models that rows may name, given the ids that are in the file.
    """

    uri: str
    provider: str
    written_provider: str | None = None
    network: Network = DIRECT
    mapping: Mapping[str, str] | None = None
    selection: Selection = ALL_ROWS
    find_models: FindModels = lambda _: BUILT_IN

    @property
    def stills(self) -> LocalStills:
        """The local stills that it may name."""
        return LocalStills(self.uri, self.network)

    def load(self, probe: Probe | None = None, unsound: Mapping[int, str] = MappingProxyType({})) -> Manifest:
        """Read it, probe its local stills and judge every row; faults are in what comes back.

        `probe` may probe elsewhere, such as in task runs; `unsound` is as in `manifest.check`.

        Raises:
            LocationError: it cannot be read.
            ManifestError: it cannot be read as what its suffix says.
        """
        raw = read_manifest(self.uri, self.network, self.mapping)
        named = models_in(raw)
        catalogue = self.find_models(named)
        others = {name: catalogue[name] for name in named if name in catalogue and name not in BUILT_IN}
        paths = dict.fromkeys([*local_stills(raw), *local_paths(raw.rows, others)])
        return check(
            raw,
            stills=(probe or self.stills.probe_all)(list(paths)),
            storyboard_default=storyboard_of(self.uri),
            provider=self.provider,
            rows=Spool(),
            left_out=frozenset(RESULTS_SCHEMA.names),
            folder=storage.absolute_uri(sheet_of(self.uri)[0]).rpartition("/")[0],
            written_provider=self.written_provider,
            selection=self.selection,
            unsound=unsound,
            catalogue=catalogue,
        )

    def reload(self, known: Manifest, unsound: Mapping[int, str]) -> Manifest:
        """Check it again, with stills in some of its rows that cannot be decoded; the others are as they were.

        Raises:
            LocationError: it cannot be read any more, or has changed.
        """
        again = self.load(lambda _: known.stills, unsound)
        if again.sha256 != known.sha256:
            raise LocationError(f"{known.name}: it changed while the run was planned; run again")
        return again


def load_manifest(  # noqa: PLR0913, PLR0917 - those of `ManifestFile`
    uri: str,
    provider: str,
    written_provider: str | None = None,
    network: Network = DIRECT,
    probe: Probe | None = None,
    mapping: Mapping[str, str] | None = None,
    selection: Selection = ALL_ROWS,
) -> Manifest:
    """Load a manifest as `ManifestFile` does."""
    return ManifestFile(uri, provider, written_provider, network, mapping, selection).load(probe)


def is_unchanged(manifest: Manifest, stills: LocalStills, probe: Probe) -> bool:
    """Tell if a manifest that was checked before is what is there now: the same bytes, and the same local stills.

    Raises:
        LocationError: it cannot be read any more.
    """
    now = storage.sha256_of(sheet_of(stills.manifest_uri)[0], max_bytes=MAX_FILE_BYTES, network=stills.network)
    return now == manifest.sha256 and probe(list(manifest.stills)) == manifest.stills
