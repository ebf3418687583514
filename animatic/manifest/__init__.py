"""The manifest: a file -> shots, or every fault in them. Pure; opens and fetches nothing.

Rows go from step to step in batches, which lie where the caller says (`Rows`), in memory if nowhere else.

raw = read_table("shots.csv", data)
manifest = check(raw, stills={path: probe(...) for path in local_stills(raw)}, ...)
manifest.require_valid()
"""

from animatic.manifest.checked import CHECKED, Manifest, Part
from animatic.manifest.checking import check
from animatic.manifest.faults import Problem
from animatic.manifest.links import find_links
from animatic.manifest.model_rows import local_paths
from animatic.manifest.rows import Rows
from animatic.manifest.selection import ALL_ROWS, NOT_CHOSEN, Selection, read_mapping, read_only
from animatic.manifest.source import RawManifest, local_stills, models_in, read_table
from animatic.manifest.still_cells import Unsound
from animatic.manifest.still_folder import StillFolder

__all__ = [
    "ALL_ROWS",
    "CHECKED",
    "NOT_CHOSEN",
    "Manifest",
    "Part",
    "Problem",
    "RawManifest",
    "Rows",
    "Selection",
    "StillFolder",
    "Unsound",
    "check",
    "find_links",
    "local_paths",
    "local_stills",
    "models_in",
    "read_mapping",
    "read_only",
    "read_table",
]
