"""Local stills that are missing, damaged or of another shape: told once where they are many."""

import pytest
from asked import invalid_rows_in, shots_in

from animatic.errors import ManifestError
from animatic.manifest import Manifest, StillFolder, check, read_table
from animatic.takes.stills import FoundStill, MissingStill, Still

STILL = Still("5f" * 32, 1_000, 1280, 720, "PNG")
UPRIGHT = Still("6f" * 32, 1_000, 1080, 1920, "JPEG")
FOLDER = StillFolder("file:///home/me/my%20film")
ALLOWED = "a JPEG, PNG or WebP file in the manifest's folder or that of --stills, up to 20 MiB and 100 megapixels"


def checked(
    stills: dict[str, FoundStill], unsound: dict[int, dict[str, str]] | None = None, ratio: str = "16:9"
) -> Manifest:
    lines = [f"s{number},{path},x,{ratio}" for number, path in enumerate(stills, 1)]
    raw = read_table("shots.csv", "\n".join(["shot_id,image,prompt,aspect_ratio", *lines]).encode())
    more = {"stills": stills, "storyboard_default": "b", "provider": "sandbox", "folder": FOLDER}
    return check(raw, **more, unsound=unsound or {})  # pyright: ignore[reportArgumentType]


def report_of(manifest: Manifest) -> list[str]:
    with pytest.raises(ManifestError) as refused:
        manifest.require_valid()
    assert refused.value.fault_count == manifest.num_invalid
    return refused.value.report.splitlines()


def named(folder: str, count: int) -> dict[str, FoundStill]:
    return {f"{folder}{number}.png": MissingStill() for number in range(1, count + 1)}


def test_one_missing_still_gets_the_near_name() -> None:
    manifest = checked({"a.png": STILL, "stills/01a.png": MissingStill("stills/01A.png")})
    assert report_of(manifest) == [
        f'shots.csv:3: image: found no file "stills/01a.png"; allowed: {ALLOWED}; did you mean "stills/01A.png"?'
    ]


def test_a_folder_without_any_of_its_stills_is_told_in_one_line() -> None:
    manifest = checked(named("stills/", 24))
    (line,) = report_of(manifest)
    assert line.startswith(
        'shots.csv:2: image: found none of 24 stills in "stills/" (looked from /home/me/my film): "stills/1.png", '
    )
    assert line.endswith(f"and 14 more; allowed: {ALLOWED}; is the manifest in the right folder?")
    assert [error for _, error in invalid_rows_in(manifest)][23].startswith('image: found no file "stills/24.png"')


def test_when_all_stills_of_several_folders_are_missing_one_line_says_so() -> None:
    (line,) = report_of(checked(named("a/", 3) | named("b/", 2)))
    assert 'found none of 5 stills, in "a/", "b/" (looked from' in line


def test_many_of_a_folder_are_told_in_one_line_and_few_each() -> None:
    some = {f"a/there{number}.png": STILL for number in range(3)}
    (line,) = report_of(checked(some | named("a/", 6)))
    assert 'found no file for 6 of 9 stills in "a/"' in line
    assert len(report_of(checked(some | named("a/", 5)))) == 5


def test_a_near_name_of_one_stands_for_all() -> None:
    (line,) = report_of(checked({"Stills/1.png": MissingStill("stills/1.png"), "Stills/2.png": MissingStill()}))
    assert line.endswith('is the manifest in the right folder? did you mean "stills/1.png"?')


def test_a_damaged_still_is_a_fault_of_its_own_row_only() -> None:
    manifest = checked({"a.png": STILL, "b.png": STILL}, {2: {f"sha256:{STILL.sha256}": "is cut off"}})
    assert report_of(manifest) == [f'shots.csv:3: image: found "b.png": is cut off; allowed: {ALLOWED}']
    assert [shot.shot_id for shot in shots_in(manifest)] == ["s1"]


