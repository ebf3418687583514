"""A manifest from its URI: read, its stills probed, every row judged. Buys nothing."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import file_digest
from types import MappingProxyType
from typing import Any, BinaryIO, cast

import pyarrow as pa

from animatic import storage
from animatic.errors import LocationError
from animatic.machine.memory import give_back_freed_memory
from animatic.manifest import (
    ALL_ROWS,
    Manifest,
    Problem,
    RawManifest,
    Selection,
    StillFolder,
    Unsound,
    check,
    find_links,
    local_paths,
    local_stills,
    models_in,
    read_table,
)
from animatic.manifest.file_form import Reply, is_page, name_of_file, not_a_table, says_form, suffix_by
from animatic.manifest.source import MAX_FILE_BYTES
from animatic.media.local_stills import LocalStills
from animatic.media.still_copies import StillCopies
from animatic.results.columns import RESULTS_SCHEMA
from animatic.storage.spool import Spool
from animatic.takes.chains import Chains
from animatic.takes.models import BUILT_IN, Catalogue
from animatic.takes.stills import FoundStill, Shape
from animatic.web.network import DIRECT, Network

_START_BYTES = 4_096

FindModels = Callable[[Sequence[str]], Catalogue]
Probe = Callable[[Sequence[str]], Mapping[str, FoundStill]]

# Arrow's own allocator keeps what it has once used, some 30 MB more of a run that reads its rows batch by batch.
pa.set_memory_pool(pa.system_memory_pool())
give_back_freed_memory()


def sheet_of(uri: str) -> tuple[str, str | None]:
    """Return the URI of a file and the sheet that is meant in it: `book.xlsx#Night shots`."""
    place, mark, sheet = uri.partition("#")
    return (place, sheet) if mark and sheet and place.lower().endswith(".xlsx") else (uri, None)


def anchor_of(uri: str, stills_folder: str | None) -> str:
    """Return the anchor of the stills of a manifest, as `LocalStills` has it; without a folder its own is meant."""
    return sheet_of(uri)[0] if stills_folder is None else storage.anchor_in(stills_folder)


def storyboard_of(name: str) -> str:
    """Return the storyboard of rows that name none: the file's name without its suffixes."""
    packed = name[:-3] if name.lower().endswith(".gz") else name
    return packed.rpartition(".")[0] or packed


def read_manifest(
    uri: str,
    network: Network = DIRECT,
    mapping: Mapping[str, str] | None = None,
    copies: StillCopies | None = None,
) -> RawManifest:
    """Read the manifest behind a URI into table form. `mapping` says by our name which column is read as it.

    Stills that lie in it go to `copies`.

    Raises:
        LocationError: it cannot be read.
        ManifestError: it cannot be read as what its suffix says.
    """
    place, sheet = sheet_of(uri)
    with storage.open_found(place, max_bytes=MAX_FILE_BYTES, network=network) as found:
        reply = Reply(found.headers.get("Content-Type", ""), found.headers.get("Content-Disposition", ""))
        name = storage.name_of(place)
        is_told = storage.real_path(place) is not None or ("." in name and not found.host)  # by its suffix alone
        start = _start_of(found.file)
        if found.host and is_page(start, reply):
            raise not_a_table(name or found.host, "a web page (HTML)", "use the link that downloads the file itself")
        named = name if is_told else name_of_file(name or found.host, reply, start)
        with storage.unpacked(named, found.file, MAX_FILE_BYTES) as (name, file):
            suffix = "" if is_told or says_form(name) else suffix_by(name, _start_of(file), reply.media_type)
            raw = read_table(f"{name}{suffix}", file, Spool(), mapping, sheet, None if copies is None else copies.embed)
            if file is found.file:
                return raw
        found.file.seek(0)  # it was unpacked: the manifest is known by the bytes of the file itself
        digest = file_digest(cast("Any", found.file), "sha256").hexdigest()
        return replace(raw, name=named, sha256=digest)


