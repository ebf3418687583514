"""Rows of any model: columns are inputs, typed by the schema, checked whole; nothing is sent that a row did not say."""

import hashlib
import json
from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asked import shots_in, takes_in
from others_models import ENTRIES, entry

from animatic.errors import ManifestError
from animatic.manifest import Manifest, check, local_paths, local_stills, models_in, read_table
from animatic.takes.inputs import Inputs
from animatic.takes.models import Catalogue, read_catalogue
from animatic.takes.schemas import LatencyClass
from animatic.takes.shots import fingerprint
from animatic.takes.stills import FoundStill, MediaFile, MissingStill, Still

CATALOGUE = read_catalogue(ENTRIES)
URL = "https://stills.example/a.png"
KLING, VEO3, WAN = (
    "kwaivgi/kling-v1.6-i2v-standard",
    "google/veo3.1-fast/image-to-video",
    "alibaba/wan-2.6/image-to-video",
)
FRAMEPACK, VIDU, LORA = "wavespeed-ai/framepack", "vidu/reference-to-video-2.0", "wavespeed-ai/wan-2.2/i2v-480p-lora"


def still(seed: bytes) -> Still:
    return Still(hashlib.sha256(seed).hexdigest(), 1, 1280, 720, "PNG")


def checked(
    text: str | bytes,
    stills: dict[str, FoundStill] | None = None,
    catalogue: Catalogue = CATALOGUE,
    name: str = "shots.csv",
) -> Manifest:
    raw = read_table(name, text.encode() if isinstance(text, str) else text)
    return check(raw, stills=stills or {}, storyboard_default="s", provider="sandbox", catalogue=catalogue)


def inputs_in(manifest: Manifest) -> list[dict[str, object]]:
    manifest.require_valid()
    return [dict(shot.inputs) for shot in shots_in(manifest)]


def faults_in(manifest: Manifest) -> list[str]:
    with pytest.raises(ManifestError) as refused:
        manifest.require_valid()
    return [line for line in refused.value.report.split("\n") if line.startswith("shots.csv:")]


@pytest.mark.parametrize("written", ["5", '"5"', "5.0", "5s", "5 sec"])
@pytest.mark.parametrize(("model", "sent"), [(KLING, "5"), (WAN, 5)])
def test_one_cell_is_what_each_model_wants(written: str, model: str, sent: object) -> None:
    rows = f"image,prompt,duration,model\n{URL},push in,{written},{model}\n"
    assert inputs_in(checked(rows)) == [{"image": URL, "prompt": "push in", "duration": sent}]


def test_blank_is_not_sent_and_no_default_of_ours_is() -> None:
    rows = f"image,prompt,duration,aspect_ratio,seed,generate_audio,model\n{URL},push in,,,,,{VEO3}\n"
    assert inputs_in(checked(rows)) == [{"image": URL, "prompt": "push in"}]


def test_values_have_the_types_of_the_schema() -> None:
    rows = (
        "image,prompt,duration,resolution,generate_audio,seed,negative_prompt,model\n"
        f"{URL},push in,6.0,4K,no,-1,blur,{VEO3}\n"
    )
    (found,) = inputs_in(checked(rows))
    assert found == {
        "image": URL,
        "prompt": "push in",
        "duration": 6,
        "resolution": "4k",
        "generate_audio": False,
        "negative_prompt": "blur",
        "seed": -1,
    }
    assert [type(found[name]) for name in ("duration", "generate_audio", "seed")] == [int, bool, int]


def test_lists_and_objects_are_json() -> None:
    loras = json.dumps([{"path": "https://a.example/l", "scale": 0.5}]).replace('"', '""')
    (found,) = inputs_in(checked(f'image,prompt,loras,model\n{URL},x,"{loras}",{LORA}\n'))
    assert found["loras"] == [{"path": "https://a.example/l", "scale": 0.5}]