def test_stills_of_another_shape_are_named_in_one_note() -> None:
    manifest = checked({"a.png": STILL, "b.jpg": UPRIGHT, "c.jpg": UPRIGHT})
    assert manifest.warnings == [
        (
            "image: 2 stills have another shape than the row's aspect_ratio, so that parts may be cut away: "
            '"b.jpg" (1080 x 1920 in 16:9, shots.csv:3), "c.jpg" (1080 x 1920 in 16:9, shots.csv:4)'
        )
    ]
    assert len(checked({"a.png": STILL, "b.jpg": UPRIGHT}, ratio="9:16").warnings) == 1
    assert checked({"b.jpg": UPRIGHT}, ratio="9:16").warnings == []


def test_inputs_of_other_models_are_named_as_not_sent() -> None:
    raw = read_table("shots.csv", b"image,prompt,Negative Prompt,seed,camera\nhttps://e.com/a.png,x,y,1,c\n")
    manifest = check(raw, stills={}, storyboard_default="b", provider="sandbox")
    assert manifest.warnings == [
        (
            "columns that look like inputs of a model are carried, not sent: Negative Prompt, seed; "
            "wavespeed-ai/veo2-i2v takes image, prompt, aspect_ratio, duration"
        )
    ]


def test_a_clip_may_lie_as_its_local_still() -> None:
    tall, wide = (
        Still(name * 64, 1, width, height, "PNG") for name, width, height in (("a", 720, 1280), ("b", 1280, 720))
    )
    raw = read_table("shots.csv", b"image,prompt,aspect_ratio\ntall.png,x,auto\nwide.png,x,Auto\n")
    manifest = check(raw, stills={"tall.png": tall, "wide.png": wide}, storyboard_default="b", provider="sandbox")
    manifest.require_valid()
    assert [shot.inputs["aspect_ratio"] for shot in shots_in(manifest)] == ["9:16", "16:9"]


def test_a_still_on_the_web_lies_in_no_way_that_is_known() -> None:
    raw = read_table("shots.csv", b"image,prompt,aspect_ratio\nhttps://e.example/a.png,x,auto\ngone.png,x,auto\n")
    manifest = check(raw, stills={"gone.png": "is empty"}, storyboard_default="b", provider="sandbox")
    first, second = (text for _, text in invalid_rows_in(manifest))
    assert first.startswith("aspect_ratio: found auto for a still that is no local file; allowed: 16:9, 9:16; auto")
    assert second.startswith("image: ")


URL = "https://stills.example/a.png"
SEEN = Still("7f" * 32, 1_000, 640, 360, "PNG")


def test_a_web_still_is_a_fault_only_where_it_was_refused() -> None:
    manifest = checked_urls({2: {URL: "HTTP 404 instead of an image"}}, {})
    allowed = "a link that anyone can fetch to a JPEG, PNG or WebP image, up to 20 MiB and 100 megapixels"
    assert report_of(manifest) == [
        f'shots.csv:3: image: found "{URL}": HTTP 404 instead of an image; allowed: {allowed}'
    ]


def test_a_seen_web_still_gets_the_notes_of_a_local_one() -> None:
    manifest = checked_urls({}, {URL: SEEN}, ratio="9:16")
    small, unfit = manifest.warnings
    assert (
        small == f'shots.csv:2: image: "{URL}" is 640 x 360 pixels; 720 or more on the shorter side give better clips'
    )
    assert f'"{URL}" (640 x 360 in 9:16, shots.csv:2)' in unfit
    assert [shot.inputs["image"] for shot in shots_in(manifest)] == [URL, URL], "what is sent stays the URL"


def checked_urls(unsound: dict[int, dict[str, str]], seen: dict[str, Still], ratio: str = "16:9") -> Manifest:
    raw = read_table("shots.csv", f"image,prompt,aspect_ratio\n{URL},x,{ratio}\n{URL},y,{ratio}\n".encode())
    return check(raw, stills={}, storyboard_default="b", provider="sandbox", unsound=unsound, seen=seen)
