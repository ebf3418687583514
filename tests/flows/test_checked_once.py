"""The rows that were checked for the preview are those of the run, as long as the file is the same."""

from pathlib import Path
from typing import Any

import pytest

from animatic.planning.manifests import load_manifest
from animatic.settings import Settings
from animatic.takes.states import BuyingPolicy
from flows.run import Order, Run
from flows.session import Session

pytestmark = pytest.mark.sandbox


async def test_a_file_that_has_changed_is_read_again(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "shots.csv"
    path.write_text("image,prompt\nhttps://stills.example/a.png,push in\n")
    checked = load_manifest(str(path), settings.origin)
    nothing: Any = None
    order = Order(str(path), str(tmp_path / "out.csv"), None, skip_invalid=False, policy=BuyingPolicy())

    async def known() -> object:
        session = Session(settings, checked=checked)
        found = await Run(order, session, nothing, nothing, nothing, nothing)._known_manifest()
        assert session.checked is None
        return found

    assert await known() is checked
    path.write_text("image,prompt\nhttps://stills.example/a.png,push out\n")
    assert await known() is None
