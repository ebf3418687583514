import hashlib

import pytest
from asked import inputs_of, invalid_rows_in, shots_in, takes_in

from animatic.errors import ManifestError
from animatic.manifest import CHECKED, Manifest, check, local_stills, read_table
from animatic.takes.fingerprints import hex_of
from animatic.takes.models import DEFAULT_MODEL
from animatic.takes.shots import digest, verbatim
from animatic.takes.stills import Still

PROVIDER = "https://api.example.com"
URL = "https://e.com/a.png"
STILL = Still("5f" * 32, 1_000, 1280, 720, "PNG")


def checked(text: str, *, stills: dict[str, Still | str] | None = None, provider: str = PROVIDER) -> Manifest:
    raw = read_table("shots.csv", text.encode())
    return check(raw, stills=stills or {}, storyboard_default="shots", provider=provider)


def carried(manifest: Manifest, column: str) -> list[object]:
    index = len(CHECKED) + manifest.carried.get_field_index(column)
    return [value for part in manifest.parts() for value in part.batch.column(index).to_pylist()]


def report_of(manifest: Manifest, *, skip_invalid: bool = False) -> list[str]:
    with pytest.raises(ManifestError) as refused:
        manifest.require_valid(skip_invalid=skip_invalid)
    return refused.value.report.split("\n")


def test_a_row_with_every_column() -> None:
    header = "model,takes,duration,aspect_ratio,storyboard,shot_id,prompt,image,note\n"
    manifest = checked(header + f" wavespeed-ai/veo2-i2v ,3.0,7,9:16,night, s1 , hello ,{URL},kept\n")
    manifest.require_valid()
    (shot,) = shots_in(manifest)
    assert (shot.row, shot.shot_id, shot.storyboard, shot.image, shot.media) == (1, "s1", "night", URL, [URL])
    assert (shot.model, shot.takes) == ("wavespeed-ai/veo2-i2v", 3)
    assert shot.inputs == {"prompt": " hello ", "image": URL, "aspect_ratio": "9:16", "duration": "7s"}
    assert carried(manifest, "note") == ["kept"]


def test_absent_and_blank_cells_get_their_defaults() -> None:
    manifest = checked(f"image,prompt,duration,takes,model\n{URL},x, ,,\n")
    (shot,) = shots_in(manifest)
    assert (shot.storyboard, shot.model, shot.takes) == ("shots", "wavespeed-ai/veo2-i2v", 1)
    assert shot.inputs == {"prompt": "x", "image": URL, "aspect_ratio": "16:9", "duration": "5s"}


def test_a_shot_without_a_name_is_called_by_its_first_fingerprint() -> None:
    manifest = checked(f"image,prompt,takes\n{URL},x,2\n")
    takes = list(takes_in(manifest))
    assert [take.number for take in takes] == [1, 2]
    assert next(shots_in(manifest)).shot_id == takes[0].fingerprint[:12]


