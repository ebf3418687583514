"""The rows that were checked for the preview are those of the run, as long as the file is the same."""

from pathlib import Path

from animatic.planning.manifests import ManifestFile


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "shots.csv"
    path.write_text("image,prompt\nhttps://stills.example/a.png,push in\n")
    file = ManifestFile(str(path), "sandbox")
    checked = file.load()
    assert file.is_unchanged(checked, file.stills.probe_all)
    path.write_text("image,prompt\nhttps://stills.example/a.png,push out\n")
    assert not file.is_unchanged(checked, file.stills.probe_all)
