"""Interface for analysts: a results file as a pandas DataFrame, and its summary."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from animatic import storage
from animatic.errors import FixInputError, SettingsError
from animatic.errors.text import quoted
from animatic.results import reading
from animatic.results.columns import QUOTED, STATUSES
from animatic.results.merged import merge
from animatic.results.reading import MAX_RESULTS_BYTES
from animatic.results.schema import microusd_of
from animatic.results.stats import TableStats
from animatic.results.table_files import find_tables
from animatic.takes.money.amounts import usd
from animatic.web.certificates import certificate_faults
from animatic.web.network import DIRECT, Network, read_network

_AMOUNT = re.compile(r"[0-9.]+")
_NEEDED = (
    *("row", "storyboard", "model", "take", "status"),
    *("nsfw", "inference_ms", "attempts", "quoted_usd", "fingerprint"),
)
_SUMMARY_SCHEMA: pa.Schema = pa.schema(
    [
        *((name, pa.string()) for name in ("storyboard", "model")),
        *((name, pa.int64()) for name in ("takes", *STATUSES, "nsfw", "not_judged")),
        *((name, pa.float64()) for name in ("nsfw_rate", "inference_p50_s", "inference_p95_s")),
        ("cost_usd", pa.decimal128(18, 6)),
    ]
)


def read_results(uri: str | Sequence[str]) -> pd.DataFrame:
    """Read the results table at a URI: one row per manifest row and take, every column on an Arrow type.

    Several URIs, a pattern (`runs/*.parquet`, also in a bucket) or a folder are read as one table, later ones winning:
    by the order given, of a pattern or folder by name (`run-2` before `run-10`). A row with the storyboard, `shot_id`
    and `fingerprint` of an earlier one takes its place, and new rows come behind. What a take cost is in its first row
    alone. `row` is of the manifest that each table was made from. `frame.attrs` holds the metadata that all share, and
    in `animatic.tables` the `uri` and the metadata of each.

    Lists stay lists, nulls stay nulls, moments are UTC with microseconds. The columns of the manifest that are
    carried along keep their types in Parquet and in workbooks (there, lists are JSON text), are text in CSV, and JSON's
    types in JSON Lines (text where none fits). From Parquet and workbooks, `frame.attrs` holds the metadata:
    `animatic.run_id`, `animatic.manifest_sha256`, ...

    A CSV or workbook that a spreadsheet saved again is read too: a byte order mark, semicolons, WAHR for true, 2,5 for
    2.5. A
    column that can be read in several ways, such as dates in a local form, is left as text, with a warning.

    Raises:
        LocationError: it cannot be read, is larger than 4 GiB, is not what its suffix says, or not a results table.
        SettingsError: it is on the web, and the environment names a proxy or certificates that cannot be used.
    """
    given = [uri] if isinstance(uri, str) else list(uri)
    uris = find_tables(given, next((_network_for(each) for each in given if _is_web(each)), DIRECT))
    tables: list[pa.Table] = []
    for each in uris:
        name = storage.name_of(each)
        data = storage.read_bytes(each, max_bytes=MAX_RESULTS_BYTES, network=_network_for(each))
        table, notes = reading.decode_with_notes(data, name)
        tables.append(table)
        for note in notes:
            warnings.warn(note, stacklevel=2)
    if len(tables) == 1:
        return table_frame(tables[0])
    frame = table_frame(merge(tables))
    frame.attrs["animatic.tables"] = [
        {"uri": each} | _metadata(table) for each, table in zip(uris, tables, strict=True)
    ]
    return frame


def _network_for(uri: str) -> Network:
    """Return the network settings for a page on the web, where no command has read the environment."""
    if not _is_web(uri):
        return DIRECT
    network, faults = read_network(os.environ)
    faults += certificate_faults(network)
    if faults:
        raise SettingsError("\n".join(faults))
    return network


def _is_web(uri: str) -> bool:
    return uri.lower().startswith(("http://", "https://"))


def table_frame(table: pa.Table) -> pd.DataFrame:
    """Return a results table in memory as `read_results` would, metadata included."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    frame.attrs = {**_metadata(table)}
    return frame


