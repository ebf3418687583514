"""Links to Google Sheets: each becomes the link that gives its cells, and is known by its id and its sheet."""

import pytest

from animatic import storage
from animatic.storage.locations import locate
from animatic.storage.sheets import find_sheet

ID = "1AbCdEfGhIjKlMnOpQrStUvWxYz-_0123456789ABCDE"
PLACE = f"https://docs.google.com/spreadsheets/d/{ID}"
PUBLISHED = "https://docs.google.com/spreadsheets/d/e/2PACX-1vQabc"


@pytest.mark.parametrize(
    ("link", "url", "uri"),
    [
        (f"{PLACE}/edit#gid=7", f"{PLACE}/export?format=csv&gid=7", f"{PLACE}#gid=7"),
        (f"{PLACE}/edit?gid=7#gid=7", f"{PLACE}/export?format=csv&gid=7", f"{PLACE}#gid=7"),
        (f"{PLACE}/edit?usp=sharing", f"{PLACE}/export?format=csv", PLACE),
        (f"{PLACE}/edit#gid=7&range=A1", f"{PLACE}/export?format=csv&gid=7", f"{PLACE}#gid=7"),
        (PLACE, f"{PLACE}/export?format=csv", PLACE),
        (f"{PLACE}/", f"{PLACE}/export?format=csv", PLACE),
        (PLACE.replace("/d/", "/u/1/d/") + "/edit", f"{PLACE}/export?format=csv", PLACE),
        (f"{PLACE}/export?format=csv&gid=7", f"{PLACE}/export?format=csv&gid=7", f"{PLACE}#gid=7"),
        (f"{PLACE}/export?format=xlsx", f"{PLACE}/export?format=xlsx", PLACE),
        (f"{PLACE}/view?resourcekey=0-x", f"{PLACE}/export?format=csv&resourcekey=0-x", PLACE),
        (f"{PUBLISHED}/pub?output=csv", f"{PUBLISHED}/pub?output=csv", PUBLISHED),
        (
            f"{PUBLISHED}/pubhtml?gid=7&single=true",
            f"{PUBLISHED}/pub?output=csv&gid=7&single=true",
            f"{PUBLISHED}#gid=7",
        ),
    ],
)
def test_every_link_of_a_sheet_leads_to_its_cells(link: str, url: str, uri: str) -> None:
    found = find_sheet(link)
    assert found is not None
    assert (found.url, found.uri) == (url, uri)
    assert storage.absolute_uri(link) == uri


@pytest.mark.parametrize(
    "link",
    [
        f"{PLACE}/export?format=pdf",
        f"{PLACE}/gviz/tq?tqx=out:csv",
        PLACE.replace("docs.google.com", "docs.google.com.evil.example"),
        PLACE.replace("https://", "https://me@"),
        PLACE.replace("https", "http"),
        "https://docs.google.com/document/d/1AbC/edit",
        "https://docs.google.com/spreadsheets/d//edit",
    ],
)
def test_other_links_stay_as_they_are(link: str) -> None:
    assert find_sheet(link) is None


def test_a_sheet_has_a_name_without_suffix_until_google_gives_it_one() -> None:
    assert storage.name_of(f"{PLACE}/edit#gid=7") == storage.stem_of(f"{PLACE}/edit#gid=7") == "google-sheet-1AbCdEfG-7"


def test_messages_show_a_sheet_without_the_rest_of_its_link() -> None:
    assert locate(f"{PLACE}/edit?authkey=secret#gid=7").shown == f"{PLACE}#gid=7"


def test_a_sheet_has_no_folder_of_stills() -> None:
    with pytest.raises(storage.LocationError, match="name the one that the stills are in: --stills FOLDER"):
        next(storage.still_chunks(f"{PLACE}/edit", "a.png"))
