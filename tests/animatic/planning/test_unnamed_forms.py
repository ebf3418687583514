"""Manifests in an object store under names without a suffix; a name with one is taken at its word."""

import pytest

from animatic import storage
from animatic.errors import ManifestError
from animatic.planning.manifests import read_manifest, storyboard_of

ROWS = b"image,prompt\nhttps://stills.example/a.png,push in\n"
LINE = b'{"image": "https://stills.example/a.png", "prompt": "push in"}\n'


@pytest.mark.parametrize(("data", "name"), [(ROWS, "night.csv"), (LINE, "night.jsonl")])
def test_an_object_without_a_suffix_is_told_by_its_bytes(data: bytes, name: str) -> None:
    storage.replace_bytes("memory://exports/night", data)
    raw = read_manifest("memory://exports/night")
    assert (raw.name, raw.num_rows, storyboard_of(raw.name)) == (name, 1, "night")


def test_an_object_with_another_suffix_is_refused() -> None:
    storage.replace_bytes("memory://exports/night.txt", ROWS)
    with pytest.raises(ManifestError, match="found the name"):
        read_manifest("memory://exports/night.txt")