def _metadata(table: pa.Table) -> dict[str, str]:
    return {
        key.decode(): value.decode()
        for key, value in (table.schema.metadata or {}).items()
        if key.startswith(b"animatic.")
    }


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per storyboard and model, in manifest order, and a last row named `all`; of any part of the results.

    | column | meaning |
    | --- | --- |
    | `storyboard`, `model` | the group; null where an invalid row did not name it; `all`, `all` in the last row |
    | `takes` | rows that are takes: all but the invalid ones. A take that several rows share counts in each |
    | `completed` ... `invalid` | rows with this status |
    | `nsfw`, `not_judged` | completed rows that are flagged; completed rows that WaveSpeed did not judge |
    | `nsfw_rate` | the share (0 to 1) of flagged rows of those where that is known, else null |
    | `inference_p50_s`, `inference_p95_s` | seconds that the API spent on completed takes; null where there are none |
    | `cost_usd` | decimal US dollars: the sum of `quoted_usd`, all paid submissions of all runs. A take that several \
rows share counts once, where it first appears, so that the groups add up to `all`. Null where something was bought \
and no price is known |

    Raises:
        FixInputError: columns that it needs are missing.
    """
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise FixInputError(f"not a frame of results: columns that are missing: {', '.join(missing)}; see read_results")
    stats = _stats(frame)
    storyboard, storyboards = pd.factorize(stats.pop("storyboard"), use_na_sentinel=False)
    model, models = pd.factorize(stats.pop("model"), use_na_sentinel=False)
    columns = {str(name): stats[name].to_numpy() for name in stats.columns}
    return _summary(columns, storyboard, list(storyboards), model, list(models))


def summary_of(stats: TableStats) -> pd.DataFrame:
    """Summarise like `summarise`, from statistics that were collected while the table was written."""
    status, nsfw = stats.column("status"), stats.column("nsfw")
    is_completed = status == STATUSES.index("completed")
    columns = {
        "takes": stats.column("is_take"),
        **{name: status == code for code, name in enumerate(STATUSES)},
        "nsfw": nsfw == 1,
        "not_judged": is_completed & (nsfw < 0),
        "nsfw_known": nsfw >= 0,
        "bought": stats.column("attempts") > 0,
    }
    columns["cost_microusd"] = np.maximum(stats.column("quoted_microusd"), 0)
    columns["priced"] = columns["cost_microusd"] > 0
    inference_ms = stats.column("inference_ms")
    columns["inference_s"] = np.where(is_completed & (inference_ms >= 0), inference_ms / 1_000, np.nan)
    names = stats.names
    return _summary(
        columns,
        stats.column("storyboard"),
        list(names["storyboard"]),
        stats.column("model"),
        list(names["model"]),
    )


def _summary(
    columns: Mapping[str, NDArray[Any]],
    storyboard: NDArray[Any],
    storyboards: list[Any],
    model: NDArray[Any],
    models: list[Any],
) -> pd.DataFrame:
    """Return the summary of storyboards and models that are given by their index, one row each."""
    # Sorts by storyboard, then model, each as it first appears.
    group = storyboard * np.int64(max(len(models), 1))
    group += model
    present, at = _numbered(group, len(storyboards) * max(len(models), 1))
    groups = _measures(columns, at, len(present))
    groups["storyboard"] = [storyboards[number // len(models)] for number in present.tolist()]
    groups["model"] = [models[number % len(models)] for number in present.tolist()]
    total = _measures(columns, np.zeros(len(group), np.int8), 1).assign(storyboard="all", model="all")
    summary = total if groups.empty else pd.concat([groups, total])
    table = pa.Table.from_pandas(summary, schema=_SUMMARY_SCHEMA, preserve_index=False)
    return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)


def _numbered(group: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different numbers, in order, and for each of `group` its index there; all are below `most`."""
    if most > len(group):
        return np.unique(group, return_inverse=True)
    is_there = np.bincount(group, minlength=most) > 0  # sorting a million would take four more copies of them
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[group]