def _start_of(file: BinaryIO) -> bytes:
    file.seek(0)
    start = file.read(_START_BYTES)
    file.seek(0)
    return start


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest's file, how it is read, and by what it is judged.

    Attributes:
        uri: the file's.
        provider, written_provider, selection: as in `manifest.check`.
        mapping: as in `read_manifest`.
        find_models: returns the models that rows may name, given the ids that are in the file.
        stills_folder: URI of the folder that relative paths of stills start from; None for the manifest's own.
        copies: of stills that were read from an object store, or lie in the file itself.
    """

    uri: str
    provider: str
    written_provider: str | None = None
    network: Network = DIRECT
    mapping: Mapping[str, str] | None = None
    selection: Selection = ALL_ROWS
    find_models: FindModels = lambda _: BUILT_IN
    stills_folder: str | None = None
    copies: StillCopies = field(default_factory=StillCopies)

    @property
    def stills(self) -> LocalStills:
        """The local stills that it may name."""
        return LocalStills(self._anchor, self.network, self.copies)

    @property
    def folder(self) -> StillFolder:
        """The folder that paths of stills start from."""
        uri = storage.absolute_uri(self._anchor).rpartition("/")[0]
        return StillFolder(uri, is_named=self.stills_folder is not None)

    @property
    def _anchor(self) -> str:
        return anchor_of(self.uri, self.stills_folder)

    def load(
        self,
        probe: Probe | None = None,
        unsound: Unsound = MappingProxyType({}),
        seen: Mapping[str, Shape] = MappingProxyType({}),
        unlinked: Mapping[int, Problem] = MappingProxyType({}),
    ) -> Manifest:
        """Read it, probe its local stills and judge every row; faults are in what comes back.

        `probe` may probe elsewhere, such as in task runs; the others are as in `manifest.check`.

        Raises:
            LocationError: it cannot be read.
            ManifestError: it cannot be read as what its suffix says.
        """
        raw = read_manifest(self.uri, self.network, self.mapping, self.copies)
        named = models_in(raw)
        catalogue = self.find_models(named)
        others = {name: catalogue[name] for name in named if name in catalogue and name not in BUILT_IN}
        paths = dict.fromkeys([*local_stills(raw, self.folder), *local_paths(raw.rows, others, self.folder)])
        judged = functools.partial(
            check,
            raw,
            stills=(probe or self.stills.probe_all)(list(paths)),
            storyboard_default=storyboard_of(raw.name),
            provider=self.provider,
            left_out=frozenset(RESULTS_SCHEMA.names),
            folder=self.folder,
            written_provider=self.written_provider,
            selection=self.selection,
            unsound=unsound,
            seen=seen,
            catalogue=catalogue,
        )
        manifest = judged(rows=Spool(), unlinked=unlinked)
        if not manifest.has_chains:
            return manifest
        links, problems = find_links(manifest)
        if problems:  # a fault in a chain is one of its row
            manifest = judged(rows=Spool(), unlinked={**unlinked, **problems})
            links, _ = find_links(manifest)
        return replace(manifest, chains=Chains(links))

    def is_unchanged(self, known: Manifest, probe: Probe) -> bool:
        """Tell if a manifest that was checked before is what is there now: the same bytes, and the same local stills.

        Raises:
            LocationError: it cannot be read any more.
        """
        now = storage.sha256_of(sheet_of(self.uri)[0], max_bytes=MAX_FILE_BYTES, network=self.network)
        return now == known.sha256 and probe(list(known.stills)) == known.stills

    def reload(
        self,
        known: Manifest,
        unsound: Unsound,
        seen: Mapping[str, Shape] = MappingProxyType({}),
        unlinked: Mapping[int, Problem] = MappingProxyType({}),
    ) -> Manifest:
        """Check it again, with rows whose stills cannot be used or had; the others are as they were.

        Raises:
            LocationError: it cannot be read any more, or has changed.
        """
        again = self.load(lambda _: known.stills, unsound, seen, unlinked)
        if again.sha256 != known.sha256:
            raise LocationError(f"{known.name}: it changed while the run was planned; run again")
        return again
