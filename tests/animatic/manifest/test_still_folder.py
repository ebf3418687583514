"""Cells that name a still by its full path: only inside the folder of `--stills`, and never out of it again."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.manifest.faults import Problem
from animatic.manifest.images import image
from animatic.manifest.still_folder import StillFolder

NAS = StillFolder("file:///nas/film%20one", is_named=True)
BUCKET = StillFolder("s3://bucket/stills", is_named=True)


@pytest.mark.parametrize(
    ("folder", "text", "path"),
    [
        (NAS, "/nas/film one/day/a.png", "day/a.png"),
        (NAS, " file:///nas/film%20one/b%20c.png", "b c.png"),
        (NAS, "./day/a.png", "day/a.png"),
        (BUCKET, "s3://bucket/stills/day/a.png", "day/a.png"),
        (StillFolder("file://", is_named=True), "/a.png", "a.png"),
        (BUCKET, "https://bucket/stills/a.png", "https://bucket/stills/a.png"),
        (StillFolder("https://e.com/s", is_named=True), "https://e.com/s/a.png", "https://e.com/s/a.png"),
        (StillFolder("file:///nas/film%20one"), "/nas/film one/a.png", "a.png"),
        (StillFolder("file:///nas/film%20one"), "file:///nas/film%20one/s/a%201.png", "s/a 1.png"),
        (StillFolder("s3://bucket/stills"), "s3://bucket/stills/a.png", "a.png"),
    ],
)
def test_a_full_path_inside_the_folder_is_a_path_in_it(folder: StillFolder, text: str, path: str) -> None:
    assert image(text, folder=folder) == path


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        (NAS, "/nas/film one/../a.png"),
        (NAS, "/nas/film one//etc/a.png"),
        (NAS, "/nas/film%20one/a.png"),
        (NAS, "/nas/film one.png"),
        (NAS, "/nas/film one2/a.png"),
        (NAS, "/etc/a.png"),
        (NAS, "file:///nas/film%20one/%2e%2e/a.png"),
        (BUCKET, "s3://bucket/stills2/a.png"),
        (BUCKET, "s3://other/stills/a.png"),
        (BUCKET, "s3://bucket/stills/../keys/a.png"),
        (BUCKET, "/bucket/stills/a.png"),
        (StillFolder(), "/etc/a.png"),
        (StillFolder("file:///nas/film%20one"), "/nas/a.png"),
        (StillFolder("s3://bucket/stills"), "s3://bucket/a.png"),
    ],
)
def test_all_other_full_paths_are_refused(folder: StillFolder, text: str) -> None:
    assert isinstance(image(text, folder=folder), Problem)


def test_a_path_that_is_refused_gets_the_way_to_go_on() -> None:
    bad = image("/nas/elsewhere/a.png", folder=NAS)
    assert isinstance(bad, Problem)
    assert bad.found == '"/nas/elsewhere/a.png"'
    assert bad.hint == "it is not inside --stills /nas/film one"
    bare = image("s3://bucket/a.png")
    assert isinstance(bare, Problem)
    assert bare.hint == "name the folder that the stills are in: --stills FOLDER"


pieces = st.sampled_from(["/", "..", ".", "%2e", "%2f", "a", ".png", "nas", "film one", "file://", "s3://", "bucket"])


@given(st.sampled_from([NAS, BUCKET]), st.lists(pieces, max_size=9).map("".join))
def test_no_cell_leads_out_of_the_folder(folder: StillFolder, text: str) -> None:
    found = image(f"{folder.shown}/{text}", folder=folder)
    if not isinstance(found, Problem):
        assert posixpath.normpath(posixpath.join("/stills", found)).startswith("/stills/")
