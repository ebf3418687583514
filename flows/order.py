"""Order: the request to the flow, checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from animatic import storage
from animatic.errors import SettingsError
from animatic.manifest import Selection, read_mapping, read_only
from animatic.media.clip_names import DEFAULT_CLIP_NAME, ClipName
from animatic.money.amounts import limit_microusd
from animatic.planning.manifests import FindModels, ManifestFile
from animatic.results import formats
from animatic.settings import Settings
from animatic.takes.states import BuyingPolicy


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Options on how a manifest is read and which of its rows count, as typed.

    Attributes:
        only, map: as `COLUMN=VALUE` and `NAME=COLUMN`.
        models: a folder with the schemas of models; None is WaveSpeed's list.
    """

    only: Sequence[str] = ()
    limit: int | None = None
    map: Sequence[str] = ()
    models: str | None = None

    @property
    def typed(self) -> list[str]:
        """The options as they were typed."""
        return [
            *(each for value in self.only for each in ("--only", value)),
            *(["--limit", str(self.limit)] if self.limit is not None else []),
            *(each for value in self.map for each in ("--map", value)),
            *(["--models", self.models] if self.models is not None else []),
        ]

    @property
    def selection(self) -> Selection:
        """Rows that the run is about. Raises SettingsError."""
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"--limit: found {self.limit}; allowed: 1 or more")
        return Selection(read_only(self.only), self.limit)

    @property
    def mapping(self) -> Mapping[str, str]:
        """Columns of the manifest that are read as ours, by our name. Raises SettingsError."""
        return read_mapping(self.map)


def file_of(manifest: str, settings: Settings, rows: RowOptions, find_models: FindModels) -> ManifestFile:
    """Return a manifest's file, and how it is read. Raises SettingsError."""
    return ManifestFile(
        manifest,
        settings.origin,
        settings.written_origin,
        settings.network,
        rows.mapping,
        rows.selection,
        find_models,
    )


@dataclass(frozen=True, slots=True)
class Order:
    """Request to the flow, checked.

    Attributes:
        archive: URI of the folder that clips go to; None for the usual one, empty for none.
    """

    manifest: str
    results: str
    max_usd: float | None
    skip_invalid: bool
    policy: BuyingPolicy
    archive: str | None = None
    clip_name_template: str = DEFAULT_CLIP_NAME
    rows: RowOptions = RowOptions()

    def __post_init__(self) -> None:
        ClipName(self.clip_name_template)
        _ = self.rows.selection, self.rows.mapping
        formats.check_suffix(storage.name_of(self.results))
        if self.max_usd is not None and not 0 <= self.max_usd < math.inf:
            raise SettingsError(f"--max-usd: found {self.max_usd}; allowed: 0 or more")
        if not 1 <= self.policy.attempts <= 10:
            raise SettingsError(f"--attempts: found {self.policy.attempts}; allowed: 1 to 10")

    @property
    def uri(self) -> str:
        """The manifest's absolute URI, which the ledger knows it by."""
        return storage.absolute_uri(self.manifest)

    @property
    def archive_uri(self) -> str:
        """URI of the folder that clips go to: what was given, else `STEM.clips` beside the results; empty for none."""
        if self.archive is not None:
            return self.archive
        return storage.beside(self.results, f"{storage.stem_of(self.results)}.clips")

    @property
    def clip_name(self) -> ClipName:
        """Template of clip names."""
        return ClipName(self.clip_name_template)

    def max_microusd(self, agreed_microusd: int | None) -> int | None:
        """Return the most that the run may reserve: what was given, else what was agreed to."""
        return agreed_microusd if self.max_usd is None else limit_microusd(self.max_usd)
