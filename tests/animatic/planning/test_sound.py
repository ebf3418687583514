"""Local stills of takes to buy are decoded once for each content, before anyone says yes; no others are."""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animatic.errors import LocationError, ManifestError
from animatic.manifest import Manifest, Selection
from animatic.planning.manifests import ManifestFile
from animatic.planning.plan import Plan, make_plan
from animatic.planning.sound import MANY_STILLS, SoundPlanning
from animatic.takes.snapshot import LedgerSnapshot
from animatic.takes.states import BuyingPolicy, State, TakeStatus
from animatic.takes.stills import Still

pytestmark = pytest.mark.sandbox

NEW, DONE = TakeStatus(None), TakeStatus(State.COMPLETED)


def drawn(seed: int = 0) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((320, 180), 20 + seed).convert("RGB").save(data, "JPEG")
    return data.getvalue()


class Films:
    """A folder with a manifest and stills; the takes in `done` are bought already. Counts what is decoded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, folder / "shots.csv"
        self.done: set[str] = set()
        self.decoded: list[str] = []
        self.told: list[str] = []

    def still(self, name: str, data: bytes | None = None) -> None:
        (self.folder / name).write_bytes(drawn() if data is None else data)

    def rows(self, *rows: str) -> None:
        self.manifest.write_text("\n".join(["image,prompt,takes", *rows]) + "\n")

    def plan(
        self, *, skip: bool = False, selection: Selection | None = None, known: dict[str, str | None] | None = None
    ) -> Plan:
        file = ManifestFile(str(self.manifest), "sandbox", selection=selection or Selection())

        async def decode(stills: Mapping[str, Still]) -> Mapping[str, str | None]:
            self.decoded += stills
            return await file.stills.find_damages(stills)

        async def plan_of(manifest: Manifest) -> Plan:
            takes = len(manifest.digests)
            is_done = np.zeros(takes, np.int32)
            for part in manifest.parts():
                takes_here = part.takes(np.ones(len(part.take_of), bool))
                is_done[part.take_of] = [take.shot.inputs["prompt"] in self.done for take in takes_here]
            held = LedgerSnapshot([NEW, DONE], is_done, np.arange(takes), np.zeros(takes, np.bool_))
            return make_plan(manifest, held, BuyingPolicy())

        checked = file.load()
        checked.require_valid(skip_invalid=skip)
        sound = SoundPlanning(file, decode, skip, {} if known is None else known, self.told.append)
        return asyncio.run(sound.plan(checked, plan_of))


@pytest.fixture
def films(tmp_path: Path) -> Films:
    films = Films(tmp_path)
    for number in range(3):
        films.still(f"{number}.jpg", drawn(number))
    films.still("cut.jpg", drawn()[:2_000])
    return films


def test_a_still_that_is_cut_off_is_a_fault_of_its_rows(films: Films) -> None:
    films.rows("0.jpg,a,1", "cut.jpg,b,2", "1.jpg,c,1", "cut.jpg,d,1")
    with pytest.raises(ManifestError) as refused:
        films.plan()
    lines = refused.value.report.splitlines()
    assert [line.split(": found")[0] for line in lines] == ["shots.csv:3: image", "shots.csv:5: image"]
    assert '"cut.jpg": begins like a JPEG image and is cut off' in lines[0]


def test_a_row_with_a_damaged_still_is_invalid_where_faults_are_skipped(films: Films) -> None:
    films.rows("0.jpg,a,1", "cut.jpg,b,2", "1.jpg,c,1")
    plan = films.plan(skip=True)
    assert [take.shot.row for take in plan.takes_to_buy()] == [1, 3]
    assert plan.manifest.num_invalid == 1
    assert (plan.to_buy, len(plan)) == (2, 2)


def test_each_content_is_decoded_once(films: Films) -> None:
    films.still("copy.jpg", (films.folder / "0.jpg").read_bytes())
    films.rows("0.jpg,a,3", "copy.jpg,b,1", "0.jpg,c,1", "1.jpg,d,1")
    films.plan()
    assert len(films.decoded) == 2


def test_stills_of_takes_that_are_done_are_not_decoded(films: Films) -> None:
    films.rows("0.jpg,a,1", "cut.jpg,b,1", "1.jpg,c,1")
    films.done = {"b", "c"}
    plan = films.plan()
    assert films.decoded == ["0.jpg"]
    assert plan.manifest.num_invalid == 0, "nothing is bought with the damaged one"
    films.done = {"a", "b", "c"}
    films.plan()
    assert films.decoded == ["0.jpg"]


def test_a_damaged_still_invalidates_only_the_rows_that_buy_with_it(films: Films) -> None:
    films.rows("cut.jpg,a,1", "cut.jpg,b,1")
    films.done = {"a"}
    plan = films.plan(skip=True)
    assert plan.manifest.num_invalid == 1
    assert plan.settled == {State.COMPLETED: 1}


def test_what_was_decoded_for_the_preview_is_known_to_the_run(films: Films) -> None:
    films.rows("0.jpg,a,1", "1.jpg,b,1", "cut.jpg,c,1")
    known: dict[str, str | None] = {}
    films.plan(skip=True, known=known)
    films.decoded.clear()
    plan = films.plan(skip=True, known=known)
    assert films.decoded == []
    assert plan.manifest.num_invalid == 1


def test_rows_that_take_the_place_of_damaged_ones_are_decoded_too(films: Films) -> None:
    films.still("worse.jpg", drawn(1)[:1_500])
    films.rows("cut.jpg,a,1", "worse.jpg,b,1", "0.jpg,c,1", "1.jpg,d,1")
    plan = films.plan(skip=True, selection=Selection(limit=1))
    assert [take.shot.inputs["prompt"] for take in plan.takes_to_buy()] == ["c"]
    assert films.decoded == ["cut.jpg", "worse.jpg", "0.jpg"]


def test_remote_stills_are_not_decoded(films: Films) -> None:
    films.rows("https://stills.example/a.png,a,1")
    assert films.plan().to_buy == 1
    assert films.decoded == []


def test_a_still_that_changes_while_it_is_planned_is_refused(films: Films) -> None:
    films.rows("0.jpg,a,1")
    stills = ManifestFile(str(films.manifest), "sandbox").stills
    found = stills.probe("0.jpg")
    assert isinstance(found, Still)
    films.still("0.jpg", drawn(9))
    with pytest.raises(LocationError, match="it changed while the run was planned; run again"):
        asyncio.run(stills.find_damages({"0.jpg": found}))


def test_a_manifest_that_changes_while_it_is_planned_is_refused(films: Films) -> None:
    films.rows("0.jpg,a,1")
    file = ManifestFile(str(films.manifest), "sandbox")
    known = file.load()
    films.rows("0.jpg,b,1")
    with pytest.raises(LocationError, match="it changed while the run was planned; run again"):
        file.reload(known, {1: {"sha256:x": "is cut off"}})


def test_many_stills_are_announced_before_they_are_decoded(films: Films) -> None:
    for number in range(MANY_STILLS):
        films.still(f"many{number}.jpg", drawn(0) + bytes([number]))
    films.rows(*(f"many{number}.jpg,x{number},1" for number in range(MANY_STILLS)))
    films.plan()
    assert films.told == [f"decoding {MANY_STILLS} stills of takes to buy, each content once"]
    films.rows("0.jpg,a,1")
    films.plan()
    assert len(films.told) == 1
