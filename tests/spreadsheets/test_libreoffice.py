"""LibreOffice opens our files and saves them again: manifests ask for the same takes, results say the same.

A German one writes WAHR, 2,5 and semicolons; with its detection of numbers, 16:9 becomes a time of day.
"""

import csv
import io
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from asked import shot_of, takes_of
from spreadsheet_shots import SHOTS, SheetFile, shots_of, text
from tables import TakeOutcome, build_table
from workbooks import formulas_in

import animatic
from animatic.errors import SettingsError
from animatic.media.local_stills import LocalStills
from animatic.planning.manifests import ManifestFile
from animatic.results.columns import RESULTS_SCHEMA
from animatic.results.formats import encode
from animatic.results.replaced import people_of
from animatic.results.same_ledger import require_that_the_ledger_knows
from animatic.results.schema import Provenance
from animatic.takes.fingerprints import FingerprintSet, digests_from, digests_of, hex_of

PROVIDER = "https://api.wavespeed.ai"
DEMO = Path(__file__).parents[2] / "manifests/demo.csv"
OPENED = "CSV:44,34,76,1,,1033,false,true"
"""English, numbers and times detected."""

CSV = "csv:Text - txt - csv (StarCalc):{delimiter},34,{charset},1,,0,{quoted},true,false"
SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"><item oor:path="/org.openoffice.Setup/L10N">
<prop oor:name="ooSetupSystemLocale" oor:op="fuse"><value>{}</value></prop></item></oor:items>
"""
Convert = Callable[..., Path]


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """Convert files in one call of LibreOffice; the folder that they are in then."""
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("LibreOffice is not installed: apt-get install --no-install-recommends libreoffice-calc-nogui")
    base = tmp_path_factory.mktemp("office")

    def run(files: Sequence[Path], to: str, language: str = "en-US", opened: str = OPENED) -> Path:
        settings = base / language / "user/registrymodifications.xcu"
        settings.parent.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            settings.write_text(SETTINGS.format(language))
        folder = tmp_path_factory.mktemp("saved")
        profile = f"-env:UserInstallation=file://{base / language}"
        filters = [f"--infilter={opened}"] if files[0].suffix == ".csv" and opened else []
        command = [
            office,
            profile,
            "--headless",
            *filters,
            "--convert-to",
            to,
            "--outdir",
            str(folder),
            *map(str, files),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=150)
        return folder

    return run


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo's manifest, the test's storyboard and a table of results, as we and people write them."""
    folder = tmp_path_factory.mktemp("ours")
    (folder / "demo.csv").write_bytes(DEMO.read_bytes())
    (folder / "sheet.csv").write_bytes(text())
    (folder / "results.csv").write_bytes(encode(results(), ".csv"))
    (folder / "table.xlsx").write_bytes(encode(results(), ".xlsx"))
    return [folder / name for name in ("demo.csv", "sheet.csv", "results.csv")]


def results() -> pa.Table:
    """A table of two takes, one of them bought, with a column that people added."""
    shots = [shot_of(1, storyboard="b", prompt="=1+1"), shot_of(2, storyboard="b", prompt="Über der Küste,\ntwo lines")]
    moment = datetime(2026, 3, 1, 12, 30, 15, 1, tzinfo=UTC)
    bought = TakeOutcome(
        status="completed", outputs=("https://cdn.example/ü,2.mp4",), has_nsfw_contents=(False,), inference_ms=41_000,
        submitted_at=moment, completed_at=moment, prediction_id="p-1", polls=3, attempts=1, run_id="r",
        quoted_microusd=2_500_000,
    )  # fmt: skip
    (first, *_) = (take.fingerprint for take in takes_of(shots[0], PROVIDER))
    raw = pa.table({"prompt": [shot.inputs["prompt"] for shot in shots], "comment": ["good", None]})
    return build_table(shots, {first: bought}, {}, raw, Provenance("r", "cd" * 32))


@pytest.fixture(scope="module")
def saved(convert: Convert, ours: list[Path]) -> dict[str, Path]:
    """Folders of the same files by how they were saved."""
    workbooks = convert(ours, "xlsx")
    again = [workbooks / f"{path.stem}.xlsx" for path in ours]
    return {
        "as csv": convert(ours, CSV.format(delimiter=44, charset=76, quoted="false")),
        "by its defaults": convert(ours, "csv", opened=""),
        "as a workbook": workbooks,
        "in German": convert(again, CSV.format(delimiter=59, charset=76, quoted="false"), "de-DE"),
        "in UTF-16, quoted, with tabs": convert(again, CSV.format(delimiter=9, charset=65535, quoted="true"), "fr-FR"),
    }


WAYS = ("as csv", "by its defaults", "as a workbook", "in German", "in UTF-16, quoted, with tabs")
TEXTS = [way for way in WAYS if way != "as a workbook"]


