"""The models that a manifest may name: where their list comes from, and what is kept of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from others_models import ENTRIES

from animatic.errors import AccountRefusedError, SettingsError, TryLaterError
from animatic.planning.catalogues import KeptList, find_catalogue, kept_list, read_folder
from animatic.takes.models import BUILT_IN

NAMED = ["google/veo3.1-fast/image-to-video"]


def asking(answer: Any) -> Any:
    async def ask() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def never() -> Any:
    raise AssertionError("it asked for the list")


@pytest.fixture
def kept(tmp_path: Path) -> KeptList:
    return kept_list(f"sqlite:///{tmp_path}/ledger.sqlite", "https://api.wavespeed.ai")


async def test_the_default_model_needs_no_list(kept: KeptList) -> None:
    assert await find_catalogue(["wavespeed-ai/veo2-i2v"], kept, None, never) is BUILT_IN
    assert not kept.path.exists()


async def test_a_list_kept_beside_the_ledger_serves_when_none_can_be_had(kept: KeptList, tmp_path: Path) -> None:
    asked = await find_catalogue(NAMED, kept, None, asking(ENTRIES))
    assert kept.path.parent == tmp_path
    for ask in (None, asking(TryLaterError("away"))):
        assert list(await find_catalogue(NAMED, kept, None, ask)) == list(asked)


async def test_each_provider_has_a_list_of_its_own(kept: KeptList, tmp_path: Path) -> None:
    await find_catalogue(NAMED, kept, None, asking(ENTRIES))
    other = kept_list(f"sqlite:///{tmp_path}/ledger.sqlite", "sandbox")
    with pytest.raises(SettingsError, match="cannot be had"):
        await find_catalogue(NAMED, other)


async def test_a_model_no_longer_listed_is_retired_until_it_is_back(kept: KeptList) -> None:
    await find_catalogue(NAMED, kept, None, asking(ENTRIES))
    for _ in range(2):
        fewer = await find_catalogue(NAMED, kept, None, asking(ENTRIES[1:]))
        assert fewer.retired == {NAMED[0]}
        assert (await find_catalogue(NAMED, kept)).retired == {NAMED[0]}
    assert (await find_catalogue(NAMED, kept, None, asking(ENTRIES))).retired == frozenset()


async def test_a_folder_is_read_instead_of_asking(kept: KeptList, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(ENTRIES[0]))
    (tmp_path / "more.json").write_text(json.dumps({"data": ENTRIES[1:3]}))
    found = await find_catalogue(NAMED, kept, str(tmp_path), never)
    assert set(found) == {each["model_id"] for each in ENTRIES[:3]} | set(BUILT_IN)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(SettingsError, match=r"bad\.json: cannot be read as JSON"):
        read_folder(tmp_path)


async def test_a_folder_that_is_not_there_is_named(kept: KeptList, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found no folder"):
        await find_catalogue(NAMED, kept, str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", ["", "[]", '{"models": 1}', '{"models": [], "retired": 5}', "[" * 100_000])
async def test_a_kept_list_that_cannot_be_read_is_none(kept: KeptList, text: str) -> None:
    kept.path.write_text(text)
    with pytest.raises(SettingsError, match=f"model: found {NAMED[0]}: what it takes is not known"):
        await find_catalogue(NAMED, kept)
    assert NAMED[0] in await find_catalogue(NAMED, kept, None, asking(ENTRIES))


async def test_a_refused_key_is_an_error(kept: KeptList) -> None:
    with pytest.raises(SettingsError, match="Nothing was bought"):
        await find_catalogue(NAMED, kept, None, asking(AccountRefusedError("WaveSpeed refuses the key.", 401)))
