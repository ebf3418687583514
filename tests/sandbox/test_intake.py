"""Quotes, uploads and the ledger's word before a run, against the sandbox."""

from pathlib import Path
from typing import Any

import pytest
from asked import price_class_of, takes_in
from PIL import Image

from animatic.errors import ApiRefusedError, LocationError
from animatic.media.local_stills import LocalStills
from animatic.planning.lookup import plan_against
from animatic.planning.manifests import ManifestFile
from animatic.planning.quotes import quote, quote_all
from animatic.takes.states import BuyingPolicy, State
from animatic.wavespeed.client import WaveSpeedClient


@pytest.fixture
def manifest_uri(tmp_path: Path) -> str:
    """A manifest of two shots, one with a local still."""
    Image.new("RGB", (1280, 720), (200, 120, 40)).save(tmp_path / "a.png")
    path = tmp_path / "shots.csv"
    path.write_text("image,prompt\na.png,push in\nhttps://stills.example/a.png,pan left\n")
    return str(path)


async def test_quotes_are_the_apis_by_length(studio: Any) -> None:
    sandbox = await studio.open_sandbox()
    five, eight = price_class_of("5s"), price_class_of("8s")
    async with WaveSpeedClient(sandbox.url, sandbox.key) as client:
        quotes = await quote_all(client, [five, eight])
        assert {price_class: (quote.microusd, quote.is_floor) for price_class, quote in quotes.items()} == {
            five: (2_500_000, False),
            eight: (4_000_000, False),
        }
        with pytest.raises(ApiRefusedError):
            await quote(client, price_class_of(model="no/such-model"))
    assert studio.accepted == []


async def test_a_still_is_uploaded_as_it_was_planned(studio: Any, manifest_uri: str) -> None:
    sandbox = await studio.open_sandbox()
    local, remote = list(takes_in(ManifestFile(manifest_uri, "sandbox").load()))
    (file,) = local.shot.files
    assert not remote.shot.files
    async with WaveSpeedClient(sandbox.url, sandbox.key) as client:
        url = await LocalStills(manifest_uri).upload(client, file)
        assert url.startswith(f"{sandbox.url}/uploads/")
        Image.new("RGB", (1280, 720), (0, 0, 0)).save(Path(manifest_uri).with_name("a.png"))
        with pytest.raises(LocationError, match=r"still a\.png of shot .*: it changed while the run was planned"):
            await LocalStills(manifest_uri).upload(client, file)
    assert (await studio.stats())["uploads"] == 1


async def test_a_plan_makes_no_ledger_where_there_is_none(studio: Any, manifest_uri: str) -> None:
    manifest = ManifestFile(manifest_uri, "sandbox").load()
    plan = await plan_against(f"sqlite:///{studio.ledger}", manifest, BuyingPolicy())
    assert plan.to_buy == 2
    assert not studio.ledger.exists()


async def test_a_plan_knows_what_the_ledger_knows(studio: Any, manifest_uri: str) -> None:
    await studio.open_sandbox()
    manifest = ManifestFile(manifest_uri, "sandbox").load()
    remote = list(takes_in(manifest))[1]
    await studio.run([remote])
    plan = await plan_against(f"sqlite:///{studio.ledger}", manifest, BuyingPolicy())
    assert [take.shot.inputs["prompt"] for take in plan.takes_to_buy()] == ["push in"]
    assert plan.settled == {State.COMPLETED: 1}
    assert plan.cost({remote.shot.price_class: 2_500_000}) == 2_500_000
