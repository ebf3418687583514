import subprocess
import sys
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from asked import shot_of, stats_of, takes_of
from tables import TakeOutcome, build_table, outcome_of

import animatic
from animatic.errors import FixInputError, LocationError
from animatic.results.analysis import read_results, summarise, summary_of, table_frame
from animatic.results.columns import RESULTS_SCHEMA, STATUSES
from animatic.results.formats import SUFFIXES, encode
from animatic.results.schema import Provenance
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.shots import Shot

PROVIDER = "https://api.wavespeed.ai"
COUNTS = ["takes", *STATUSES, "nsfw", "not_judged"]
NOON = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


def shot(row: int, storyboard: str, prompt: str = "", model: str = DEFAULT_MODEL, takes: int = 1) -> Shot:
    return shot_of(row, storyboard=storyboard, prompt=prompt or f"-{row}", model=model, takes=takes)


def outcome(
    status: str, *, flags: tuple[bool | None, ...] | None = (False,), seconds: int | None = None
) -> TakeOutcome:
    more = {"completed_at": NOON} if status in {"completed", "failed"} else {}
    more |= {"has_nsfw_contents": flags} if status == "completed" else {}
    return outcome_of(status, inference_ms=None if seconds is None else seconds * 1_000, **more)


def results(unpriced: Collection[tuple[int, int]] = ()) -> pa.Table:
    """Every status; storyboard z comes first, row 4 shares its take with row 1, row 8 is invalid.

    The prices of the submissions of the takes in `unpriced` (row, number) are not known.
    """
    shots = [
        shot(1, "z", prompt="shared"),
        shot(2, "a", takes=2),
        shot(3, "z", model="other/model"),
        shot(4, "a", prompt="shared"),
        shot(5, "a"),
        shot(6, "a"),
        shot(7, "a"),
    ]
    found = {
        (1, 1): outcome("completed", seconds=40, flags=(True,)),
        (2, 1): outcome("completed", seconds=20),
        (2, 2): outcome("completed", seconds=30, flags=()),
        (3, 1): outcome("failed", seconds=1),
        (5, 1): outcome("rejected"),
        (6, 1): outcome("unknown"),
        (7, 1): outcome("held"),
    }
    found |= {key: replace(found[key], quoted_microusd=None) for key in unpriced}
    outcomes = {
        take.fingerprint: found[asked.row, take.number]
        for asked in shots
        for take in takes_of(asked, PROVIDER)
        if (asked.row, take.number) in found
    }
    shots.append(shot(9, "a"))
    raw = pa.table({"storyboard": ["?"] * 9, "note": ["=x", "", None, "'", "ü", "1", "-1", "\n", "y"]})
    return build_table(shots, outcomes, {8: "prompt: found nothing"}, raw, Provenance("r", "ef" * 32))


def written(table: pa.Table, folder: Path, suffix: str = ".parquet") -> pd.DataFrame:
    path = folder / f"results{suffix}"
    path.write_bytes(encode(table, suffix))
    return read_results(str(path))


def test_every_column_is_on_its_arrow_type(tmp_path: Path) -> None:
    frame = written(results(), tmp_path)
    assert {name: frame[name].dtype for name in RESULTS_SCHEMA.names} == {
        field.name: pd.ArrowDtype(field.type) for field in RESULTS_SCHEMA
    }
    assert list(frame.columns) == [*RESULTS_SCHEMA.names, "note"]
    assert frame["outputs"].iloc[0] == ["https://cdn.example/1.mp4"]
    assert frame["inference_ms"].isna().tolist() == [False, False, False, False, False, True, True, True, True, True]
    assert frame["nsfw"].isna().sum() == 7


def test_all_formats_give_the_same_frame(tmp_path: Path) -> None:
    parquet, *others = (written(results(), tmp_path, suffix) for suffix in SUFFIXES)
    assert len(others) == 3
    for other in others:
        pd.testing.assert_frame_equal(parquet, other)