def file_in(saved: dict[str, Path], way: str, stem: str) -> Path:
    return saved[way] / f"{stem}.{'xlsx' if way == 'as a workbook' else 'csv'}"


@pytest.mark.parametrize("way", WAYS)
def test_the_demo_asks_for_the_same_takes(saved: dict[str, Path], way: str) -> None:
    stills = LocalStills(str(DEMO)).probe_all
    demo = ManifestFile(str(DEMO), PROVIDER).load(stills)
    again = ManifestFile(str(file_in(saved, way, "demo")), PROVIDER).load(stills)
    again.require_valid()
    assert hex_of(again.digests) == hex_of(demo.digests)
    assert [shot[:2] for shot in shots_of(again)] == [shot[:2] for shot in shots_of(demo)]


def test_a_ratio_has_become_a_time_of_day_on_the_way(saved: dict[str, Path]) -> None:
    assert "04:09:00 PM" in file_in(saved, "as csv", "demo").read_text()
    german = file_in(saved, "in German", "results").read_text()
    assert ";16:09:00;" in german
    assert ";2,5;;;FALSCH;" in german


@pytest.mark.parametrize("way", WAYS)
def test_a_storyboard_is_read_as_the_same_shots(saved: dict[str, Path], way: str) -> None:
    manifest = ManifestFile(str(file_in(saved, way, "sheet")), PROVIDER).load()
    manifest.require_valid()
    assert shots_of(manifest) == SHOTS


@pytest.mark.parametrize("way", TEXTS)
def test_results_say_the_same(saved: dict[str, Path], ours: list[Path], way: str) -> None:
    before, after = (animatic.read_results(str(path)) for path in (ours[2], file_in(saved, way, "results")))
    changed = [name for name in RESULTS_SCHEMA.names if not before[name].equals(after[name])]
    assert changed == []
    assert before["comment"].equals(after["comment"])
    assert animatic.summarise(after).equals(animatic.summarise(before))


@pytest.mark.parametrize("way", TEXTS)
def test_the_guard_against_another_ledger_knows_the_table(saved: dict[str, Path], way: str, tmp_path: Path) -> None:
    place, known = file_in(saved, way, "results"), [each for each in results()["fingerprint"].to_pylist() if each]
    with pytest.raises(SettingsError, match="shows 1 take as bought that the ledger"):
        require_that_the_ledger_knows(
            f"sqlite:///{tmp_path}/ledger", str(place), FingerprintSet(digests_of(known)), digests_from(b"")
        )
    with place.open("rb") as file:
        assert people_of(str(place), file, ()) == ["comment"]


@pytest.mark.parametrize(
    ("to", "refusal"),
    [
        (CSV.format(delimiter=44, charset=1, quoted="false"), "which is not UTF-8"),
        ("ods", "save it as .xlsx, or as CSV in UTF-8"),
    ],
)
def test_other_forms_are_refused_in_one_sentence(convert: Convert, ours: list[Path], to: str, refusal: str) -> None:
    (path,) = convert([ours[1]], to).iterdir()
    SheetFile(path.name, path.read_bytes(), refusal).require_right()


@pytest.fixture(scope="module")
def workbook(convert: Convert, ours: list[Path]) -> tuple[Path, Path]:
    """Our workbook of results, and what LibreOffice makes of it."""
    path = ours[0].with_name("table.xlsx")
    return path, convert([path], "xlsx") / "table.xlsx"


def test_a_workbook_of_results_that_was_saved_again_says_the_same(workbook: tuple[Path, Path]) -> None:
    before, after = (animatic.read_results(str(path)) for path in workbook)
    assert after.attrs == before.attrs
    assert list(after.dtypes) == list(before.dtypes)
    moments = [name for name in before if pa.types.is_timestamp(before[name].dtype.pyarrow_dtype)]
    assert [name for name in before if name not in moments and not before[name].equals(after[name])] == []
    for name in moments:  # it keeps 15 digits of a number
        difference = (after[name] - before[name]).dropna().abs().max()
        assert after[name].isna().equals(before[name].isna())
        assert difference is pd.NaT or pd.isna(difference) or difference <= pd.Timedelta(microseconds=5)
    with workbook[1].open("rb") as file:
        assert people_of("table.xlsx", file, ()) == []


def test_a_workbook_of_results_shows_times_and_no_formula(convert: Convert, workbook: tuple[Path, Path]) -> None:
    assert [list(formulas_in(path.read_bytes())) for path in workbook] == [[], []]
    shown = convert([workbook[0]], "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true") / "table.csv"
    header, first, second = csv.reader(io.StringIO(shown.read_text("utf-8"), newline=""))
    row = dict(zip(header, first, strict=True))
    assert row["submitted_at"] == "2026-03-01 12:30:15 UTC"
    assert (row["prompt"], row["quoted_usd"], row["aspect_ratio"]) == ("=1+1", "2.50", "16:9")
    assert dict(zip(header, second, strict=True))["prompt"] == "Über der Küste,\ntwo lines"
