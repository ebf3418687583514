"""InboxOrder: the request to the inbox flow, checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from animatic import storage
from animatic.errors import LocationError, SettingsError
from animatic.errors.text import quoted
from animatic.planning.inbox import RunFiles
from animatic.results import formats
from flows.settings import Settings

MOST_AT_ONCE = 16
MOST_QUIET_S = 3_600.0

_OURS = frozenset({"manifest", "results", "review", "credentials"})
"""Parameters of a run that the inbox itself fills in, from those of its own."""


@dataclass(frozen=True, slots=True)
class InboxOrder:
    """Request to the inbox flow, checked.

    Attributes:
        prefix, results_prefix: URIs of folders; without the latter, results go beside their manifests.
        pattern: of paths below the prefix.
        suffix: of results tables.
        has_pages: each manifest gets a review page.
        at_once: how many manifests are worked on at once in this process.
        quiet_s: how long a file must have looked the same to count as whole, in seconds.
        deployment: of the flow `inbox-manifest`, to which manifests are handed over; None to work on them here.
        run: further parameters of each run, as `animate` has them.
    """

    prefix: str
    results_prefix: str | None
    pattern: str
    suffix: str
    has_pages: bool
    at_once: int
    quiet_s: float
    deployment: str | None
    run: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        _require("at_once", self.at_once, 1, MOST_AT_ONCE)
        _require("quiet_s", self.quiet_s, 0, MOST_QUIET_S)
        if self.suffix not in formats.SUFFIXES:
            raise SettingsError(f"suffix: found {quoted(self.suffix)}; allowed: {', '.join(formats.SUFFIXES)}")
        if not self.pattern.strip():
            raise SettingsError("pattern: found nothing; allowed: such as *.csv, or */*.csv for folders in the folder")
        if self.deployment is not None and "/" not in self.deployment:
            raise SettingsError(
                f"deployment: found {quoted(self.deployment)}; allowed: FLOW/NAME, such as inbox-manifest/fleet"
            )
        if storage.real_path(storage.anchor_in(self.prefix)) is not None and storage.kind_of(self.prefix) != "a folder":
            raise LocationError(f"prefix: found no folder at {quoted(self.prefix)}; make it, or correct the path")

    def require_run(self, known: Mapping[str, Any], settings: Settings) -> None:
        """Refuse parameters of runs that `animate` does not have, and runs without a limit. Raises SettingsError."""
        if unknown := sorted(self.run.keys() - known.keys() | self.run.keys() & _OURS):
            raise SettingsError(
                f"options: found {', '.join(unknown)}; allowed: {', '.join(sorted(known.keys() - _OURS))}"
            )
        if settings.is_real and all(self.run.get(name) is None for name in ("max_usd", "spend_up_to")):
            raise SettingsError(
                "max_usd: not set; no one is asked, so give the most dollars that a run of one manifest may commit"
            )

    def files_of(self, path: str) -> RunFiles:
        """Return the files of a manifest by its path below the inbox."""
        folder = self.prefix if self.results_prefix is None else self.results_prefix
        return RunFiles.at(storage.uri_below(storage.absolute_uri(folder), path), self.suffix)

    def uri(self, path: str) -> str:
        """Return the absolute URI of a file by its path below the inbox. Raises LocationError for one without."""
        return storage.uri_below(storage.absolute_uri(self.prefix), path)


def _require(name: str, found: float, least: float, most: float) -> None:
    if math.isnan(found) or not least <= found <= most:
        raise SettingsError(f"{name}: found {found}; allowed: {least:,} to {most:,.0f}")