def test_a_table_in_memory_gives_the_frame_that_its_file_gives(tmp_path: Path) -> None:
    frame, read = table_frame(results()), written(results(), tmp_path)
    pd.testing.assert_frame_equal(frame, read)
    assert frame.attrs == read.attrs != {}


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx"])
def test_a_form_with_a_place_for_metadata_brings_it_as_attrs(tmp_path: Path, suffix: str) -> None:
    attrs = written(results(), tmp_path, suffix).attrs
    assert attrs == {
        "animatic.schema_version": "7",
        "animatic.run_id": "r",
        "animatic.manifest_sha256": "ef" * 32,
    }
    assert written(results(), tmp_path, ".csv").attrs == {}


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(
        LocationError, match=r"other\.csv: not a results table of animatic; columns that are missing: row"
    ):
        read_results(str(path))


def test_the_suffix_is_judged_before_anything_is_read() -> None:
    with pytest.raises(LocationError, match=r'found "r\.ods" as a results file; allowed suffixes'):
        read_results("https://127.0.0.1:9/r.ods?signature=secret")


def test_the_summary_counts_every_status_per_storyboard_and_model_in_manifest_order(tmp_path: Path) -> None:
    summary = summarise(written(results(), tmp_path))
    assert summary["storyboard"].tolist() == ["z", "z", "a", "?", "all"]
    assert summary["model"].fillna("null").tolist() == [DEFAULT_MODEL, "other/model", DEFAULT_MODEL, "null", "all"]
    assert summary[COUNTS].to_numpy().tolist() == [
        # takes, completed, failed, rejected, unknown, held, pending, invalid, nsfw, not judged
        [1, 1, 0, 0, 0, 0, 0, 0, 1, 0],
        [1, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        [7, 3, 0, 1, 1, 1, 1, 0, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        [9, 4, 1, 1, 1, 1, 1, 1, 2, 1],
    ]


def test_rates_and_times_are_of_what_is_known(tmp_path: Path) -> None:
    summary = summarise(written(results(), tmp_path))
    assert summary["nsfw_rate"].tolist()[0] == 1.0
    assert summary["nsfw_rate"].isna().tolist() == [False, True, False, True, False]
    assert summary["nsfw_rate"].iloc[2] == 0.5  # flagged, clean, and one whose flags are missing
    assert summary["inference_p50_s"].iloc[2] == 30.0
    assert summary["inference_p95_s"].iloc[2] == pytest.approx(39.0)
    assert summary["inference_p50_s"].isna().tolist() == [False, True, False, True, False]


def test_a_shared_take_costs_once_so_that_groups_add_up(tmp_path: Path) -> None:
    summary = summarise(written(results(), tmp_path))
    cost = summary["cost_usd"].tolist()
    assert summary["cost_usd"].dtype == pd.ArrowDtype(pa.decimal128(18, 6))
    assert cost == [Decimal("2.5"), Decimal("2.5"), Decimal(10), Decimal(0), Decimal(15)]
    assert sum(cost[:-1]) == cost[-1]


def test_sums_of_many_small_prices_are_exact() -> None:
    shots = [shot(row, "a") for row in range(1, 1_001)]
    outcomes = {
        take.fingerprint: replace(outcome("completed"), quoted_microusd=100_001)
        for asked in shots
        for take in takes_of(asked, PROVIDER)
    }
    table = build_table(shots, outcomes, {}, pa.table({"note": ["x"] * 1_000}), Provenance("r", "ef" * 32))
    assert summarise(table_frame(table))["cost_usd"].tolist() == [Decimal("100.001")] * 2


def test_a_storyboard_that_only_shares_takes_costs_nothing() -> None:
    shots = [shot(1, "a", prompt="shared"), shot(2, "b", prompt="shared")]
    (take,) = takes_of(shots[0], PROVIDER)
    table = build_table(
        shots, {take.fingerprint: outcome("completed")}, {}, pa.table({"note": ["x"] * 2}), Provenance("r", "ef" * 32)
    )
    expected = [Decimal("2.5"), Decimal(0), Decimal("2.5")]
    assert summary_of(stats_of(table))["cost_usd"].tolist() == expected
    assert summarise(table_frame(table))["cost_usd"].tolist() == expected


def test_the_cost_is_null_only_where_no_price_at_all_is_known(tmp_path: Path) -> None:
    one = summarise(written(results(unpriced=[(3, 1)]), tmp_path))["cost_usd"]
    assert one.isna().tolist() == [False, True, False, False, False]
    assert one.iloc[-1] == Decimal("12.5")
    some = summarise(written(results(unpriced=[(2, 1), (3, 1)]), tmp_path))["cost_usd"]
    assert some.isna().tolist() == [False, True, False, False, False]
    assert (some.iloc[2], some.iloc[-1]) == (Decimal("7.5"), Decimal(10))
    bought = [(1, 1), (2, 1), (2, 2), (3, 1), (6, 1), (7, 1)]
    none = summarise(written(results(unpriced=bought), tmp_path))["cost_usd"]
    assert none.isna().tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_summary_is_the_same_from_every_format(tmp_path: Path, suffix: str) -> None:
    table = results(unpriced=[(3, 1)])
    read, gathered = summarise(written(table, tmp_path, suffix)), summary_of(stats_of(table))
    pd.testing.assert_frame_equal(read, gathered)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_of_the_first_version_has_a_summary_without_costs(tmp_path: Path, suffix: str) -> None:
    table = results()
    old = table.drop_columns(["still_uri", "outputs_expire_at", "prediction_model", "quoted_usd"])
    before, now = (summarise(written(each, tmp_path, suffix)) for each in (old, table))
    assert before["cost_usd"].isna().tolist() == [True, True, True, False, True]
    pd.testing.assert_frame_equal(before.drop(columns="cost_usd"), now.drop(columns="cost_usd"))


def test_a_filtered_or_shuffled_frame_is_summarised_in_manifest_order(tmp_path: Path) -> None:
    frame = written(results(), tmp_path)
    assert summarise(frame[frame["status"] == "rejected"])["takes"].tolist() == [1, 1]
    pd.testing.assert_frame_equal(summarise(frame.sample(frac=1, random_state=3)), summarise(frame))
    pd.testing.assert_frame_equal(summarise(frame.set_index("shot_id", drop=False)), summarise(frame))


def test_an_empty_frame_has_only_the_total(tmp_path: Path) -> None:
    summary = summarise(written(results(), tmp_path).head(0))
    assert summary["storyboard"].tolist() == ["all"]
    assert summary[COUNTS].to_numpy().tolist() == [[0] * 10]
    assert summary["cost_usd"].tolist() == [Decimal(0)]
    assert summary[["nsfw_rate", "inference_p50_s", "inference_p95_s"]].isna().all(axis=None)


def test_a_frame_of_plain_numpy_columns_gives_the_same_summary(tmp_path: Path) -> None:
    frame = written(results(), tmp_path)
    plain = results().to_pandas(ignore_metadata=True)
    plain.attrs = frame.attrs
    pd.testing.assert_frame_equal(summarise(plain), summarise(frame))


@pytest.mark.parametrize("columns", [["status", "nsfw"], ["quoted_usd"]])
def test_summarise_names_the_columns_that_it_misses(tmp_path: Path, columns: list[str]) -> None:
    with pytest.raises(FixInputError, match=f"missing: {', '.join(columns)}; see"):
        summarise(written(results(), tmp_path).drop(columns=columns))


def test_the_package_offers_both_and_imports_pandas_only_when_they_are_used() -> None:
    assert (animatic.read_results, animatic.summarise) == (read_results, summarise)
    program = (
        "import animatic, animatic.results.schema, sys; assert 'pandas' not in sys.modules; "
        "animatic.read_results; assert 'pandas' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_completion_shows_what_people_use_and_no_more() -> None:
    assert dir(animatic) == ["read_results", "summarise"]


def test_a_column_that_a_spreadsheet_has_changed_is_warned_of(tmp_path: Path) -> None:
    data = encode(results(), ".csv").decode().replace("2026-03-01T12:00:00.000005Z", "01.03.2026 12:00")
    (tmp_path / "out.csv").write_text(data, "utf-8-sig")
    said = r'out\.csv: column completed_at is left as text: "01\.03\.2026 12:00" is a date that can be read'
    with pytest.warns(UserWarning, match=said):
        frame = read_results(str(tmp_path / "out.csv"))
    assert frame["completed_at"].dropna().unique().tolist() == ["01.03.2026 12:00"]
    pd.testing.assert_frame_equal(summarise(frame), summarise(table_frame(results())))


def test_amounts_that_can_be_read_in_two_ways_are_not_added_up(tmp_path: Path) -> None:
    frame = written(results(), tmp_path)
    frame["quoted_usd"] = frame["quoted_usd"].astype("string[pyarrow]").str.replace(".", ",")
    with pytest.raises(FixInputError, match=r"quoted_usd: found .*; allowed: amounts such as 2\.50"):
        summarise(frame)
