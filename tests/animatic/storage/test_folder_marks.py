"""Marks by which a folder is told from another one at the same path of another machine."""

from pathlib import Path

from animatic.storage.folder import Folder


def test_a_folder_is_marked_once_and_told_from_another(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "clips"))
    assert folder.find_mark() == ""
    mark = folder.mark()
    assert len(mark) == 32
    assert (folder.mark(), Folder(folder.uri).find_mark()) == (mark, mark)
    assert Folder(str(tmp_path / "other")).mark() != mark
    assert [path.name for path in folder.path.iterdir()] == [".animatic-folder"]


def test_a_folder_in_a_store_needs_no_mark() -> None:
    folder = Folder("memory://clips")
    assert (folder.mark(), folder.find_mark()) == ("", "")


def test_a_file_has_the_same_size_on_disk_and_in_a_store(tmp_path: Path) -> None:
    for folder in (Folder(str(tmp_path)), Folder("memory://sizes")):
        with folder.incoming() as incoming:
            incoming.file.write(b"12345")
            incoming.put("clip.mp4")
        assert folder.size_of("clip.mp4") == 5