def _stats(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per row of `frame`, in manifest order: what `_measures` adds up, as plain numbers."""
    is_of_several_tables = "animatic.tables" in frame.attrs  # each of which counts its rows from 1
    ordered = frame.sort_values(["row", "take"], ignore_index=True) if not is_of_several_tables else frame
    status = ordered["status"].to_numpy(dtype=object)
    nsfw = ordered["nsfw"].to_numpy(dtype=object, na_value=None)
    inference_s = ordered["inference_ms"].to_numpy(dtype=float, na_value=np.nan) / 1_000
    stats = pd.DataFrame(
        {name: ordered[name].to_numpy(dtype=object, na_value=None) for name in ("storyboard", "model")}
    )
    stats["takes"] = ordered["take"].notna().to_numpy(dtype=bool)
    for name in STATUSES:
        stats[name] = status == name
    stats["nsfw"] = nsfw == True  # noqa: E712  elementwise, over an array that may hold None
    stats["nsfw_known"] = ordered["nsfw"].notna().to_numpy(dtype=bool)
    stats["not_judged"] = (status == "completed") & ~stats["nsfw_known"]
    stats["inference_s"] = np.where(status == "completed", inference_s, np.nan)
    quoted = microusd_of(pa.chunked_array([pa.array(_decimals(ordered["quoted_usd"]), QUOTED)]))
    stats["cost_microusd"] = np.maximum(quoted, 0)
    stats["priced"] = quoted > 0
    is_shown_before = ordered["fingerprint"].duplicated().to_numpy(dtype=bool)
    stats["bought"] = (ordered["attempts"].to_numpy(dtype=float, na_value=0.0) > 0) & ~is_shown_before
    return stats


def _decimals(column: Any) -> list[Decimal | None]:
    """Prices as decimals, whatever the frame has made of them."""
    values: list[Any] = column.to_numpy(dtype=object, na_value=None).tolist()
    try:
        return [None if value is None or pd.isna(value) else Decimal(str(value)) for value in values]
    except InvalidOperation:
        found = next(value for value in values if isinstance(value, str) and not _AMOUNT.fullmatch(value))
        raise FixInputError(
            f"quoted_usd: found {quoted(found)}; allowed: amounts such as 2.50. A spreadsheet has changed them: read "
            "the table as animatic wrote it, or convert the column"
        ) from None


def _measures(stats: Mapping[str, NDArray[Any]], at: NDArray[Any], groups: int) -> pd.DataFrame:
    """Return the columns of a summary without its names, one row per group; `at` is the group of each row."""

    def count(name: str) -> NDArray[np.int64]:
        return np.bincount(at[stats[name].astype(bool, copy=False)], minlength=groups)

    columns: dict[str, Any] = {name: count(name) for name in ("takes", *STATUSES, "nsfw", "not_judged")}
    known = count("nsfw_known")
    median_s, slow_s = _quantiles(stats["inference_s"], at, groups, (0.5, 0.95))
    cost = np.zeros(groups, np.int64)
    np.add.at(cost, at, stats["cost_microusd"].astype(np.int64, copy=False))
    is_known = (count("bought") == 0) | (count("priced") > 0)
    return pd.DataFrame(columns, index=range(groups)).assign(
        nsfw_rate=columns["nsfw"] / np.where(known > 0, known, np.nan),
        inference_p50_s=median_s,
        inference_p95_s=slow_s,
        cost_usd=[usd(int(each)) if known else None for each, known in zip(cost, is_known, strict=True)],
    )


def _quantiles(
    values: NDArray[np.float64], at: NDArray[Any], groups: int, shares: Sequence[float]
) -> list[NDArray[np.float64]]:
    """Return for each share that quantile of the values of each group, NaN for a group of none; values may be NaN."""
    is_known = ~np.isnan(values)
    values = np.append(values[is_known], np.nan)  # the last for groups of none
    counts = np.bincount(at[is_known], minlength=groups)
    if groups == 1:
        values[:-1].sort()
    else:
        values[:-1] = values[np.lexsort((values[:-1], at[is_known]))]
    first, last = np.cumsum(counts) - counts, np.cumsum(counts) - 1
    found: list[NDArray[np.float64]] = []
    for share in shares:
        position = share * np.maximum(counts - 1, 0)
        low = first + position.astype(np.int64)
        high = np.where(counts > 0, np.minimum(low + 1, last), low)
        between = values[low] + (values[high] - values[low]) * (position % 1)
        found.append(np.where(counts > 0, between, np.nan))
    return found