def test_models_mix_in_one_manifest_and_each_takes_its_own() -> None:
    rows = (
        "image,prompt,duration,num_frames,size,model\n"
        f"{URL},a,5,,,\n{URL},b,10,,,{KLING}\n{URL},c,,81,,{FRAMEPACK}\n"
        f"{URL},d,10,,720*1280,wavespeed-ai/wan-2.1/i2v-720p\n"
    )
    manifest = checked(rows)
    assert inputs_in(manifest) == [
        {"prompt": "a", "image": URL, "aspect_ratio": "16:9", "duration": "5s"},
        {"image": URL, "prompt": "b", "duration": "10"},
        {"image": URL, "prompt": "c", "num_frames": 81},
        {"image": URL, "prompt": "d", "duration": 10, "size": "720*1280"},
    ]
    assert [each.latency.values for each in manifest.classes] == ["5s", "10s", "81 frames", "10s"]


def test_fingerprints_are_over_everything_that_is_sent() -> None:
    rows = f"image,prompt,seed,model\n{URL},x,1,{VEO3}\n{URL},x,2,{VEO3}\n{URL},x,1.0,{VEO3}\n{URL},x,,{VEO3}\n"
    found = [take.fingerprint for take in takes_in(checked(rows))]
    assert (len(set(found)), found[0]) == (3, found[2])
    inputs = Inputs({"image": URL, "prompt": "x", "seed": 1})
    assert found[0] == fingerprint(provider="sandbox", model=VEO3, inputs=inputs, take=1)


def test_every_fault_of_every_row_is_told_before_buying() -> None:
    rows = (
        "image,prompt,duration,resolution,seed,cfg_scale,model\n"
        f"{URL},x,7,720p,1,,{VEO3}\n"
        f",,4,720p,one,,{VEO3}\n"
        f"{URL},x,,,,0.505,{KLING}\n"
        f"{URL},x,,,,3,{KLING}\n"
        f"{URL},x,5,,,,{FRAMEPACK}\n"
    )
    assert faults_in(checked(rows)) == [
        'shots.csv:2: duration: found "7"; allowed: 4, 6, 8',
        'shots.csv:3: seed: found "one"; allowed: a whole number from -1 to 2147483647',
        "shots.csv:3: image: found nothing; allowed: a URL or path of an image; it is required",
        "shots.csv:3: prompt: found nothing; allowed: text; it is required",
        'shots.csv:4: cfg_scale: found "0.505"; allowed: a number from 0 to 1 in steps of 0.01',
        'shots.csv:5: cfg_scale: found "3"; allowed: a number from 0 to 1 in steps of 0.01',
        (
            f'shots.csv:6: duration: found "5"; allowed: nothing: {FRAMEPACK} has no such input; it takes image, '
            "prompt, num_frames, resolution, aspect_ratio, guidance_scale, num_inference_steps, seed"
        ),
    ]


def test_a_bad_type_hides_no_other_fault_of_its_row() -> None:
    rows = f"image,prompt,seed,duration,generate_audio,model\n{URL},x,99999999999,7,maybe,{VEO3}\n"
    assert [each.split(": ")[1] for each in faults_in(checked(rows))] == ["duration", "generate_audio", "seed"]


def test_a_cut_off_still_among_several_is_named() -> None:
    rows = f"images,prompt,model\na.png;b.png;{URL},x,{VIDU}\n"
    stills: dict[str, FoundStill] = {"a.png": still(b"a"), "b.png": still(b"b")}
    unsound = {1: {f"sha256:{hashlib.sha256(b'b').hexdigest()}": "it is cut off"}}
    raw = read_table("shots.csv", rows.encode())
    manifest = check(
        raw, stills=stills, storyboard_default="s", provider="sandbox", catalogue=CATALOGUE, unsound=unsound
    )
    (fault,) = faults_in(manifest)
    assert fault.startswith('shots.csv:2: images: found "b.png": it is cut off; allowed: ')


def model_with(**properties: object) -> Catalogue:
    found = read_catalogue([entry("a/b", (), 1.0, **properties)])
    assert not found.problems
    return found