def test_rows_that_ask_for_the_same_take_share_its_fingerprint() -> None:
    manifest = checked(f"image,prompt,duration,shot_id\n{URL},x,5,a\n{URL},x,5s,b\n{URL},x,6s,c\n")
    assert not manifest.faults
    fingerprints = [take.fingerprint for take in takes_in(manifest)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_another_provider_gives_another_fingerprint() -> None:
    text = f"image,prompt\n{URL},x\n"
    other = checked(text, provider="http://127.0.0.1:1")
    assert next(takes_in(other)).fingerprint != next(takes_in(checked(text))).fingerprint


def test_every_fault_of_the_file_is_in_one_report() -> None:
    text = f"image,prompt,duratoin,takes\n{URL},x,,17\n,  ,,\n{URL},x\n../a.png,x,,\n"
    lines = report_of(checked(text))
    assert [line.partition(": found")[0] for line in lines] == [
        "shots.csv:1: header",
        "shots.csv:2: takes",
        "shots.csv:4: row",
        "shots.csv:5: image",
    ]
    assert lines[0].endswith('did you mean "duration"?')


def test_the_line_of_the_interface_word_for_word() -> None:
    text = "image,prompt,duration\n" + f"{URL},x,\n" * 15 + f"{URL},x,9s\n"
    assert report_of(checked(text)) == ['shots.csv:17: duration: found "9s"; allowed: 5s, 6s, 7s, 8s']


def test_blank_required_cells_are_faults() -> None:
    lines = report_of(checked(f"image,prompt,note\n,x,n\n{URL},\t,n\n"))
    assert lines[0].startswith("shots.csv:2: image: found nothing; allowed: an https URL")
    assert lines[1] == "shots.csv:3: prompt: found nothing; allowed: a text that is not blank"


@pytest.mark.parametrize(
    ("header", "meant"),
    [("img,prompt", "img"), ("image_url,prompt", "image_url"), ("image,promt", "promt")],
)
def test_a_missing_column_is_reported_once_with_a_suggestion(header: str, meant: str) -> None:
    (line,) = report_of(checked(f"{header}\n{URL},x\n"))
    assert 'found no column "' in line
    assert f'did you mean "{meant}" to be' in line


@pytest.mark.parametrize("name", ["aspct_ratio", "duratoin", "take", "modell", "storybord"])
def test_a_near_miss_of_an_absent_column_is_not_carried(name: str) -> None:
    manifest = checked(f"image,prompt,{name}\n{URL},x,\n")
    assert not list(shots_in(manifest))
    assert "did you mean" in report_of(manifest, skip_invalid=True)[0]


def test_other_names_and_doubles_of_columns_that_are_there_are_carried() -> None:
    manifest = checked(f"image,prompt,takes,Take,camera,notes\n{URL},x,2,b,c,d\n")
    manifest.require_valid()
    assert carried(manifest, "Take") == ["b"]


def test_a_shot_id_given_twice_is_a_fault_that_names_the_first() -> None:
    manifest = checked(f"image,prompt,shot_id\n{URL},,s1\n{URL},x,\n{URL},x, s1\n")
    assert [fault.line for fault in manifest.faults.shown] == [2, 4]
    assert "which is the shot_id of line 2 already" in manifest.faults.shown[1].found


def test_good_rows_run_when_bad_ones_are_skipped() -> None:
    manifest = checked(f"image,prompt,duration,takes\n{URL},a,9s,99\n{URL},b,5s,1\n{URL},c\n")
    manifest.require_valid(skip_invalid=True)
    assert [shot.row for shot in shots_in(manifest)] == [2]
    assert [row for row, _ in invalid_rows_in(manifest)] == [1, 3]
    assert next(invalid_rows_in(manifest))[1] == (
        'duration: found "9s"; allowed: 5s, 6s, 7s, 8s | takes: found "99"; allowed: a whole number from 1 to 16'
    )


def test_after_fifty_faults_the_rest_is_counted_by_kind() -> None:
    lines = report_of(checked("image,prompt,duration,takes\n" + f"{URL},x,9s,\n" * 60 + f"{URL},x,,0\n" * 3))
    assert len(lines) == 51
    assert lines[-1] == "shots.csv: and 13 more: 10 x bad duration, 3 x bad takes"


def test_what_faults_show_is_cut_and_cannot_steer_a_terminal() -> None:
    (line,) = report_of(checked(f"image,prompt,model\n{URL},x,\x1b[31m\u202e{'z' * 500}\n"))
    assert line.isprintable()
    assert line.count("z") == 60 - len("x[31mx")


def test_nul_characters_are_reported_by_position_even_in_carried_columns() -> None:
    lines = report_of(checked(f"image,prompt,note\n{URL},a\0b,\n{URL},x,c\0d\n"))
    assert lines[0].startswith("shots.csv:2: prompt: found a NUL character at character 2")
    assert lines[1].startswith("shots.csv:3: note: found a NUL character")


def test_a_local_still_counts_by_its_bytes() -> None:
    text = "image,prompt\n./a.png,x\nb.png,x\n"
    other = Still(hashlib.sha256(b"b").hexdigest(), 1, 1280, 720, "PNG")
    same = list(takes_in(checked(text, stills={"a.png": STILL, "b.png": STILL})))
    assert same[0].fingerprint == same[1].fingerprint
    assert same[0].shot.paths == {f"sha256:{STILL.sha256}": "a.png"}
    different = list(takes_in(checked(text, stills={"a.png": STILL, "b.png": other})))
    assert different[0].fingerprint != different[1].fingerprint


def test_only_paths_that_stay_inside_are_ever_asked_for() -> None:
    cells = ["a.png", "./a.png", "../b.png", "/c.png", URL, "s3://b/d.png", "", "e/f.webp", "g.gif", "a.png"]
    raw = read_table("shots.csv", "\n".join(["image,prompt", *(f"{cell},x" for cell in cells)]).encode())
    assert local_stills(raw) == ["a.png", "e/f.webp"]


def test_an_unusable_still_is_a_fault_of_each_row_with_it() -> None:
    text = "image,prompt\na.png,x\nb.png,y\na.png,z\n"
    manifest = checked(text, stills={"a.png": "is empty\x1b", "b.png": STILL})
    assert [fault.line for fault in manifest.faults.shown] == [2, 4]
    assert manifest.faults.shown[0].found == r'"a.png": is empty\x1b'


def test_a_still_that_was_not_looked_for_is_a_fault() -> None:
    assert [fault.rule for fault in checked("image,prompt\na.png,x\n").faults.shown] == ["unusable still"]


def test_a_small_still_is_a_warning_once() -> None:
    small = Still("aa" * 32, 5, 640, 360, "PNG")
    manifest = checked("image,prompt\nb.png,x\na.png,x\na.png,y\n", stills={"a.png": small, "b.png": STILL})
    assert not manifest.faults
    assert manifest.warnings == [
        'shots.csv:3: image: "a.png" is 640 x 360 pixels; 720 or more on the shorter side give better clips'
    ]


def test_any_file_name_gives_a_storyboard() -> None:
    raw = read_table("shots.csv", f"image,prompt\n{URL},x\n".encode())
    manifest = check(raw, stills={}, storyboard_default="a\nb" + "c" * 300, provider=PROVIDER)
    assert next(shots_in(manifest)).storyboard == "a_b" + "c" * 197


def test_rows_that_differ_in_spelling_share_a_take_sent_as_written() -> None:
    manifest = checked(f'image,prompt\n{URL},push in\nhttps://E.com:443/a.png#x," push in\u200b"\n{URL},push  in\n')
    assert manifest.take_of.tolist() == [0, 0, 1]
    assert [(shot.image, shot.inputs["prompt"]) for shot in shots_in(manifest)][1] == (
        "https://E.com:443/a.png#x",
        " push in\u200b",
    )


def test_fingerprints_of_before_are_known_where_the_canonical_form_makes_a_difference() -> None:
    manifest = checked(f"image,prompt,takes\n{URL},push in,1\n{URL}, push in,2\n{URL}#x,tilt up,2\n")
    olds = [
        digest(verbatim(PROVIDER, DEFAULT_MODEL, inputs_of(text, still)), number).hex()
        for still, text in ((URL, " push in"), (f"{URL}#x", "tilt up"))
        for number in (1, 2)
    ]
    assert hex_of(manifest.old_digests) == olds
    assert manifest.old_of.tolist() == [0, 1, 2, 3]
    now = [take.fingerprint for take in takes_in(manifest)]
    assert [hex_of(manifest.digests)[index] for index in manifest.old_of] == [now[1], now[2], now[3], now[4]]


def test_rows_that_are_canonical_already_had_no_other_fingerprint_before() -> None:
    manifest = checked(f"image,prompt,takes\n{URL},push in,3\n{URL},schwenk über die Küste,1\n")
    assert len(manifest.old_digests) == len(manifest.old_of) == 0


def test_another_spelling_of_the_provider_gives_every_take_an_old_fingerprint() -> None:
    raw = read_table("shots.csv", f"image,prompt,takes\n{URL},x,2\n{URL},y,1\n".encode())
    manifest = check(
        raw, stills={}, storyboard_default="s", provider=PROVIDER, written_provider="https://API.example.com:443"
    )
    plain = check(raw, stills={}, storyboard_default="s", provider=PROVIDER)
    assert hex_of(manifest.digests) == hex_of(plain.digests)
    assert manifest.old_of.tolist() == [0, 1, 2]
    assert set(hex_of(manifest.old_digests)).isdisjoint(hex_of(manifest.digests))


def test_a_provider_is_canonical_however_it_is_given() -> None:
    text = f"image,prompt\n{URL},x\n"
    other = checked(text, provider="https://API.example.com:0443/")
    assert hex_of(other.digests) == hex_of(checked(text).digests)


def test_another_model_is_a_fault_of_its_row() -> None:
    (line,) = report_of(checked(f"image,prompt,model\n{URL},x,wavespeed-ai/wan-2.1\n{URL},y,\n"))
    assert line.startswith('shots.csv:2: model: found "wavespeed-ai/wan-2.1"; allowed: wavespeed-ai/veo2-i2v')
