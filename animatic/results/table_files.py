"""Files of results tables as people name them: one by one, by a pattern, or as a folder that holds them."""

import re
from collections.abc import Sequence

from animatic import storage
from animatic.errors import LocationError
from animatic.results import formats, reading
from animatic.results.reading import MAX_RESULTS_BYTES
from animatic.web.network import DIRECT, Network

MOST_TABLES = 1_000


def find_tables(results: Sequence[str], network: Network = DIRECT) -> tuple[str, ...]:
    """Return the results tables that are named, oldest first: as given, those of a pattern or folder by their names.

    In names, numbers count as numbers: `run-2` comes before `run-10`. Of a pattern or a folder, files that are no
    results tables are passed over.

    Raises:
        LocationError: a name has no suffix of a results table, nothing is found, or there are too many.
    """
    found: dict[str, None] = {}
    for uri in results:
        found.update(dict.fromkeys(_tables_at(uri, network)))
        if len(found) > MOST_TABLES:
            raise LocationError(f"{uri}: found more than {MOST_TABLES:,} results tables; allowed: up to that")
    if not found:
        raise LocationError("RESULTS: found none; allowed: at least one results table")
    return tuple(found)


def _tables_at(uri: str, network: Network) -> Sequence[str]:
    if storage.is_pattern(uri):
        matches = storage.files_matching(uri)
    elif uri.lower().endswith(formats.SUFFIXES) or storage.kind_of(uri) != "a folder":
        formats.check_suffix(storage.name_of(uri))
        return [uri]
    else:
        matches = storage.files_in(uri)
    candidates = sorted((each for each in matches if each.lower().endswith(formats.SUFFIXES)), key=_in_order)
    if len(candidates) > MOST_TABLES:
        raise LocationError(
            f"{uri}: found {len(candidates):,} files; allowed: up to {MOST_TABLES:,}; give a narrower pattern"
        )
    tables = [each for each in candidates if _is_table(each, network)]
    if not tables:
        raise LocationError(f"{uri}: found no results table there; allowed: tables that a run has written")
    return tables


def _is_table(uri: str, network: Network) -> bool:
    """Tell if a file is a results table. Raises LocationError for one that cannot be read."""
    with storage.open_copy(uri, max_bytes=MAX_RESULTS_BYTES, network=network) as file:
        return bool(file.read(1)) and reading.read_head(file, storage.name_of(uri)).is_ours


def _in_order(uri: str) -> list[tuple[str, int, str]]:
    """Return a key that sorts names with their numbers as numbers."""
    parts = re.split(r"([0-9]{1,18})", uri)
    return [(text, int(digits or 0), digits) for text, digits in zip(parts[::2], [*parts[1::2], ""], strict=True)]