@pytest.mark.parametrize(
    ("said", "cell", "sent"),
    [
        ({"enum": ["auto", 5, 10]}, "5", 5),
        ({"enum": ["auto", 5, 10]}, "Auto", "auto"),
        ({"enum": ["auto", 5, 10]}, "7", "auto, or 5, 10"),
        ({"enum": [5, 7.5]}, "7.5", 7.5),
        ({"enum": [True, "only"]}, "yes", True),
        ({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10}, {"enum": ["auto"]}]}, "5s", 5),
        ({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10}, {"enum": ["auto"]}]}, "auto", "auto"),
        (
            {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10}, {"enum": ["auto"]}]},
            "50",
            "a whole number from 1 to 10, or auto",
        ),
        ({"oneOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "integer"}}]}, "1;2", [1, 2]),
        ({"oneOf": [{"type": "number", "maximum": 1}, {"type": "string", "minLength": 3}]}, "12345", "12345"),
        ({"type": ["integer", "null"], "maximum": 3}, "3", 3),
        ({"type": ["integer", "null"], "maximum": 3}, "4", "a whole number up to 3"),
        ({"type": ["number", "string"]}, "2.5", 2.5),
        ({"type": ["number", "string"]}, "fast", "fast"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "6", 6),
        ({"type": "number", "exclusiveMinimum": 0}, "0", "a number above 0"),
        ({"type": "string", "pattern": "^[a-z]{3}$"}, "abcd", "text that matches the pattern ^[a-z]{3}$"),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "abcd", "text of 2 to 3 characters"),
        ({"type": "string", "maxLength": 3}, "abcd", "text of up to 3 characters"),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 2}, "1;2;3",
         "a list of a whole number; up to 2 parts"),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "a;a", "a list of text"),
    ],
)  # fmt: skip
def test_a_cell_of_several_types_is_the_first_that_fits(said: dict[str, object], cell: str, sent: object) -> None:
    manifest = checked(f'odd,model\n"{cell}",a/b\n', catalogue=model_with(odd=said))
    if len(manifest.faults):
        (fault,) = faults_in(manifest)
        assert fault.partition("; allowed: ")[2] == sent
    else:
        (inputs,) = inputs_in(manifest)
        assert (inputs["odd"], type(inputs["odd"])) == (sent, type(sent))


def test_rules_over_several_inputs_are_checked_too() -> None:
    together = entry("a/b", (), 1.0, start={"type": "integer"}, end={"type": "integer"})
    together["api_schema"]["api_schemas"][0]["request_schema"]["dependentRequired"] = {"end": ["start"]}
    catalogue = read_catalogue([together])
    assert len(checked("start,end,model\n1,2,a/b\n", catalogue=catalogue).faults) == 0
    (fault,) = faults_in(checked("start,end,model\n,2,a/b\n", catalogue=catalogue))
    assert fault.startswith("shots.csv:2: ")


def test_local_audio_is_known_by_its_bytes() -> None:
    rows = f"image,audio,prompt,model\n{URL},./voice.WAV,x,{WAN}\n{URL},https://a.example/b.mp3,x,{WAN}\n"
    raw = read_table("shots.csv", rows.encode())
    assert local_paths(raw.rows, {WAN: CATALOGUE[WAN]}) == ["voice.WAV"]
    voice = MediaFile(hashlib.sha256(b"v").hexdigest(), 1, ".wav")
    first, second = inputs_in(checked(rows, stills={"voice.WAV": voice}))
    assert (first["audio"], second["audio"]) == (f"sha256:{voice.sha256}", "https://a.example/b.mp3")


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("voice.wav", '"voice.wav": cannot be read as audio; is it cut off, or is its suffix wrong?'),
        ("clip.mp4", '"clip.mp4"'),
        ("../voice.wav", '"../voice.wav"'),
        ("voice.exe", '"voice.exe"'),
        ("gone.mp3", 'no file "gone.mp3"'),
    ],
)
def test_a_file_that_is_no_audio_is_a_fault(cell: str, found: str) -> None:
    stills: dict[str, FoundStill] = {
        "voice.wav": "cannot be read as audio; is it cut off, or is its suffix wrong?",
        "gone.mp3": MissingStill(),
    }
    (fault,) = faults_in(checked(f"image,audio,prompt,model\n{URL},{cell},x,{WAN}\n", stills=stills))
    assert fault == (
        f"shots.csv:2: audio: found {found}; allowed: an https URL of audio, or a path inside the manifest's folder or "
        "that of --stills that ends in .mp3, .wav, .m4a, .aac, .flac, .ogg, up to 200 MiB"
    )


