"""Names of stills that are nearly those of files: another Unicode form is the same file, another case is only named."""

from pathlib import Path
from unicodedata import normalize

import pytest

from animatic import storage
from animatic.errors import NoSuchFileError
from animatic.media.local_stills import LocalStills
from animatic.takes.stills import MissingStill

NFC, NFD = (normalize(form, "Küste/Strand-é.png") for form in ("NFC", "NFD"))


def manifest_in(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return str(folder / "shots.csv")


def read(manifest: str, path: str) -> bytes:
    with storage.open_still(manifest, path) as file:
        return file.read()


@pytest.mark.parametrize(("there", "asked"), [(NFC, NFD), (NFD, NFC), (NFC, NFC)])
def test_a_name_in_another_unicode_form_is_found(tmp_path: Path, there: str, asked: str) -> None:
    manifest = manifest_in(tmp_path, there)
    assert read(manifest, asked) == there.encode()
    assert b"".join(storage.still_chunks(manifest, asked)) == there.encode()


def test_folder_and_file_may_be_in_different_forms(tmp_path: Path) -> None:
    folder, _, name = NFD.partition("/")
    there = f"{normalize('NFC', folder)}/{name}"
    assert read(manifest_in(tmp_path, there), NFC) == there.encode()


def test_the_name_as_it_is_written_comes_first(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path, NFC, NFD)
    assert (read(manifest, NFC), read(manifest, NFD)) == (NFC.encode(), NFD.encode())


def test_two_other_forms_of_a_name_are_no_answer(tmp_path: Path) -> None:
    mixed = "e\u0301\u00e9.png"
    manifest = manifest_in(tmp_path, normalize("NFC", mixed), normalize("NFD", mixed))
    with pytest.raises(NoSuchFileError):
        read(manifest, mixed)


def test_a_link_out_of_the_folder_is_refused_in_any_form(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"secret")
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / normalize("NFD", "é.png")).symlink_to(outside)
    with pytest.raises(storage.LocationError, match="leads out of the folder of stills"):
        read(str(tmp_path / "film/shots.csv"), normalize("NFC", "é.png"))


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("stills/01a.PNG", "stills/01A.png"),
        ("Stills/01A.png", "stills/01A.png"),
        ("stils/01A.png", "stills/01A.png"),
        ("stills/01A.jpg", "stills/01A.png"),
        ("other/beside.png", "beside.png"),
        ("stills/99Z-nothing-like-it.webp", None),
    ],
)
def test_a_missing_still_gets_the_name_that_may_be_meant(tmp_path: Path, asked: str, near: str | None) -> None:
    manifest = manifest_in(tmp_path, "stills/01A.png", "stills/notes.txt", "beside.png")
    assert LocalStills(manifest).probe_all([asked]) == {asked: MissingStill(near)}


def test_two_names_that_differ_in_case_only_are_no_near_name(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path, "aaaaaaaa.png", "AAAAAAAA.png")
    assert LocalStills(manifest).probe_all(["Aaaaaaaa.png"])["Aaaaaaaa.png"] in {
        MissingStill("aaaaaaaa.png"), MissingStill("AAAAAAAA.png"),
    }  # fmt: skip


@pytest.mark.parametrize(("there", "asked"), [(NFC, NFD), (NFD, NFC)])
def test_a_store_is_asked_for_both_forms(there: str, asked: str) -> None:
    storage.replace_bytes(f"memory://films/{there}", b"still")
    assert read("memory://films/shots.csv", asked) == b"still"
    with pytest.raises(NoSuchFileError):
        read("memory://films/shots.csv", "fehlt-ü.png")
