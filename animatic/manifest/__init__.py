"""The manifest: bytes of a CSV or Parquet file -> shots, or every fault in them. Pure; opens and fetches nothing.

raw = read_table("shots.csv", data)
manifest = check(raw, stills={path: probe(...) for path in local_stills(raw)}, ...)
manifest.require_valid()
"""

from animatic.manifest.checked import Manifest, check
from animatic.manifest.faults import Fault, report
from animatic.manifest.images import Still, relative_path
from animatic.manifest.source import RawManifest, local_stills, read_table

__all__ = [
    "Fault",
    "Manifest",
    "RawManifest",
    "Still",
    "check",
    "local_stills",
    "read_table",
    "relative_path",
    "report",
]