def test_what_is_required_is_said_by_the_model() -> None:
    rows = f"image,prompt,model\n,x,{VEO3}\n{URL},,{VEO3}\n{URL},,minimax/hailuo-02/fast\n{URL},,\n"
    faults = faults_in(checked(rows))
    assert faults[:2] == [
        "shots.csv:2: image: found nothing; allowed: a URL or path of an image; it is required",
        "shots.csv:3: prompt: found nothing; allowed: text; it is required",
    ]
    assert [each.split(": ")[1] for each in faults[2:]] == ["prompt"]


def test_a_manifest_without_any_input_has_faults_in_every_row() -> None:
    faults = faults_in(checked(f"shot_id,model\na,{VEO3}\nb,minimax/hailuo-02/fast\n"))
    assert [each.split(": ")[:2] for each in faults] == [
        ["shots.csv:2", "image"],
        ["shots.csv:2", "prompt"],
        ["shots.csv:3", "image"],
    ]


def test_an_invisible_prompt_is_empty() -> None:
    (fault,) = faults_in(checked(f"image,prompt,model\n{URL},\u200b,{VEO3}\n"))
    assert "prompt: found nothing" in fault


def test_a_prompt_is_sent_as_it_is_written() -> None:
    assert inputs_in(checked(f'image,prompt,model\n{URL}," push in ",{VEO3}\n'))[0]["prompt"] == " push in "


def test_a_manifest_needs_no_image_column_where_its_models_need_none() -> None:
    rows = f"images,prompt,model\n{URL};{URL}?2,x,{VIDU}\n"
    assert inputs_in(checked(rows)) == [{"images": [URL, f"{URL}?2"], "prompt": "x"}]


def test_input_dot_name_insists() -> None:
    rows = f"image,prompt,input.seed,model\n{URL},x,7,{VEO3}\n"
    assert inputs_in(checked(rows))[0]["seed"] == 7
    rows = f"image,prompt,input.sed,input.seed,model\n{URL},x,7,,{VEO3}\n{URL},x,,7,\n"
    assert [each.partition(";")[0] for each in faults_in(checked(rows))] == [
        'shots.csv:2: input.sed: found "7"',
        'shots.csv:3: input.seed: found "7"',
    ]


def test_header_names_match_without_regard_to_case_and_blanks() -> None:
    (found,) = inputs_in(checked(f"image,prompt,Negative Prompt,model\n{URL},x,blur,{VEO3}\n"))
    assert found["negative_prompt"] == "blur"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("google/veo3.1-fast/image-to-vidoe", 'did you mean "google/veo3.1-fast/image-to-video"?'),
        ("quite/another", "`animatic models` lists them"),
    ],
)
def test_an_id_that_is_not_listed_is_a_fault(model: str, said: str) -> None:
    (fault,) = faults_in(checked(f"image,prompt,model\n{URL},x,{model}\n"))
    assert fault.startswith(f'shots.csv:2: model: found "{model}"; allowed: one of {len(CATALOGUE)} models')
    assert fault.endswith(said)


def test_a_retired_model_says_so() -> None:
    known = Catalogue(CATALOGUE.schemas, retired=frozenset({"google/veo2"}))
    (fault,) = faults_in(checked(f"image,prompt,model\n{URL},x,google/veo2\n", catalogue=known))
    assert "which WaveSpeed lists no more: it was retired" in fault


