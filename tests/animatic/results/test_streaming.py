"""From manifest to results in batches: the same table as row by row, and nothing that grows with the manifest."""

import asyncio
import csv
import gc
import io
import json
import random
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from asked import invalid_rows_in, shots_in, table_in, takes_in
from PIL import Image
from tables import PROVIDER, TakeOutcome, carried_name, expected_cost_microusd, expected_rows

from animatic import storage
from animatic.errors import LocationError, ManifestError
from animatic.ledger import open_ledger
from animatic.ledger.bill import note_bill
from animatic.ledger.opening import find_database, open_database
from animatic.ledger.records import Record
from animatic.ledger.schema import ATTEMPT, RUN, TAKE
from animatic.manifest import Manifest, parquet, tables
from animatic.manifest.header import COLUMNS
from animatic.planning.lookup import look_into, plan_against
from animatic.planning.manifests import ManifestFile, read_manifest
from animatic.results import formats, reading
from animatic.results.analysis import summarise, table_frame
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.stats import TableStats, not_completed
from animatic.results.summary import run_summary_of
from animatic.results.writer import ResultsWriter
from animatic.storage.spool import Spool
from animatic.takes.money.bill_items import BillItem
from animatic.takes.money.budgets import Reserved
from animatic.takes.states import FINAL, BuyingPolicy, State, status_of

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as the ledger stores it


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 7 rows and row groups of 10 lines."""
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 7)
    monkeypatch.setattr(parquet, "ROWS_PER_BATCH", 7)
    monkeypatch.setattr(formats, "ROW_GROUP_ROWS", 20)


def random_rows(chance: random.Random, rows: int) -> list[dict[str, Any]]:
    """Rows that share takes, ask for several, and are bad now and then."""
    return [
        {
            "image": chance.choice([f"https://stills.example/{row % 3}.png"] * 12 + ["", "/etc/passwd"]),
            "prompt": chance.choice(["push in", "pan left", f"tilt up, {row}\nslowly", 'say "ü"', "", "x\x07"][:5]),
            "duration": chance.choice(["5s", "6", "", None, "9s"]),
            "takes": chance.choice([1, 1, 2, 16, None]),
            "storyboard": chance.choice(["harbour", "", "night train"]),
            "status": "approved",
            "note": chance.choice([None, f"note {row}", "=1+1"]),
            "fault": f"f{row}",
        }
        for row in range(1, rows + 1)
    ]


def write_manifest(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=11)
        return str(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def fill_ledger(folder: Path, fingerprints: Sequence[str], chance: random.Random) -> str:
    """Most of these takes with an attempt, some bought twice."""
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    engine = open_database(find_database(url)).engine
    attempts: list[dict[str, Any]] = []
    for key in fingerprints:
        if chance.random() < 0.2:
            continue
        states = [State.FAILED] * (chance.random() < 0.3) + [chance.choice(sorted(set(State) - {State.SUBMITTING}))]
        for number, state in enumerate(states, start=1):
            done = state is State.COMPLETED
            attempts.append(
                {
                    "fingerprint": key,
                    "attempt_no": number,
                    "state": state.value,
                    "run_id": "run-0",
                    "allowed_by": "plan",
                    "quoted_microusd": chance.choice([2_500_000, 4_000_000, 2_700_001, None]),
                    "intent_at": NOON,
                    "submitted_at": NOON - timedelta(minutes=chance.choice([1, 3_000])) if number == 1 else None,
                    "completed_at": NOON if done else None,
                    "prediction_model": "wavespeed-ai/veo2-i2v" if done else None,
                    "prediction_id": f"p{len(attempts)}" if state.value in {"submitted", "completed"} else None,
                    "outputs": '["https://cdn.example/a.mp4"]' if done else None,
                    "has_nsfw_contents": chance.choice(["[true]", "[false]", "[null]", "[]", None]) if done else None,
                    "inference_ms": chance.randrange(10_000, 60_000) if done else None,
                    "error_code": None if done else 5000,
                    "error": chance.choice([None, "the model failed"]),
                    "polls": 3,
                }
            )
    reported = {"provider": PROVIDER, "model": "m", "duration": "5s", "request": "{}"}
    with engine.begin() as db:
        db.execute(RUN.insert().values(run_id="run-0", run_no=1, manifest="m", started_at=NOON, host="h", pid=1))
        db.execute(TAKE.insert(), [{"fingerprint": key, **reported} for key in fingerprints])
        db.execute(ATTEMPT.insert(), attempts)
        note_bill(db, PROVIDER, list(_bill_of(attempts, chance)))
    engine.dispose()
    return url


def _bill_of(attempts: Sequence[dict[str, Any]], chance: random.Random) -> Iterator[BillItem]:
    """Charges of most predictions, refunds of some."""
    for attempt in attempts:
        name = attempt["prediction_id"]
        for kind in ("deduct", "refund"):
            if name is not None and chance.random() < {"deduct": 0.8, "refund": 0.3}[kind]:
                yield BillItem(f"{kind}:{name}", kind, name, "m", chance.choice([2_500_000, 333_333]), None)


def outcome_of(record: Record, models: Mapping[int, str | None]) -> TakeOutcome:
    return TakeOutcome(
        status=status_of(record.state),
        outputs=record.outputs,
        has_nsfw_contents=record.has_nsfw_contents,
        inference_ms=record.inference_ms,
        prediction_id=record.prediction_id,
        prediction_status=record.prediction_status,
        prediction_model=models.get(record.attempt_id),
        error_code=record.error_code,
        error=record.error,
        submitted_at=record.submitted_at,
        completed_at=record.completed_at,
        created_at=record.created_at,
        polls=record.polls,
        attempts=record.attempts,
        cached=record.state in FINAL,
        run_id=record.run_id if record.attempts else None,
        quoted_microusd=record.cost_microusd,
        charged_microusd=record.charged_microusd,
        refunded_microusd=record.refunded_microusd,
    )


def models_made_by(db: sa.Connection) -> dict[int, str | None]:
    """Set the model that the API reports for each attempt."""
    return {row.attempt_id: row.prediction_model for row in db.execute(sa.select(ATTEMPT))}


async def stream(ledger: str, manifest: Manifest, uri: str) -> TableStats:
    plan = await plan_against(ledger, manifest, BuyingPolicy())
    with look_into(ledger) as opened:
        return await ResultsWriter(plan.manifest, plan.final_attempts(), "run-1", opened).write(uri)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
async def test_the_table_is_the_one_that_is_written_row_by_row(tmp_path: Path, seed: int, suffix: str) -> None:
    chance = random.Random(seed)
    uri = write_manifest(tmp_path / f"shots{suffix}", random_rows(chance, 60))
    manifest = ManifestFile(uri, PROVIDER).load()
    manifest.require_valid(skip_invalid=True)
    shots, invalid = list(shots_in(manifest)), dict(invalid_rows_in(manifest))
    assert sorted([*invalid, *(shot.row for shot in shots)]) == list(range(1, 61))
    assert len(manifest.rows) > 5
    fingerprints = list(dict.fromkeys(take.fingerprint for take in takes_in(manifest)))
    assert len(fingerprints) < len(list(takes_in(manifest)))
    ledger = fill_ledger(tmp_path, fingerprints, chance)
    with open_ledger(ledger) as opened:
        records = await opened.look_up(fingerprints, None)
        models = await opened.transactions.do(0.0, models_made_by)
    outcomes = {key: outcome_of(record, models) for key, record in records.items()}

    stats = await stream(ledger, manifest, str(tmp_path / "out.parquet"))
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups > 5
    table = file.read()
    raw = table_in(read_manifest(uri))
    assert table.to_pylist() == expected_rows(shots, outcomes, invalid, raw, PROVIDER)
    assert table.schema.names == [
        *RESULTS_SCHEMA.names,
        *[carried_name(name) for name in raw.column_names if name not in COLUMNS],
    ]
    assert table.schema.metadata == {
        b"animatic.schema_version": b"7",
        b"animatic.run_id": b"run-1",
        b"animatic.manifest_sha256": manifest.sha256.encode(),
    }
    assert stats.manifest_cost_microusd == expected_cost_microusd(outcomes)

    digest = run_summary_of(stats, run_id="run-1", results="out", submitted=0, reserved=Reserved())
    assert digest.summary.equals(summarise(table_frame(table)))
    assert digest.not_completed == not_completed(table, 200)
    assert sum(digest.counts.values()) == table.num_rows
    assert digest.cached == sum(table["cached"].to_pylist())
    for other in (".csv", ".jsonl"):
        await stream(ledger, manifest, str(tmp_path / f"out{other}"))
        assert (tmp_path / f"out{other}").read_bytes() == formats.encode(table, other)
    await stream(ledger, manifest, str(tmp_path / "out.xlsx"))  # its links are numbered piece by piece
    workbook = reading.decode((tmp_path / "out.xlsx").read_bytes(), "out.xlsx")
    own = [name for name in RESULTS_SCHEMA.names if name != "duration"]  # "6" of an invalid row is read as 6s
    assert workbook.select(own).to_pylist() == table.select(own).to_pylist()


@pytest.mark.parametrize("folder", ["plain", "with blanks #1 ü"])
async def test_a_local_still_is_named_by_its_absolute_uri(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / folder
    (home / "stills").mkdir(parents=True)
    Image.new("RGB", (1280, 720)).save(home / "stills" / "a b#1.png")
    rows = [
        {"image": "./stills/a b#1.png", "prompt": "push in"},
        {"image": "https://stills.example/a.png?x=1", "prompt": "push in"},
        {"image": "/etc/passwd", "prompt": "push in"},
        {"image": None, "prompt": "push in"},
    ]
    write_manifest(home / "shots.csv", rows)
    monkeypatch.chdir(home)
    uris = []
    for uri in ("shots.csv", str(home / "shots.csv"), (home / "shots.csv").as_uri()):
        manifest = ManifestFile(uri, PROVIDER).load()
        await stream(f"sqlite:///{tmp_path / 'none.sqlite'}", manifest, str(tmp_path / "out.parquet"))
        uris.append(pq.read_table(tmp_path / "out.parquet")["still_uri"].to_pylist())
    local = (home / "stills" / "a b#1.png").as_uri()
    assert uris == [[local, "https://stills.example/a.png?x=1", None, None]] * 3
    assert storage.read_bytes(local, max_bytes=10**6) == (home / "stills" / "a b#1.png").read_bytes()


@pytest.mark.usefixtures("small_batches")
async def test_without_a_ledger_everything_is_pending_and_none_is_made(tmp_path: Path) -> None:
    manifest = ManifestFile(write_manifest(tmp_path / "a.csv", random_rows(random.Random(1), 30)), PROVIDER).load()
    stats = await stream(f"sqlite:///{tmp_path / 'none.sqlite'}", manifest, str(tmp_path / "out.jsonl"))
    assert set(stats.counts) == {"pending", "invalid"}
    assert not (tmp_path / "none.sqlite").exists()


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_faults_are_the_same_wherever_batches_end(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(random.Random(3), 80)
    for row, cells in enumerate(rows):
        cells["shot_id"] = f"s{row % 50}"
    uri = write_manifest(tmp_path / f"shots{suffix}", rows)
    reports = []
    for size in (7, 13, 10_000):
        monkeypatch.setattr(tables, "ROWS_PER_BATCH", size)
        monkeypatch.setattr(parquet, "ROWS_PER_BATCH", size)
        with pytest.raises(ManifestError) as refused:
            ManifestFile(uri, PROVIDER).load().require_valid()
        reports.append(refused.value.report)
    assert reports[0] == reports[1] == reports[2]
    assert reports[0].count("\n") == 50
    assert "which is the shot_id of" in reports[0]


def many(folder: Path, rows: int) -> str:
    lines = (f"https://stills.example/{row}.png,push in past the wall {row},note {row}" for row in range(rows))
    path = folder / f"{rows}.csv"
    path.write_text("\n".join(["image,prompt,note", *lines]) + "\n")
    return str(path)


def peak_bytes(uri: str, ledger: str, out: str) -> int:
    """The most that Python and numpy held at once from manifest to results."""
    gc.collect()
    tracemalloc.start()
    try:
        asyncio.run(stream(ledger, ManifestFile(uri, PROVIDER).load(), out))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_rows_need_hardly_more_memory(tmp_path: Path) -> None:
    ledger, out = f"sqlite:///{tmp_path / 'none.sqlite'}", str(tmp_path / "out.parquet")
    small, large = many(tmp_path, 10_000), many(tmp_path, 100_000)
    peak_bytes(small, ledger, out)
    few, more = peak_bytes(small, ledger, out), peak_bytes(large, ledger, out)
    assert more - few < 90_000 * 200  # bytes a row; one row as Python objects takes 2,000


def test_arrow_holds_no_more_of_a_manifest_than_some_batches(tmp_path: Path) -> None:
    pool, before = pa.default_memory_pool(), pa.total_allocated_bytes()
    manifest = ManifestFile(many(tmp_path, 60_000), PROVIDER).load()
    assert isinstance(manifest.rows, Spool)
    assert pa.total_allocated_bytes() - before < 100_000
    assert manifest.rows.size_bytes > 8_000_000
    assert pool.max_memory() is None or pa.total_allocated_bytes() <= pool.max_memory()


def test_a_spool_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool()
    batches = [pa.RecordBatch.from_pydict({"a": [row, None], "b": [["x"], []]}) for row in range(5)]
    for batch in batches:
        spool.append(batch)
    assert [spool[index].to_pylist() for index in (4, 0, 2)] == [batches[i].to_pylist() for i in (4, 0, 2)]
    assert [batch.to_pylist() for batch in spool] == [batch.to_pylist() for batch in batches]
    assert len(spool) == 5
    assert list(tmp_path.iterdir()) == []
    spool.close()


def test_where_there_is_no_room_for_temporary_files_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(LocationError, match=r"temporary files: cannot be written .*TMPDIR"):
        Spool()


def test_a_copy_is_the_file_and_no_larger_than_allowed(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9_000
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with storage.open_copy(str(path), max_bytes=len(data)) as copy:
        assert copy.read() == data
    with (
        pytest.raises(LocationError, match="found more than 1,000 bytes"),
        storage.open_copy(str(path), max_bytes=1_000),
    ):
        pass


@pytest.mark.parametrize("suffix", formats.SUFFIXES)
async def test_known_columns_are_read_from_a_table_in_pieces(tmp_path: Path, suffix: str) -> None:
    manifest = ManifestFile(write_manifest(tmp_path / "a.csv", random_rows(random.Random(5), 50)), PROVIDER).load()
    await stream(f"sqlite:///{tmp_path / 'none.sqlite'}", manifest, str(tmp_path / f"out{suffix}"))
    whole = reading.decode((tmp_path / f"out{suffix}").read_bytes(), f"out{suffix}")
    wanted = ("fingerprint", "attempts")
    with (tmp_path / f"out{suffix}").open("rb") as file:
        pieces = list(reading.read_columns(file, f"out{suffix}", wanted))
    assert pa.concat_tables(pieces).to_pylist() == whole.select(list(wanted)).to_pylist()
    with pytest.raises(LocationError):
        list(reading.read_columns(io.BytesIO(b"nothing of ours\n"), f"out{suffix}", wanted))


def test_json_of_what_is_not_completed_survives(tmp_path: Path) -> None:
    manifest = ManifestFile(many(tmp_path, 300), PROVIDER).load()
    stats = asyncio.run(stream(f"sqlite:///{tmp_path / 'none.sqlite'}", manifest, str(tmp_path / "out.csv")))
    assert len(stats.not_completed) == 200
    assert json.loads(json.dumps(stats.not_completed)) == stats.not_completed
    assert len(list(shots_in(manifest))) == 300
