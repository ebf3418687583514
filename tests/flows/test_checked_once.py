"""The rows that were checked for the preview are those of the run, as long as the file is the same."""

from pathlib import Path

from animatic.media.local_stills import LocalStills
from animatic.planning.manifests import is_unchanged, load_manifest


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "shots.csv"
    path.write_text("image,prompt\nhttps://stills.example/a.png,push in\n")
    checked, stills = load_manifest(str(path), "sandbox"), LocalStills(str(path))
    assert is_unchanged(checked, stills, stills.probe_all)
    path.write_text("image,prompt\nhttps://stills.example/a.png,push out\n")
    assert not is_unchanged(checked, stills, stills.probe_all)