def test_each_local_file_of_a_row_is_known_by_its_bytes() -> None:
    one, two = still(b"1"), still(b"2")
    rows = f"image,last_image,prompt,model\na.png,b.png,x,{VEO3}\nc.png,./b.png,x,{VEO3}\n"
    raw = read_table("shots.csv", rows.encode())
    schemas = {name: CATALOGUE[name] for name in models_in(raw)}
    assert [*local_stills(raw), *local_paths(raw.rows, schemas)] == ["a.png", "c.png", "a.png", "c.png", "b.png"]
    manifest = checked(rows, {"a.png": one, "b.png": two, "c.png": one})
    first, second = shots_in(manifest)
    assert first.inputs == {"image": f"sha256:{one.sha256}", "last_image": f"sha256:{two.sha256}", "prompt": "x"}
    assert first.paths == {f"sha256:{one.sha256}": "a.png", f"sha256:{two.sha256}": "b.png"}
    assert second.inputs == first.inputs
    assert len({take.fingerprint for take in takes_in(manifest)}) == 1


def test_a_missing_file_is_named_with_its_column() -> None:
    (fault,) = faults_in(checked(f"image,last_image,prompt,model\n{URL},b.png,x,{VEO3}\n", {"b.png": "is empty"}))
    assert fault.startswith('shots.csv:2: last_image: found "b.png": is empty')


def test_parquet_columns_keep_their_types() -> None:
    table = pa.table(
        {
            "image": [URL] * 2,
            "prompt": ["x", "y"],
            "duration": [6.0, None],
            "generate_audio": [True, None],
            "seed": pa.array([5, None], pa.int32()),
            "model": [VEO3] * 2,
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    assert inputs_in(checked(sink.getvalue().to_pybytes(), name="shots.parquet")) == [
        {"image": URL, "prompt": "x", "duration": 6, "generate_audio": True, "seed": 5},
        {"image": URL, "prompt": "y"},
    ]


def test_lists_in_parquet_are_lists() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"images": [[URL, f"{URL}?2"]], "prompt": ["x"], "model": [VIDU]}), sink)
    assert inputs_in(checked(sink.getvalue().to_pybytes(), name="shots.parquet")) == [
        {"images": [URL, f"{URL}?2"], "prompt": "x"}
    ]


def test_price_classes_are_of_the_inputs_in_the_formula() -> None:
    rows = "image,prompt,duration,seed,resolution,model\n" + "".join(
        f"{URL},x,{duration},{seed},720p,{WAN}\n" for duration in (5, 10) for seed in (1, 2)
    )
    manifest = checked(rows)
    assert [each.price.inputs for each in manifest.classes] == [{"duration": 5}, {"duration": 10}]
    assert manifest.classes[1].latency == LatencyClass(WAN, "10s")


def test_columns_that_are_sent_are_not_called_unsent() -> None:
    manifest = checked(f"image,prompt,seed,fps,model\n{URL},x,1,24,{VEO3}\n")
    (note,) = [each for each in manifest.warnings if "not sent" in each]
    assert "carried, not sent: fps;" in note
    assert manifest.carried.names == ["seed", "fps"]


def test_durations_may_be_decimals_or_spans_of_time() -> None:
    for values in ([Decimal("5.0"), Decimal(10)], [timedelta(seconds=5), timedelta(seconds=10)]):
        table = pa.table({"image": [URL] * 2, "prompt": ["x", "y"], "duration": values, "model": [WAN, WAN]})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        found = inputs_in(checked(sink.getvalue().to_pybytes(), name="shots.parquet"))
        assert [each["duration"] for each in found] == [5, 10]
    veo2 = pa.table({"image": [URL], "prompt": ["x"], "duration": [timedelta(seconds=8)]})
    sink = pa.BufferOutputStream()
    pq.write_table(veo2, sink)
    assert inputs_in(checked(sink.getvalue().to_pybytes(), name="shots.parquet"))[0]["duration"] == "8s"


