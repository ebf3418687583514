"""Links between rows: each after the one it starts from, and every fault of a chain is one of its row."""

import pytest

from animatic.manifest import check, find_links, read_table
from animatic.manifest.links import LONGEST
from animatic.takes.chains import Link
from animatic.takes.models import BUILT_IN, Catalogue
from animatic.takes.models.schema import read_schema

HEADER = "shot_id,image,prompt,start_from,storyboard,takes,model"
URL = "https://e.example/a.png"


def linked(*rows: str, catalogue: Catalogue = BUILT_IN) -> tuple[list[Link], dict[int, str]]:
    """Return the links, and what is wrong with which row."""
    full = [row + "," * (HEADER.count(",") - row.count(",")) for row in rows]
    raw = read_table("shots.csv", "\n".join([HEADER, *full]).encode())
    manifest = check(raw, stills={}, storyboard_default="film", provider="sandbox", catalogue=catalogue)
    links, problems = find_links(manifest)
    again = check(raw, stills={}, storyboard_default="film", provider="sandbox", unlinked=problems, catalogue=catalogue)
    faults: dict[int, str] = {}
    for part in again.parts():
        for index, fault in enumerate(part.batch.column(0).to_pylist()):
            faults.update({} if fault is None else {part.row + index: fault})
    return links, faults


def test_links_come_after_the_ones_that_they_start_from() -> None:
    links, faults = linked("c,,x,b", f"a,{URL},x,,,3", "b,,x,a,,2", f"d,{URL},x")
    assert not faults
    assert [(each.name, each.source, each.depth) for each in links] == [("b", "a", 1), ("c", "b", 2)]
    assert [(each.at, each.takes, each.source_at, each.source_takes) for each in links] == [(4, 2, 1, 3), (0, 1, 4, 2)]


@pytest.mark.parametrize(
    ("rows", "row", "words"),
    [
        ([f"alpha,{URL},x", "b,,x,alpah"], 2, 'start_from: found "alpah", which no row has'),
        ([f"alpha,{URL},x", "b,,x,alpah"], 2, 'did you mean "alpha"?'),
        ([f"a,{URL},x,,one", "b,,x,a,two"], 2, 'found "a", which is of storyboard "one"; allowed: a shot of "two"'),
        (["a,,x,a"], 1, 'found "a", the shot itself; allowed: a chain that begins with a shot that has an image'),
        (["a,,x,b", "b,,x,a"], 2, 'found "a", which starts from this shot itself'),
        (["a,,x,b", "b,,x,a"], 1, 'found "b", whose row has a fault'),
        (["a,,x,c", "b,,x,a", "c,,x,b"], 2, "by way of 1 other"),
        (["a,not a url,x", "b,,x,a", "c,,x,b"], 3, 'found "b", whose row has a fault'),
        ([f"a,{URL},x", f"b,{URL},x,a"], 2, 'image: found "https://e.example/a.png"; allowed: nothing, since the shot'),
        ([f"a,{URL},x", ",,x,a"], 2, "shot_id: found nothing; allowed: a name of the shot's own"),
        ([f"a,{URL},x", "b,,,a"], 2, "prompt: found nothing"),
        ([f"a,{URL},x", "b,,x,#REF!"], 2, "the error of a formula"),
    ],
)
def test_a_fault_of_a_chain_is_one_of_its_row(rows: list[str], row: int, words: str) -> None:
    _, faults = linked(*rows)
    assert words in faults[row]


def test_one_bad_chain_leaves_the_others_alone() -> None:
    links, faults = linked(f"a,{URL},x", "b,,x,a", "c,,x,gone")
    assert ([each.name for each in links], [*faults]) == (["b"], [3])


def test_a_chain_has_a_longest_length() -> None:
    rows = [f"s0,{URL},x", *(f"s{number},,x,s{number - 1}" for number in range(1, LONGEST + 3))]
    links, faults = linked(*rows)
    assert max(each.depth for each in links) == LONGEST
    assert f"with {LONGEST:,} shots before this one in its chain" in faults[LONGEST + 2]
    assert [*faults] == [LONGEST + 2, LONGEST + 3]


def test_a_model_without_an_image_cannot_start_from_a_last_frame() -> None:
    entry = {
        "model_id": "some/text-to-video",
        "api_schema": {"api_schemas": [{"request_schema": {"properties": {"prompt": {"type": "string"}}}}]},
    }
    schema = read_schema(entry)
    assert schema is not None
    _, faults = linked(f"a,{URL},x", "b,,x,a,,,some/text-to-video", catalogue=Catalogue({schema.model: schema}))
    assert "start_from: " in faults[2]
    assert "some/text-to-video has no input image" in faults[2]


def test_a_shot_can_be_found_by_the_name_its_fingerprint_gives_it() -> None:
    raw = read_table("shots.csv", f"{HEADER}\n,{URL},x,,,,".encode())
    manifest = check(raw, stills={}, storyboard_default="film", provider="sandbox")
    (name,) = next(iter(manifest.rows)).column(1).to_pylist()
    links, faults = linked(f",{URL},x", f"b,,x,{name}")
    assert not faults
    assert [each.source for each in links] == [name]


def test_columns_that_are_only_carried_say_nothing_of_chains() -> None:
    text = "shot_id,image,prompt,start_from,note,seed\na,https://e.example/a.png,x,,42,b\nb,,x,a,,\nc,,x,zz,a,a\n"
    manifest = check(read_table("shots.csv", text.encode()), stills={}, storyboard_default="film", provider="sandbox")
    links, problems = find_links(manifest)
    assert [(each.name, each.source) for each in links] == [("b", "a")]
    assert [*problems] == [3]
