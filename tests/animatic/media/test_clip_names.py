import ntpath
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from animatic.errors import SettingsError
from animatic.media.clip_names import (
    MAX_NAME_BYTES,
    ClipIdentity,
    ClipName,
    safe_name,
    same_name_key,
)

is_reserved: Callable[[str], bool] = getattr(ntpath, "isreserved", lambda name: PureWindowsPath(name).is_reserved())
"""Python 3.13 has it under a name of its own, and warns of the older one."""

CLIP = ClipIdentity("ab12" * 16, "harbour", "sh010", 2, 3, "pred-1")


def name_of(clip: ClipIdentity, template: str | None = None) -> str:
    return next((ClipName(template) if template else ClipName()).candidates(clip, ".mp4"))


def test_the_default_names_storyboard_shot_and_take() -> None:
    assert name_of(CLIP) == "harbour_sh010_t02.mp4"


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{shot_id}_v{version:02}", "sh010_v03.mp4"),
        ("{prediction_id}", "pred-1.mp4"),
        ("{take}{take:3}{take:03d}", "2 2002.mp4"),
        ("{shot_id}.mp4", "sh010.mp4"),
        ("{{{shot_id}}}", "{sh010}.mp4"),
    ],
)
def test_templates(template: str, name: str) -> None:
    assert name_of(CLIP, template) == name


@pytest.mark.parametrize(
    "template",
    [
        "", "clip", "{shot}", "{0}", "{}", "{shot_id", "{shot_id.x}", "{shot_id[0]}", "{shot_id!r}", "{shot_id:>9}",
        "{take:99999}", "{take:x}", "../{shot_id}", "a/{shot_id}", "a\\{shot_id}",
        "{take:{take}}", "a\n{take}", "{take}?",
    ],
)  # fmt: skip
def test_a_template_that_is_no_name_is_refused(template: str) -> None:
    with pytest.raises(SettingsError, match=r"--clip-name: found .*allowed: "):
        ClipName(template)


def test_a_misspelt_field_is_told() -> None:
    with pytest.raises(SettingsError, match=r'did you mean "shot_id"'):
        ClipName("{shotid}")


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("../../etc/passwd", "_..-..-etc-passwd"),
        ("a:b?c*d", "a-b-c-d"),
        ("CON", "_CON"),
        ("con.x", "_con.x"),
        ("Lpt1 x", "_Lpt1 x"),
        ("console", "console"),
        (".hidden", "_.hidden"),
        ("ends. .", "ends"),
        ("  two   blanks ", "two blanks"),
        ("", "_"),
        ("e\u0301", "\u00e9"),
        ("a\u202eb\x00c\ud800d", "a-b-c-d"),
    ],
)
def test_names_are_safe(stem: str, name: str) -> None:
    assert safe_name(stem) == name


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    one, other = safe_name("é" * 500 + "1"), safe_name("é" * 500 + "2")
    assert one != other
    assert max(len(one.encode()), len(other.encode())) <= MAX_NAME_BYTES


def test_the_names_of_one_clip_end_with_one_that_is_its_own() -> None:
    names = list(ClipName("{storyboard}").candidates(CLIP, ".mp4"))
    assert names == ["harbour.mp4", "harbour_ab12ab12.mp4", f"harbour_{'ab12' * 16}.mp4"]


def test_further_outputs_are_numbered() -> None:
    assert name_of(replace(CLIP, output=2)) == "harbour_sh010_t02_2.mp4"


def test_an_odd_suffix_is_not_kept() -> None:
    assert next(ClipName().candidates(CLIP, "./../x")) == "harbour_sh010_t02.bin"


def test_names_that_differ_in_case_or_form_are_one() -> None:
    assert same_name_key("A\u00c9.mp4") == same_name_key("ae\u0301.mp4")


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=20))
def test_no_manifest_makes_a_path(storyboard: str, shot_id: str, prediction_id: str) -> None:
    clip = replace(CLIP, storyboard=storyboard, shot_id=shot_id, prediction_id=prediction_id)
    for template in ("{storyboard}", "{storyboard}_{shot_id}_t{take:02}", "{prediction_id}"):
        for name in ClipName(template).candidates(clip, ".mp4"):
            assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
            assert not is_reserved(name)
            assert name == unicodedata.normalize("NFC", name)
            assert len(name.encode()) <= MAX_NAME_BYTES + 4
            assert name.isprintable() or " " in name