NESTED = "wavespeed-ai/wan-2.2/i2v-480p-lora"


@pytest.mark.parametrize("column", ["loras", "multi_prompt"])
def test_nested_inputs_have_the_fingerprint_that_their_values_have(column: str) -> None:
    model = NESTED if column == "loras" else "kwaivgi/kling-v3.0-std/image-to-video"
    value = [{"path": "https://l.example/x", "scale": 1}] if column == "loras" else ["one", "two"]
    cell = json.dumps(value).replace('"', '""')
    prompt = {"prompt": "x"}
    (take,) = takes_in(checked(f'image,prompt,{column},model\n{URL},x,"{cell}",{model}\n'))
    inputs = Inputs({"image": URL, **prompt, column: value})
    assert take.fingerprint == fingerprint(provider="sandbox", model=model, inputs=inputs, take=1)
    assert take.shot.inputs == inputs


def test_what_means_the_same_inside_an_object_is_one_take() -> None:
    forms = ('[{""path"": ""x"", ""scale"": 1}]', '[{""scale"":1.0,""path"":""x""}]')
    rows = "".join(f'{URL},x,"{form}",{NESTED}\n' for form in forms)
    assert len({take.fingerprint for take in takes_in(checked(f"image,prompt,loras,model\n{rows}"))}) == 1


def test_prices_depend_on_all_that_the_formula_names() -> None:
    entry = {**ENTRIES[0], "formula": "base_price * ($count(images) > 1 ? 2 : 1) * (tier = 'gold' ? 50 : 1)"}
    properties = {
        "images": {"type": "array", "items": {"type": "string", "x-ui-component": "uploader"}},
        "tier": {"type": "string"},
        "seed": {"type": "integer"},
    }
    entry["api_schema"] = {"api_schemas": [{"type": "model_run", "request_schema": {"properties": properties}}]}
    rows = f"images,tier,seed,model\n{URL},silver,1,{VEO3}\n{URL},gold,2,{VEO3}\n{URL};{URL}?2,gold,3,{VEO3}\n"
    manifest = checked(rows, catalogue=read_catalogue([entry]))
    assert len({each.price for each in manifest.classes}) == 3
    of_seeds = checked(rows, catalogue=read_catalogue([{**entry, "formula": ""}]))
    assert len({each.price for each in of_seeds.classes}) == 2, "texts and seeds make no price where none is named"


def test_a_row_of_an_unknown_model_has_no_other_fault() -> None:
    (fault,) = faults_in(checked("image,prompt,duration,model\n,,10,no/such/model\n"))
    assert "model: found" in fault


def test_a_model_that_cannot_be_used_says_why() -> None:
    broken = {
        **ENTRIES[0],
        "api_schema": {"api_schemas": [{"type": "model_run", "request_schema": {"properties": {}}}]},
    }
    (fault,) = faults_in(checked(f"image,prompt,model\n{URL},x,{VEO3}\n", catalogue=read_catalogue([broken])))
    assert "found no properties" in fault


def test_narrow_floats_and_nulls_in_structs_are_what_was_meant() -> None:
    columns = {
        "image": [URL], "prompt": ["x"], "model": [KLING], "cfg_scale": pa.array([0.3], pa.float32()),
    }  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    assert inputs_in(checked(sink.getvalue().to_pybytes(), name="shots.parquet"))[0]["cfg_scale"] == 0.3
    loras = pa.array(
        [[{"path": "x", "scale": None}]], pa.list_(pa.struct([("path", pa.string()), ("scale", pa.float64())]))
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"image": [URL], "prompt": ["x"], "model": [NESTED], "loras": loras}), sink)
    assert inputs_in(checked(sink.getvalue().to_pybytes(), name="shots.parquet"))[0]["loras"] == [{"path": "x"}]
